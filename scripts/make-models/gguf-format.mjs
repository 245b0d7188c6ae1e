/**
 * The numbers of the GGUF v3 container and of the tensor types this folder writes: value types, block sizes, byte sizes.
 * Knows nothing about models or files.
 */

export const ggufMagic = 0x46554747;
export const ggufVersion = 3;
export const defaultAlignment = 32;

/** Metadata value types by name; `bytes` is 0 where the size varies. */
export const valueTypes = {
  u8: { id: 0, bytes: 1 },
  i8: { id: 1, bytes: 1 },
  u16: { id: 2, bytes: 2 },
  i16: { id: 3, bytes: 2 },
  u32: { id: 4, bytes: 4 },
  i32: { id: 5, bytes: 4 },
  f32: { id: 6, bytes: 4 },
  bool: { id: 7, bytes: 1 },
  string: { id: 8, bytes: 0 },
  array: { id: 9, bytes: 0 },
  u64: { id: 10, bytes: 8 },
  i64: { id: 11, bytes: 8 },
  f64: { id: 12, bytes: 8 },
};

const valueTypeNames = new Map(Object.entries(valueTypes).map(([name, { id }]) => [id, name]));

/** Name of a metadata value type; throws for a number the format does not know. */
export function valueTypeName(id) {
  const name = valueTypeNames.get(id);
  if (name === undefined) throw new Error(`GGUF: unknown value type ${id}`);
  return name;
}

/** Tensor types by name: number in the file, elements per block, bytes per block. */
export const tensorTypes = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q4_K: { id: 12, block: 256, bytes: 144 },
  Q5_K: { id: 13, block: 256, bytes: 176 },
  Q6_K: { id: 14, block: 256, bytes: 210 },
};

const tensorTypeNames = new Map(Object.entries(tensorTypes).map(([name, { id }]) => [id, name]));

/** Name of a tensor type, or `type N` where this folder does not write it. */
export function tensorTypeName(id) {
  return tensorTypeNames.get(id) ?? `type ${id}`;
}

/** Bytes of a tensor; `shape[0]` is the row length and must hold whole blocks. */
export function tensorBytes(type, shape) {
  const traits = tensorTypes[type];
  if (traits === undefined) throw new Error(`GGUF: no tensor type ${type}`);
  if (shape[0] % traits.block !== 0) throw new Error(`GGUF: rows of ${shape[0]} do not hold whole ${type} blocks`);
  return (shape.reduce((product, extent) => product * extent, 1) / traits.block) * traits.bytes;
}

/** The next multiple of `alignment` at or after `offset`. */
export function alignUp(offset, alignment) {
  return Math.ceil(offset / alignment) * alignment;
}

/** Makes typed metadata values: `kv.u32(4)`, `kv.string('x')`, `kv.array('string', [...])`. */
export const kv = {
  ...Object.fromEntries(Object.keys(valueTypes).map((type) => [type, (value) => ({ type, value })])),
  array: (elementType, value) => ({ type: 'array', elementType, value }),
};
