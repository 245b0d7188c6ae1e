/** What `readMetadata` says of files, good ones and damaged ones. */
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type GgufModel, defaultLlamaCppDir, kv, randomModel, writeGguf } from '../../scripts/make-models/index.mjs';
import type { NativeDriver } from '../../src/engine/native-engine.js';
import { adapterFile } from '../support/adapters.js';
import { chatModel, tinyModel } from '../support/models.js';
import { hasAddon, nativeSubject } from './native-subject.js';
import { expectError } from './run-sequence.js';

describe('metadata of a file', function () {
  this.timeout(120_000);
  let folder: string;
  let driver: NativeDriver;

  before(async function () {
    if (!hasAddon) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'llamaestro-metadata-'));
    ({ driver } = await nativeSubject());
  });

  after(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  it('agrees with what a load says, and shows every key, long arrays by their beginning', async () => {
    const file = await tinyModel();
    const read = await driver.readMetadata(file);
    const engine = await driver.load({ file, purpose: 'generate', contextTokens: 256, threads: 1 });
    const { info } = engine;
    await engine.close();
    expect(read.files).to.deep.equal([file]);
    expect(read.kind).to.equal('model');
    expect(read).to.include({
      fileBytes: info.fileBytes,
      architecture: info.architecture,
      name: info.name,
      license: 'mit',
      quantisation: info.quantisation,
      contextTokens: info.trainedContextTokens,
      vocabSize: info.vocabSize,
      parameterCount: info.parameterCount,
    });
    expect(Object.values(read.bytesByType).reduce((sum, bytes) => sum + bytes)).to.equal(read.tensorBytes);
    expect(read.bytesByType).to.have.all.keys('q8_0', 'f32');
    expect(read.tensorCount).to.be.greaterThan(10);
    expect(read.values['llama.block_count']).to.equal(info.layers);
    const tokens = read.values['tokenizer.ggml.tokens'] as { length: number; first: unknown[] };
    expect(tokens.length).to.equal(info.vocabSize);
    expect(tokens.first).to.have.lengthOf(32);
    expect((await driver.readMetadata(await chatModel('thinker'))).chatTemplate).to.include('think');
  });

  it('reads an adapter too, and odd keys as they are', async () => {
    const adapter = await driver.readMetadata(await adapterFile('metadata', await tinyModel()));
    expect(adapter).to.include({ kind: 'adapter', architecture: 'llama', quantisation: 'f32' });
    expect(adapter).to.not.have.any.keys('chatTemplate', 'vocabSize', 'contextTokens');
    const file = join(folder, 'odd.gguf');
    const metadata = [
      ['__proto__', kv.string('odd')],
      ['flag', kv.bool(true)],
      ['empty', kv.array('u8', [])],
      ['bytes', kv.string(Buffer.from([0x61, 0xff]))],
    ] as const;
    await writeGguf(file, { metadata, tensors: [] });
    const odd = await driver.readMetadata(file);
    expect(Object.getOwnPropertyDescriptor(odd.values, '__proto__')?.value).to.equal('odd');
    expect(odd.values).to.deep.include({ flag: true, bytes: 'a\ufffd', empty: { length: 0, first: [] } });
    expect(odd).to.include({ tensorCount: 0, kind: 'model' });
    expect(odd).to.not.have.any.keys('architecture', 'quantisation');
  });

  it('adds up the parts of a split model, and misses one that is not there', async () => {
    const base = await randomModel('tiny', defaultLlamaCppDir());
    const half = Math.floor(base.tensors.length / 2);
    const part = (no: number, metadata: GgufModel['metadata'], tensors: GgufModel['tensors']): GgufModel => ({
      metadata: [...metadata, ['split.no', kv.u16(no)], ['split.count', kv.u16(2)]],
      tensors,
    });
    const [first, second] = [join(folder, 'm-00001-of-00002.gguf'), join(folder, 'm-00002-of-00002.gguf')];
    await writeGguf(first, part(0, base.metadata, base.tensors.slice(0, half)));
    await expectError('model_unusable', () => driver.readMetadata(first));
    await writeGguf(second, part(1, [], base.tensors.slice(half)));
    const [whole, split] = [await driver.readMetadata(await tinyModel()), await driver.readMetadata(first)];
    expect(split.files).to.deep.equal([first, second]);
    expect(split.tensorCount).to.equal(whole.tensorCount);
    expect(split.parameterCount).to.equal(whole.parameterCount);
    expect(split.bytesByType).to.deep.equal(whole.bytesByType);
    await expectError('model_unusable', () => driver.readMetadata(second));
    truncateSync(second, 100);
    await expectError('model_unusable', () => driver.readMetadata(first));
  });

  it('takes as many calls at once as a folder has files', async () => {
    const file = await tinyModel();
    const reads = await Promise.all(Array.from({ length: 200 }, () => driver.readMetadata(file)));
    expect(new Set(reads.map(({ tensorBytes }) => tensorBytes)).size).to.equal(1);
  });

  it('refuses files that are cut anywhere, and what is no file', async () => {
    const whole = readFileSync(await tinyModel());
    const file = join(folder, 'cut.gguf');
    for (let length = whole.length - 1; length >= 0; length -= Math.ceil(whole.length / 60)) {
      writeFileSync(file, whole.subarray(0, length));
      await expectError('model_unusable', () => driver.readMetadata(file));
    }
    for (const path of [folder, join(folder, 'nowhere'), '/dev/null']) {
      await expectError('model_unusable', () => driver.readMetadata(path));
    }
    for (const path of ['', 'a\0b', 7 as unknown as string]) {
      expect((await expectError('invalid_request', () => driver.readMetadata(path))).param).to.equal('path');
    }
    await expectError('cancelled', () => driver.readMetadata(file, AbortSignal.abort()));
  });

  it('survives any byte of a header being another one', async () => {
    const whole = readFileSync(await tinyModel());
    const file = join(folder, 'flipped.gguf');
    for (let at = 0; at < 3000; at += 7) {
      const bytes = Buffer.from(whole);
      bytes[at] = 0xff;
      writeFileSync(file, bytes);
      const read = await driver.readMetadata(file).catch((thrown: unknown) => thrown as Error);
      if (read instanceof Error) expect(read).to.include({ code: 'model_unusable' });
    }
  });
});
