/**
 * LoRA files from outside at their worst: every one ends in `model_unusable` or, where only numbers are wrong, in an error
 * of the sequence; an engine beside it goes on. Options and scales out of range are in the contract.
 */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type GgufModel, type GgufValue, kv, tensorBytes, writeGguf } from '../../scripts/make-models/index.mjs';
import type { Engine, EngineDriver, LoadOptions } from '../../src/engine/engine.js';
import { adapterModel } from '../support/adapters.js';
import { copierModel, embedderModel, tinyModel } from '../support/models.js';
import { hasAddon, nativeSubject } from './native-subject.js';
import { expectError, runSequence, say } from './run-sequence.js';

describe('bad adapters', function () {
  this.timeout(120_000);
  let folder: string;
  let file: string;
  let driver: EngineDriver;
  let good: GgufModel;
  let options: LoadOptions;
  let engine: Engine;

  before(async function () {
    if (!hasAddon) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'llamaestro-bad-adapters-'));
    file = join(folder, 'adapter.gguf');
    ({ driver } = await nativeSubject());
    good = await adapterModel(await tinyModel());
    options = { file: await tinyModel(), purpose: 'generate', contextTokens: 512, threads: 1 };
    engine = await driver.load(options);
  });

  after(async () => {
    await engine?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  afterEach(async () => {
    const { finished } = await runSequence(engine, { prompt: say('still there?'), maxTokens: 2, ignoreEos: true });
    expect(finished.reason).to.equal('length');
  });

  async function refused(changes: Partial<LoadOptions> = {}, path = file): Promise<string> {
    const adapters = [{ name: 'bad', file: path }];
    const error = await expectError('model_unusable', () => driver.load({ ...options, ...changes, adapters }));
    expect(error.param).to.equal('adapters');
    expect(error.message).to.include(path);
    return error.message;
  }

  const withValue = (key: string, value: GgufValue | undefined): GgufModel => ({
    ...good,
    metadata: [...good.metadata.filter(([name]) => name !== key), ...(value ? ([[key, value]] as const) : [])],
  });

  it('are refused when they are missing, no file, no GGUF or a model', async () => {
    await refused({}, join(folder, 'nowhere.gguf'));
    await refused({}, folder);
    writeFileSync(file, 'GGUF and then nothing of use');
    await refused();
    writeFileSync(file, '');
    await refused();
    await refused({}, await tinyModel());
  });

  it('are refused when they are for another model', async () => {
    await writeGguf(file, good);
    await refused({ file: await copierModel() });
    await refused({ file: await embedderModel(), purpose: 'embed' });
  });

  const values: readonly [key: string, value: GgufValue | undefined][] = [
    ['general.type', undefined],
    ['general.type', kv.u32(1)],
    ['adapter.type', kv.string('control')],
    ['adapter.type', kv.array('string', ['lora'])],
    ['general.architecture', kv.string('nobody')],
    ['general.architecture', kv.f32(1)],
    ['adapter.lora.alpha', kv.f32(NaN)],
    ['adapter.lora.alpha', kv.f32(-Infinity)],
    ['adapter.lora.alpha', kv.f32(1e30)],
    ['adapter.lora.alpha', kv.u32(4)],
    ['adapter.lora.alpha', kv.string('4')],
    ['adapter.alora.invocation_tokens', kv.array('u32', [1, 2])],
    ['general.alignment', kv.u32(33)],
  ];
  for (const [key, value] of values) {
    it(`are refused for ${key} of ${String(value?.value)}`, async () => {
      await writeGguf(file, withValue(key, value));
      await refused();
    });
  }

  it('are refused for tensors of the wrong name, shape or type', async () => {
    const [first, ...others] = good.tensors;
    if (first === undefined) throw new Error('an adapter has tensors');
    const [columns = 0, rows = 0] = first.shape;
    const bytes = (count: number) => () => [Buffer.alloc(count)];
    const wrong: readonly GgufModel['tensors'][] = [
      [],
      others,
      [{ ...first, name: 'blk.0.attn_q.weight' }, ...others],
      [{ ...first, name: 'blk.99.attn_q.weight.lora_a' }, ...others],
      [{ ...first, shape: [columns, rows + 1], data: bytes(4 * columns * (rows + 1)) }, ...others],
      [{ ...first, shape: [columns + 1, rows], data: bytes(4 * (columns + 1) * rows) }, ...others],
      [{ ...first, shape: [columns, rows, 2], data: bytes(8 * columns * rows) }, ...others],
      [{ ...first, type: 'Q4_0', data: bytes(tensorBytes('Q4_0', first.shape)) }, ...others],
      [first, ...good.tensors],
    ];
    for (const tensors of wrong) {
      await writeGguf(file, { ...good, tensors });
      await refused();
    }
  });

  it('are refused wherever they are cut', async () => {
    await writeGguf(file, good);
    const whole = readFileSync(file);
    for (let length = whole.length - 1; length > 0; length -= Math.ceil(whole.length / 40)) {
      truncateSync(file, length);
      await refused();
    }
  });

  it('with flipped bits in the header are refused, or load and say something', async () => {
    await writeGguf(file, good);
    const whole = readFileSync(file);
    for (let at = 0; at < 2000; at += 37) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      writeFileSync(file, bytes);
      const adapters = [{ name: 'bad', file }];
      const loaded = await driver.load({ ...options, adapters }).catch((thrown: unknown) => thrown as Error);
      if (loaded instanceof Error) {
        expect(loaded).to.include({ code: 'model_unusable' });
      } else {
        const request = { prompt: say('Hello'), maxTokens: 2, ignoreEos: true, lora: [{ name: 'bad' }] };
        expect((await runSequence(loaded, request)).finished.reason).to.be.oneOf(['length', 'error']);
        await loaded.close();
      }
    }
  });

  it('with factors that are no numbers give an error, not text, and only to those who use them', async () => {
    const spoiled = good.tensors.map((one) => ({
      ...one,
      data: () => [Buffer.from(new Float32Array((one.shape[0] ?? 0) * (one.shape[1] ?? 0)).fill(NaN).buffer)],
    }));
    await writeGguf(file, { ...good, tensors: spoiled });
    const loaded = await driver.load({ ...options, slots: 2, adapters: [{ name: 'bad', file }] });
    const request = { prompt: say('Hello'), maxTokens: 5, ignoreEos: true };
    const [used, unused] = await Promise.all([
      runSequence(loaded, { ...request, lora: [{ name: 'bad' }] }),
      runSequence(loaded, request),
    ]);
    expect(used.finished.error).to.include({ code: 'internal' });
    expect(used.text).to.equal('');
    expect(unused.finished.reason).to.equal('length');
    const after = await runSequence(loaded, request);
    expect(after.ids).to.have.lengthOf(5);
    await loaded.close();
  });
});
