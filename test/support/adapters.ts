/** LoRA files for tests: random factors for the matrices of a model's blocks, written beside the models. Knows no engine. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type GgufModel, kv, readGgufHeader, writeGguf } from '../../scripts/make-models/index.mjs';
import { seededRandom } from './fake-clock.js';
import { modelsDirectory } from './models.js';

export interface AdapterShape {
  readonly seed?: number;
  readonly rank?: number;
  /** Size of an entry of either factor. */
  readonly gain?: number;
  /** Which tensors it changes beside the output: a part of their names. */
  readonly part?: string;
}

/** The adapter as `writeGguf` takes it. */
export async function adapterModel(model: string, shape: AdapterShape = {}): Promise<GgufModel> {
  const { seed = 1, rank = 4, gain = 0.2, part = 'blk.' } = shape;
  const header = await readGgufHeader(model);
  const random = seededRandom(seed);
  const factor = (name: string, columns: number, rows: number): GgufModel['tensors'][number] => ({
    name,
    type: 'F32',
    shape: [columns, rows],
    data: () => {
      const values = Float32Array.from({ length: columns * rows }, () => gain * (2 * random.next() - 1));
      return [Buffer.from(values.buffer)];
    },
  });
  return {
    metadata: [
      ['general.architecture', kv.string(header.metadata.get('general.architecture')?.value)],
      ['general.type', kv.string('adapter')],
      ['adapter.type', kv.string('lora')],
      ['adapter.lora.alpha', kv.f32(rank)],
    ],
    tensors: header.tensors
      .filter(({ name, shape: lengths }) => lengths.length === 2 && (name.includes(part) || name === 'output.weight'))
      .flatMap(({ name, shape: [columns = 0, rows = 0] }) => [
        factor(`${name}.lora_a`, columns, rank),
        factor(`${name}.lora_b`, rank, rows),
      ]),
  };
}

/** Writes an adapter for the model in that file; returns its path. */
export async function adapterFile(name: string, model: string, shape: AdapterShape = {}): Promise<string> {
  const folder = join(modelsDirectory, 'adapters');
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${name}.gguf`);
  await writeGguf(path, await adapterModel(model, shape));
  return path;
}
