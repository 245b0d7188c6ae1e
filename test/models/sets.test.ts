/** The sets: made once, remade when wrong, named errors; shapes and sizes of what is in them. */
import { expect } from 'chai';
import { mkdtemp, readFile, readdir, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  borrowedVocabulary,
  defaultLlamaCppDir,
  devShapes,
  makeModels,
  randomModel,
  readGgufHeader,
  writeGguf,
  type GgufModel,
} from '../../scripts/make-models/index.mjs';

const failureOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no failure',
    (error: Error) => error.message,
  );

describe('model sets', () => {
  let out: string;
  beforeEach(async () => {
    out = await mkdtemp(join(tmpdir(), 'models-'));
  });
  afterEach(() => rm(out, { recursive: true, force: true }));

  it('makes the ten models of the demo profile, the talking ones below a megabyte', async () => {
    const lines: string[] = [];
    const made = await makeModels({ out, set: 'demo', log: (line) => lines.push(line) });
    const profile = await readFile(new URL('../../profiles/demo.yaml', import.meta.url), 'utf8');
    expect(made).to.have.length(10);
    expect(lines).to.have.length(10);
    for (const { name, path, bytes } of made) {
      expect(profile).to.include(`role: ${name}\n`).and.to.include(`file: demo/${name}.gguf\n`);
      expect(path).to.equal(join(out, 'demo', `${name}.gguf`));
      expect((await stat(path)).size).to.equal(bytes);
      if (!['embedder', 'reranker'].includes(name)) expect(bytes).to.be.lessThan(1e6);
    }
    expect((await readdir(out)).sort()).to.deep.equal(['demo', 'made-models.json']);
  });

  it('makes nothing the second time, and again what was damaged', async () => {
    await makeModels({ out, set: 'demo', only: 'coder' });
    const [again] = await makeModels({ out, set: 'demo', only: 'coder' });
    expect(again?.made).to.equal(false);
    await truncate(again?.path ?? '', 100);
    const [repaired] = await makeModels({ out, set: 'demo', only: 'coder' });
    expect(repaired?.made).to.equal(true);
    expect((await stat(repaired?.path ?? '')).size).to.equal(repaired?.bytes);
  });

  it('names what there is when asked for what there is not', async () => {
    expect(await failureOf(makeModels({ out, set: 'exam' as 'test' }))).to.equal(
      'no set "exam"; there are demo, test, architectures, bench, bench-gpu, dev-sparse',
    );
    expect(await failureOf(makeModels({ out, set: 'demo', only: 'poet' }))).to.match(/^no model "poet" in the set demo;/);
    const lost = await failureOf(makeModels({ out, set: 'demo', only: 'embedder', llamaCppDir: join(out, 'nowhere') }));
    expect(lost).to.match(/^vocabulary bert-bge: .*LLAMA_CPP_DIR/);
  });

  it('gives embedder and reranker their pooling', async () => {
    const made = await makeModels({ out, set: 'test', only: 'embedder' });
    const [reranker] = await makeModels({ out, set: 'test', only: 'reranker' });
    const pooling = async (path = '') => (await readGgufHeader(path)).metadata.get('bert.pooling_type')?.value;
    expect(await pooling(made[0]?.path)).to.equal(1);
    expect(await pooling(reranker?.path)).to.equal(4);
  });
});

