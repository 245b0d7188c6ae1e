/** The container: what the writer writes, the reader reads back; data lies where the table says; failures leave no file. */
import { expect } from 'chai';
import { mkdtemp, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kv, readGgufHeader, tensorBytes, writeGguf, type GgufModel } from '../../scripts/make-models/index.mjs';

const values = [
  ['a.u8', kv.u8(255)],
  ['a.i8', kv.i8(-128)],
  ['a.u16', kv.u16(65535)],
  ['a.i16', kv.i16(-32768)],
  ['a.u32', kv.u32(4294967295)],
  ['a.i32', kv.i32(-2147483648)],
  ['a.f32', kv.f32(0.5)],
  ['a.bool', kv.bool(true)],
  ['a.string', kv.string('naïve ☃')],
  ['a.u64', kv.u64(2n ** 63n)],
  ['a.i64', kv.i64(-5n)],
  ['a.f64', kv.f64(Math.PI)],
  ['a.texts', kv.array('string', ['one', '', 'drei'])],
  ['a.numbers', kv.array('i32', [1, -2, 3])],
  ['a.flags', kv.array('bool', [true, false])],
  ['a.none', kv.array('f32', [])],
] as const;

const first = Buffer.from(new Float32Array([1, 2, 3]).buffer);
const second = Buffer.alloc(68, 7);

function model(overrides: Partial<GgufModel> = {}): GgufModel {
  return {
    metadata: values,
    tensors: [
      { name: 'first', type: 'F32', shape: [3], data: () => [first] },
      { name: 'second', type: 'Q8_0', shape: [32, 2], data: () => [second.subarray(0, 20), second.subarray(20)] },
    ],
    ...overrides,
  };
}

async function bytesAt(path: string, offset: number, length: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await file.read(buffer, 0, length, offset);
    expect(bytesRead).to.equal(length);
    return buffer;
  } finally {
    await file.close();
  }
}

describe('GGUF writer', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gguf-'));
    path = join(folder, 'model.gguf');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('writes metadata of every type so that it reads back equal', async () => {
    await writeGguf(path, model());
    const { metadata } = await readGgufHeader(path);
    expect([...metadata.keys()]).to.deep.equal(values.map(([key]) => key));
    for (const [key, { type, value }] of values) {
      expect(metadata.get(key)?.type, key).to.equal(type);
      expect(metadata.get(key)?.value, key).to.deep.equal(value);
    }
  });

  it('puts each tensor at an aligned place, in order, with its own bytes', async () => {
    const bytes = await writeGguf(path, model());
    const header = await readGgufHeader(path);
    expect(header.tensors.map(({ name, type, shape }) => [name, type, shape])).to.deep.equal([
      ['first', 'F32', [3]],
      ['second', 'Q8_0', [32, 2]],
    ]);
    expect(header.dataOffset % 32).to.equal(0);
    expect(header.tensors.map(({ offset }) => offset)).to.deep.equal([0, 32]);
    expect(await bytesAt(path, header.dataOffset, 12)).to.deep.equal(first);
    expect(await bytesAt(path, header.dataOffset + 32, 68)).to.deep.equal(second);
    expect(bytes).to.equal(header.dataOffset + 32 + 96).and.to.equal((await stat(path)).size);
  });

  it('honours another alignment that the metadata declares', async () => {
    const metadata = [['general.alignment', kv.u32(128)]] as const;
    await writeGguf(path, model({ metadata, alignment: 128 }));
    const header = await readGgufHeader(path);
    expect(header.dataOffset % 128).to.equal(0);
    expect(header.tensors[1]?.offset).to.equal(128);
    expect(await bytesAt(path, header.dataOffset + 128, 68)).to.deep.equal(second);
  });

  it('leaves a hole of the right length when sparse', async () => {
    const shape = [4096, 65536];
    const tensors = [{ name: 'large', type: 'Q4_K', shape }];
    const bytes = await writeGguf(path, { metadata: values, tensors, sparse: true });
    const found = await stat(path);
    expect(found.size).to.equal(bytes).and.to.be.greaterThan(tensorBytes('Q4_K', shape));
    expect(found.blocks * 512).to.be.lessThan(1 << 20);
    expect((await readGgufHeader(path)).tensors[0]?.shape).to.deep.equal(shape);
  });

  for (const [what, buffer] of [
    ['too few', first.subarray(4)],
    ['too many', Buffer.alloc(16)],
  ] as const) {
    it(`refuses a producer with ${what} bytes and leaves nothing behind`, async () => {
      const tensors = [{ name: 'first', type: 'F32', shape: [3], data: () => [buffer] }];
      const failure = await writeGguf(path, { metadata: values, tensors }).then(
        () => undefined,
        (error: Error) => error.message,
      );
      expect(failure).to.match(/^GGUF: first has /);
      expect(await readdir(folder)).to.deep.equal([]);
    });
  }

  it('keeps the old file when a new one fails', async () => {
    await writeGguf(path, model());
    const before = await stat(path);
    await writeGguf(path, model({ tensors: [{ name: 'bad', type: 'Q8_0', shape: [33] }] })).catch(() => undefined);
    expect((await stat(path)).size).to.equal(before.size);
    expect(await readdir(folder)).to.deep.equal(['model.gguf']);
  });

  it('refuses to read what is not GGUF or is cut off, naming the file', async () => {
    await writeFile(path, 'GGML, an older cousin of the format');
    const wrong = await readGgufHeader(path).catch((error: Error) => error.message);
    expect(wrong).to.equal(`${path}: not a GGUF file`);
    const whole = join(folder, 'whole.gguf');
    await writeGguf(whole, model());
    await writeFile(path, await bytesAt(whole, 0, 100));
    const cut = await readGgufHeader(path).catch((error: Error) => error.message);
    expect(cut).to.equal(`${path}: the header is cut off`);
  });
});
