/**
 * Where every field of a GGUF header lies, so that damage can aim: offsets into the file, not values. Trusts its input,
 * which is a file that our own writer made.
 */

export interface KeyPlace {
  readonly key: string;
  /** Of the whole entry: the length of its name, the name, the type, the value. */
  readonly start: number;
  readonly typeAt: number;
  readonly valueAt: number;
  readonly end: number;
  readonly type: number;
}

export interface TensorPlace {
  readonly name: string;
  readonly start: number;
  readonly dimensionsAt: number;
  /** Of each extent, 8 bytes. */
  readonly extentsAt: readonly number[];
  readonly typeAt: number;
  readonly offsetAt: number;
  readonly end: number;
}

export interface HeaderMap {
  readonly keys: readonly KeyPlace[];
  readonly tensors: readonly TensorPlace[];
  /** First byte of the tensor data. */
  readonly dataAt: number;
}

/** Offsets of the counts in every file. */
export const TENSOR_COUNT_AT = 8;
export const KEY_COUNT_AT = 16;

export const STRING_TYPE = 8;
export const ARRAY_TYPE = 9;
const ALIGNMENT = 32;

/** Bytes of a scalar, by type number. */
export const SCALAR_BYTES: readonly number[] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

export function mapHeader(file: Buffer): HeaderMap {
  let at = 24;
  const u32 = (): number => file.readUInt32LE((at += 4) - 4);
  const u64 = (): number => Number(file.readBigUInt64LE((at += 8) - 8));
  const text = (): string => {
    const length = u64();
    at += length;
    return file.toString('latin1', at - length, at);
  };
  const skipValue = (type: number): void => {
    if (type === STRING_TYPE) {
      text();
    } else if (type === ARRAY_TYPE) {
      const elementType = u32();
      const count = u64();
      if (elementType === STRING_TYPE) for (let index = 0; index < count; index++) text();
      else at += count * (SCALAR_BYTES[elementType] ?? 0);
    } else {
      at += SCALAR_BYTES[type] ?? 0;
    }
  };
  const key = (): KeyPlace => {
    const start = at;
    const name = text();
    const typeAt = at;
    const type = u32();
    const valueAt = at;
    skipValue(type);
    return { key: name, start, typeAt, valueAt, end: at, type };
  };
  const tensor = (): TensorPlace => {
    const start = at;
    const name = text();
    const dimensionsAt = at;
    const extentsAt = Array.from({ length: u32() }, () => (at += 8) - 8);
    const typeAt = at;
    const offsetAt = at + 4;
    at += 12;
    return { name, start, dimensionsAt, extentsAt, typeAt, offsetAt, end: at };
  };
  const keys = Array.from({ length: Number(file.readBigUInt64LE(KEY_COUNT_AT)) }, key);
  const tensors = Array.from({ length: Number(file.readBigUInt64LE(TENSOR_COUNT_AT)) }, tensor);
  return { keys, tensors, dataAt: Math.ceil(at / ALIGNMENT) * ALIGNMENT };
}