describe('random-weight models', () => {
  const parameterCount = ({ tensors }: GgufModel): number =>
    tensors.reduce((sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1), 0);

  it('have the promised sizes', async () => {
    const dir = defaultLlamaCppDir();
    expect(parameterCount(await randomModel('15m', dir)) / 1e6).to.be.within(14, 15);
    expect(parameterCount(await randomModel('150m', dir)) / 1e6).to.be.within(150, 156);
    expect(parameterCount(await randomModel('prefill', dir)) / 1e6).to.be.within(25, 31);
  });

  it('are equal for equal seeds, different for others, and have weights everywhere', async () => {
    const data = async (seed: number): Promise<Buffer> => {
      const { tensors } = await randomModel('tiny', '', seed);
      return Buffer.concat([...(tensors.find(({ name }) => name === 'blk.1.attn_q.weight')?.data?.() ?? [])]);
    };
    const [one, same, other] = [await data(1), await data(1), await data(2)];
    expect(one.equals(same)).to.equal(true);
    expect(one.equals(other)).to.equal(false);
    for (let at = 0; at < one.length; at += 34) {
      const scaleBits = one.readUInt16LE(at);
      expect(scaleBits).to.be.within(0x0400, 0x7bff);
      expect(new Set(one.subarray(at + 2, at + 34)).size).to.be.greaterThan(16);
    }
  });
});

describe('borrowed vocabularies', () => {
  it('survive decoding and encoding byte for byte', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vocabulary-'));
    try {
      for (const name of ['bert-bge', 'llama-spm', 'qwen2']) {
        const { metadata } = await borrowedVocabulary(defaultLlamaCppDir(), name);
        const decoded = metadata.map(([key, { type, elementType = '', value }]) => [key, { type, elementType, value }] as const);
        const path = join(folder, `${name}.gguf`);
        await writeGguf(path, { metadata: decoded, tensors: [] });
        const written = (await readGgufHeader(path)).metadata;
        for (const [key, value] of metadata) {
          expect(written.get(key)?.raw.equals((value as unknown as { raw: Buffer }).raw), `${name} ${key}`).to.equal(true);
        }
      }
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('are cut and filled to size without a token twice', async () => {
    for (const size of [30000, 40000]) {
      const { metadata } = await borrowedVocabulary(defaultLlamaCppDir(), 'llama-spm', { size });
      const items = (key: string): unknown[] => new Map(metadata).get(`tokenizer.ggml.${key}`)?.value as unknown[];
      for (const key of ['tokens', 'scores', 'token_type']) expect(items(key), key).to.have.length(size);
      expect(new Set(items('tokens')).size).to.equal(size);
    }
  });
});

describe('sparse files of the dev profile', () => {
  let out: string;
  before(async () => {
    out = await mkdtemp(join(tmpdir(), 'sparse-'));
    await makeModels({ out, set: 'dev-sparse' });
  });
  after(() => rm(out, { recursive: true, force: true }));

  it('are the models that the profile names', async () => {
    const profile = await readFile(new URL('../../profiles/dev.yaml', import.meta.url), 'utf8');
    expect(devShapes).to.have.length(10);
    for (const { role, source } of devShapes) {
      expect(profile).to.include(`role: ${role}\n`).and.to.include(`file: dev/${source.file}\n`);
      expect(profile).to.include(`repo: ${source.repo}`).and.to.include(`quantisation: ${source.quantisation}`);
    }
  });

  for (const shape of devShapes) {
    it(`${shape.role} is as long as ${shape.source.file} and takes no room`, async () => {
      const path = join(out, 'dev-sparse', shape.source.file);
      const found = await stat(path);
      expect(Math.abs(found.size - shape.fileBytes) / shape.fileBytes).to.be.lessThan(0.002);
      expect(found.blocks * 512).to.be.lessThan(16e6);
      const header = await readGgufHeader(path);
      expect(header.metadata.get('general.architecture')?.value).to.equal(shape.architecture);
      expect(header.metadata.get('tokenizer.ggml.tokens')?.value).to.have.length(shape.vocabularySize);
      const embedding = header.tensors.find(({ name }) => name === 'token_embd.weight');
      expect(embedding?.shape[1]).to.equal(shape.vocabularySize);
      const layers = new Set(header.tensors.map(({ name }) => /^blk\.(\d+)\./.exec(name)?.[1]).filter(Boolean));
      expect(layers.size).to.equal(shape.layers);
    });
  }
});
