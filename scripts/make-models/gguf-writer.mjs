/**
 * Writes a GGUF v3 file: header, metadata, tensor table, then the data of one tensor after the other as its producer
 * yields it, so that a model never has to fit in memory. In sparse mode the data stays a hole of the right length. Knows
 * the container only; what a tensor means is its caller's business.
 */
import { open, rename, rm } from 'node:fs/promises';
import {
  alignUp,
  defaultAlignment,
  ggufMagic,
  ggufVersion,
  tensorBytes,
  tensorTypes,
  valueTypes,
} from './gguf-format.mjs';

/**
 * Writes through a temporary neighbour and a rename, so that `path` holds a whole file or none.
 *
 * `model`: `{ metadata, tensors, sparse?, alignment? }`, metadata being pairs of key and `kv` value, a tensor being
 * `{ name, type, shape, data }` with `data()` returning an iterable of buffers (not called when sparse).
 * Returns the bytes of the file. Throws when a producer yields more or fewer bytes than the shape says.
 */
export async function writeGguf(path, model) {
  const temporary = `${path}.${process.pid}-${temporaryCount++}.tmp`;
  const file = await open(temporary, 'wx');
  try {
    const bytes = await writeModel(file, model);
    await file.close();
    await rename(temporary, path);
    return bytes;
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(temporary, { force: true });
    throw error;
  }
}

let temporaryCount = 0;

async function writeModel(file, { metadata, tensors, sparse = false, alignment = defaultAlignment }) {
  const { header, offsets, dataBytes } = encodeHeader(metadata, tensors, alignment);
  const dataOffset = alignUp(header.length, alignment);
  await writeAt(file, header, 0);
  const totalBytes = dataOffset + dataBytes;
  await file.truncate(totalBytes);
  if (!sparse) {
    for (const [index, tensor] of tensors.entries()) await writeTensor(file, tensor, dataOffset + offsets[index]);
  }
  return totalBytes;
}

async function writeTensor(file, tensor, start) {
  const expected = tensorBytes(tensor.type, tensor.shape);
  let written = 0;
  for (const buffer of tensor.data()) {
    if (written + buffer.length > expected) throw new Error(`GGUF: ${tensor.name} has more than ${expected} bytes`);
    await writeAt(file, buffer, start + written);
    written += buffer.length;
  }
  if (written !== expected) throw new Error(`GGUF: ${tensor.name} has ${written} bytes, its shape needs ${expected}`);
}

async function writeAt(file, buffer, position) {
  for (let done = 0; done < buffer.length;) {
    const { bytesWritten } = await file.write(buffer, done, buffer.length - done, position + done);
    done += bytesWritten;
  }
}

/** Encodes everything before the data; `offsets` are the tensors' places within the data. */
export function encodeHeader(metadata, tensors, alignment = defaultAlignment) {
  const parts = [u32(ggufMagic), u32(ggufVersion), u64(tensors.length), u64(metadata.length)];
  for (const [key, value] of metadata) parts.push(string(key), u32(valueTypes[value.type].id), encodeValue(value));
  const offsets = [];
  let offset = 0;
  for (const { name, type, shape } of tensors) {
    parts.push(string(name), u32(shape.length), ...shape.map(u64), u32(tensorTypes[type].id), u64(offset));
    offsets.push(offset);
    offset = alignUp(offset + tensorBytes(type, shape), alignment);
  }
  return { header: Buffer.concat(parts), offsets, dataBytes: offset };
}

function encodeValue(value) {
  if (value.raw !== undefined) return value.raw;
  if (value.type !== 'array') return encodeScalar(value.type, value.value);
  const head = [u32(valueTypes[value.elementType].id), u64(value.value.length)];
  const size = valueTypes[value.elementType].bytes;
  if (size === 0) return Buffer.concat([...head, ...value.value.map((item) => encodeScalar(value.elementType, item))]);
  const items = Buffer.alloc(size * value.value.length);
  value.value.forEach((item, index) => putNumber(items, value.elementType, item, index * size));
  return Buffer.concat([...head, items]);
}

function encodeScalar(type, value) {
  if (type === 'string') return string(value);
  const bytes = Buffer.alloc(valueTypes[type].bytes);
  putNumber(bytes, type, value, 0);
  return bytes;
}

const putters = {
  u8: 'writeUInt8',
  i8: 'writeInt8',
  u16: 'writeUInt16LE',
  i16: 'writeInt16LE',
  u32: 'writeUInt32LE',
  i32: 'writeInt32LE',
  f32: 'writeFloatLE',
  f64: 'writeDoubleLE',
};

function putNumber(buffer, type, value, offset) {
  if (type === 'bool') buffer.writeUInt8(value ? 1 : 0, offset);
  else if (type === 'u64') buffer.writeBigUInt64LE(BigInt(value), offset);
  else if (type === 'i64') buffer.writeBigInt64LE(BigInt(value), offset);
  else if (putters[type] !== undefined) buffer[putters[type]](value, offset);
  else throw new Error(`GGUF: cannot write a value of type ${type}`);
}

function u32(value) {
  return encodeScalar('u32', value);
}

function u64(value) {
  return encodeScalar('u64', value);
}

/** Strings may be buffers: a token can be half of a character. */
function string(value) {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(value, 'utf8');
  return Buffer.concat([u64(bytes.length), bytes]);
}
