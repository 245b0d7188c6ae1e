/** GGUF files by hand, a few hundred bytes each, right or wrong in exactly the way a test wants. */

type Value =
  | { readonly string: string }
  | { readonly uint32: number }
  | { readonly float32: number }
  | { readonly strings: readonly string[] }
  | { readonly raw: Buffer };

export interface TensorBytes {
  readonly name: string;
  readonly dimensions: readonly (number | bigint)[];
  readonly type: number;
  readonly offset: number;
}

export interface GgufBytes {
  readonly magic?: string;
  readonly version?: number;
  readonly metadata: Readonly<Record<string, Value>>;
  readonly tensors?: readonly TensorBytes[];
  /** Replaces the true counts. */
  readonly tensorCount?: bigint;
  readonly entryCount?: bigint;
  readonly dataBytes?: number;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function valueBytes(value: Value): Buffer {
  if ('string' in value) return Buffer.concat([uint32(8), text(value.string)]);
  if ('uint32' in value) return Buffer.concat([uint32(4), uint32(value.uint32)]);
  if ('raw' in value) return value.raw;
  if ('strings' in value) {
    return Buffer.concat([uint32(9), uint32(8), uint64(value.strings.length), ...value.strings.map(text)]);
  }
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value.float32);
  return Buffer.concat([uint32(6), bytes]);
}

/** An array value header: element type and count as they stand in the file, with nothing behind them. */
export function rawArray(elementType: number, count: bigint): Value {
  return { raw: Buffer.concat([uint32(9), uint32(elementType), uint64(count)]) };
}

/** A value of a type number that does not exist. */
export function rawOfType(type: number): Value {
  return { raw: uint32(type) };
}

export const LLAMA = {
  'general.architecture': { string: 'llama' },
  'general.name': { string: 'by hand' },
  'general.file_type': { uint32: 7 },
  'llama.block_count': { uint32: 2 },
  'llama.context_length': { uint32: 512 },
  'llama.embedding_length': { uint32: 64 },
  'tokenizer.ggml.tokens': { strings: ['a', 'bc', ''] },
} as const;

/** Two tensors: 64 x 3 in Q8_0 (204 bytes, then padding), 64 in F32 (256 bytes). */
export const TWO_TENSORS: readonly TensorBytes[] = [
  { name: 'token_embd.weight', dimensions: [64, 3], type: 8, offset: 0 },
  { name: 'output_norm.weight', dimensions: [64], type: 0, offset: 224 },
];
export const TWO_TENSORS_DATA_BYTES = 224 + 256;

export function ggufBytes(parts: GgufBytes): Buffer {
  const { metadata, tensors = [] } = parts;
  const entries = Object.entries(metadata);
  const header = Buffer.concat([
    Buffer.from(parts.magic ?? 'GGUF', 'latin1'),
    uint32(parts.version ?? 3),
    uint64(parts.tensorCount ?? tensors.length),
    uint64(parts.entryCount ?? entries.length),
    ...entries.flatMap(([key, value]) => [text(key), valueBytes(value)]),
    ...tensors.flatMap(({ name, dimensions, type, offset }) => [
      text(name),
      uint32(dimensions.length),
      ...dimensions.map(uint64),
      uint32(type),
      uint64(offset),
    ]),
  ]);
  const padding = Buffer.alloc((32 - (header.length % 32)) % 32);
  return Buffer.concat([header, padding, Buffer.alloc(parts.dataBytes ?? 0)]);
}
