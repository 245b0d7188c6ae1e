/**
 * Reads the header of a GGUF v3 file: metadata and tensor table, never the data. Enough to borrow a tokenizer from a
 * vocabulary file and to check what the writer wrote; it trusts its input more than a server may.
 */
import { open } from 'node:fs/promises';
import {
  alignUp,
  defaultAlignment,
  ggufMagic,
  ggufVersion,
  tensorTypeName,
  valueTypeName,
  valueTypes,
} from './gguf-format.mjs';

const firstReadBytes = 1 << 20;
const maximumHeaderBytes = 1 << 28;

/**
 * Returns `{ metadata, tensors, alignment, dataOffset, fileBytes }`: metadata a Map from key to
 * `{ type, elementType?, raw, value }` (`value` is decoded when asked for, 64-bit numbers as BigInt), tensors
 * `{ name, type, shape, offset }` in file order with offsets into the data. Throws on anything that is not GGUF v3.
 */
export async function readGgufHeader(path) {
  const file = await open(path, 'r');
  try {
    const { size: fileBytes } = await file.stat();
    for (let length = firstReadBytes; ; length *= 4) {
      const buffer = Buffer.alloc(Math.min(length, fileBytes, maximumHeaderBytes));
      await file.read(buffer, 0, buffer.length, 0);
      try {
        return { ...parseHeader(buffer), fileBytes };
      } catch (error) {
        if (!(error instanceof RangeError) || buffer.length < length) throw new Error(`${path}: ${error.message}`);
      }
    }
  } finally {
    await file.close();
  }
}

function parseHeader(buffer) {
  const cursor = { buffer, at: 0 };
  if (u32(cursor) !== ggufMagic) throw new Error('not a GGUF file');
  const version = u32(cursor);
  if (version !== ggufVersion) throw new Error(`GGUF version ${version}, expected ${ggufVersion}`);
  const tensorCount = u64(cursor);
  const pairCount = u64(cursor);
  const metadata = new Map();
  for (let i = 0; i < pairCount; i++) {
    const key = stringBytes(cursor).toString('utf8');
    metadata.set(key, readValue(cursor));
  }
  const tensors = [];
  for (let i = 0; i < tensorCount; i++) {
    const name = stringBytes(cursor).toString('utf8');
    const shape = Array.from({ length: u32(cursor) }, () => u64(cursor));
    tensors.push({ name, shape, type: tensorTypeName(u32(cursor)), offset: u64(cursor) });
  }
  const alignment = metadata.get('general.alignment')?.value ?? defaultAlignment;
  return { metadata, tensors, alignment, dataOffset: alignUp(cursor.at, alignment) };
}

function readValue(cursor) {
  const type = valueTypeName(u32(cursor));
  const start = cursor.at;
  const elementType = skipValue(cursor, type);
  const raw = cursor.buffer.subarray(start, cursor.at);
  return {
    type,
    ...(elementType === undefined ? {} : { elementType }),
    raw,
    get value() {
      return decodeValue({ buffer: raw, at: 0 }, type);
    },
  };
}

function skipValue(cursor, type) {
  if (type === 'string') return void stringBytes(cursor);
  if (type !== 'array') return void take(cursor, valueTypes[type].bytes);
  const elementType = valueTypeName(u32(cursor));
  const count = u64(cursor);
  if (valueTypes[elementType].bytes > 0) take(cursor, count * valueTypes[elementType].bytes);
  else for (let i = 0; i < count; i++) skipValue(cursor, elementType);
  return elementType;
}

function decodeValue(cursor, type) {
  if (type === 'string') return stringBytes(cursor).toString('utf8');
  if (type === 'array') {
    const elementType = valueTypeName(u32(cursor));
    return Array.from({ length: u64(cursor) }, () => decodeValue(cursor, elementType));
  }
  return decodeNumber(cursor.buffer, type, take(cursor, valueTypes[type].bytes));
}

const getters = {
  u8: 'readUInt8',
  i8: 'readInt8',
  u16: 'readUInt16LE',
  i16: 'readInt16LE',
  u32: 'readUInt32LE',
  i32: 'readInt32LE',
  f32: 'readFloatLE',
  u64: 'readBigUInt64LE',
  i64: 'readBigInt64LE',
  f64: 'readDoubleLE',
};

function decodeNumber(buffer, type, at) {
  return type === 'bool' ? buffer.readUInt8(at) !== 0 : buffer[getters[type]](at);
}

function stringBytes(cursor) {
  const length = u64(cursor);
  const start = take(cursor, length);
  return cursor.buffer.subarray(start, start + length);
}

function u32(cursor) {
  return cursor.buffer.readUInt32LE(take(cursor, 4));
}

function u64(cursor) {
  return Number(cursor.buffer.readBigUInt64LE(take(cursor, 8)));
}

/** Moves on by `bytes` and returns the old place; a RangeError means that more of the file must be read. */
function take(cursor, bytes) {
  const start = cursor.at;
  if (start + bytes > cursor.buffer.length) throw new RangeError('the header is cut off');
  cursor.at = start + bytes;
  return start;
}
