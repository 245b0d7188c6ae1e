import { mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { LlamaestroError } from '../../src/base/errors.js';
import { readGgufHeader, type GgufHeader } from '../../src/store/gguf-header.js';
import { demoModel, embedderModel, prefillModel, rerankerModel, tinyModel } from '../support/models.js';
import { ggufBytes, LLAMA, rawArray, rawOfType, TWO_TENSORS, TWO_TENSORS_DATA_BYTES } from './gguf-bytes.js';

const whole = ggufBytes({ metadata: LLAMA, tensors: TWO_TENSORS, dataBytes: TWO_TENSORS_DATA_BYTES });

describe('the header of a GGUF file', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'llamaestro-test-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function headerOf(bytes: Buffer): Promise<GgufHeader> {
    const path = join(folder, 'model.gguf');
    await writeFile(path, bytes);
    return readGgufHeader(path);
  }

  /** The sentence of the refusal; anything but a refusal fails the test. */
  async function refusalOf(reading: Promise<unknown>): Promise<string> {
    const outcome = await reading.then(
      (header) => ({ header }),
      (error: unknown) => ({ error }),
    );
    if (!('error' in outcome)) throw new Error(`accepted: ${JSON.stringify(outcome.header)}`);
    expect(outcome.error).to.be.instanceOf(LlamaestroError);
    const error = outcome.error as LlamaestroError;
    expect(error.code).to.equal('model_unusable');
    return error.message;
  }

  it('tells what the model is', async () => {
    expect(await headerOf(whole)).to.deep.equal({
      version: 3,
      architecture: 'llama',
      name: 'by hand',
      purpose: 'generate',
      blockCount: 2,
      contextLength: 512,
      embeddingLength: 64,
      vocabSize: 3,
      hasChatTemplate: false,
      quantisation: 'Q8_0',
      parameterCount: 64 * 3 + 64,
      tensorCount: 2,
      tensorBytes: 2 * 34 * 3 + 256,
      splitCount: 1,
      fileBytes: whole.length,
    });
  });

  it('names an unknown quantisation after most of the weights', async () => {
    const metadata = { ...LLAMA, 'general.file_type': { uint32: 999 } };
    const header = await headerOf(ggufBytes({ metadata, tensors: TWO_TENSORS, dataBytes: TWO_TENSORS_DATA_BYTES }));
    expect(header.quantisation).to.equal('Q8_0');
  });

  it('says what a file can be loaded for', async () => {
    const purposes = await Promise.all(
      [tinyModel(), embedderModel(), rerankerModel()].map(async (path) => {
        return (await readGgufHeader(await path)).purpose;
      }),
    );
    expect(purposes).to.deep.equal(['generate', 'embed', 'rerank']);
  });

  it('agrees with the files the model maker writes', async () => {
    const header = await readGgufHeader(await demoModel('coder'));
    expect(header).to.include({ architecture: 'llama', name: 'coder', hasChatTemplate: true, blockCount: 1 });
    const prefill = await readGgufHeader(await prefillModel());
    expect(prefill.parameterCount).to.be.within(25e6, 32e6);
    expect(prefill.fileBytes).to.equal((await stat(await prefillModel())).size);
    expect(prefill.tensorBytes).to.be.within(prefill.fileBytes * 0.9, prefill.fileBytes);
  });

  it('refuses every truncation of a real file', async () => {
    const bytes = await readFile(await tinyModel());
    const path = join(folder, 'cut.gguf');
    await writeFile(path, bytes);
    const file = await open(path, 'r+');
    const lengths: number[] = [];
    for (let length = bytes.length - 32; length > 0; length -= length > 30_000 ? 5001 : 61) lengths.push(length);
    for (const length of [...lengths, 0]) {
      await file.truncate(length);
      expect(await refusalOf(readGgufHeader(path)), `cut at ${length}`).to.contain('cut off');
    }
    await file.close();
  });

  it('says how much is missing', async () => {
    const message = await refusalOf(headerOf(whole.subarray(0, whole.length - 100)));
    expect(message).to.contain(`its tensors need ${whole.length} bytes, it has ${whole.length - 100}`);
  });

  const wrong: Readonly<Record<string, readonly [Buffer, string]>> = {
    'a text file': [Buffer.from('version: 1\nname: demo\n'.repeat(10)), 'instead of "GGUF"'],
    'a newer format': [ggufBytes({ metadata: LLAMA, version: 4 }), 'format version 4'],
    'the first format': [ggufBytes({ metadata: LLAMA, version: 1 }), 'format version 1'],
    'a big-endian file': [ggufBytes({ metadata: LLAMA, version: 0x03000000 }), 'big-endian'],
    'no architecture': [ggufBytes({ metadata: {} }), 'does not name its architecture'],
    'too many tensors': [ggufBytes({ metadata: LLAMA, tensorCount: 1_000_000n }), 'claims 1000000 tensors'],
    'a count beyond all numbers': [ggufBytes({ metadata: LLAMA, tensorCount: 2n ** 63n }), 'impossible'],
    'too many entries': [ggufBytes({ metadata: LLAMA, entryCount: 1_000_000n }), 'claims 1000000 metadata'],
    'more tensors than fit': [ggufBytes({ metadata: LLAMA, tensorCount: 100_000n }), 'cut off'],
    'an unknown value type': [ggufBytes({ metadata: { ...LLAMA, x: rawOfType(77) } }), 'unknown type 77'],
    'an array of arrays': [ggufBytes({ metadata: { ...LLAMA, x: rawArray(9, 2n) } }), 'unknown type 9'],
    'an array longer than the file': [ggufBytes({ metadata: { ...LLAMA, x: rawArray(4, 2n ** 40n) } }), 'cut off'],
    'strings longer than the file': [ggufBytes({ metadata: { ...LLAMA, x: rawArray(8, 2n ** 40n) } }), 'cut off'],
    'an unknown tensor type': [
      ggufBytes({ metadata: LLAMA, tensors: [{ name: 't', dimensions: [32], type: 31, offset: 0 }] }),
      "tensor 't' has the unknown type 31",
    ],
    'five dimensions': [
      ggufBytes({ metadata: LLAMA, tensors: [{ name: 't', dimensions: [1, 1, 1, 1, 1], type: 0, offset: 0 }] }),
      '5 dimensions',
    ],
    'a tensor beyond all numbers': [
      ggufBytes({ metadata: LLAMA, tensors: [{ name: 't', dimensions: [2n ** 40n, 2n ** 40n], type: 0, offset: 0 }] }),
      'impossibly large',
    ],
    'rows of half a block': [
      ggufBytes({ metadata: LLAMA, tensors: [{ name: 't', dimensions: [48, 2], type: 8, offset: 0 }], dataBytes: 999 }),
      'whole blocks of Q8_0',
    ],
    'an alignment of nothing': [
      ggufBytes({ metadata: { ...LLAMA, 'general.alignment': { uint32: 0 } }, tensors: TWO_TENSORS, dataBytes: 999 }),
      'alignment of 0',
    ],
  };
  for (const [name, [bytes, sentence]] of Object.entries(wrong)) {
    it(`refuses ${name}`, async () => {
      expect(await refusalOf(headerOf(bytes))).to.contain(sentence);
    });
  }

  it('refuses what is no file', async () => {
    expect(await refusalOf(readGgufHeader(folder))).to.contain('is not a file');
    expect(await refusalOf(readGgufHeader(join(folder, 'none.gguf')))).to.contain('there is no such file');
  });

  it('answers or refuses whatever bytes a header has, and nothing else', async () => {
    const flips = fc.array(fc.tuple(fc.nat(whole.length - TWO_TENSORS_DATA_BYTES - 1), fc.nat(255)), { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(flips, async (changes) => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        const outcome = await headerOf(bytes).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).to.have.property('code', 'model_unusable');
      }),
      { numRuns: 300 },
    );
  });
});
