/**
 * Damages a good model file in one place, by kind and seed: cut short, a metadata value at an extreme, a tensor's entry at
 * an extreme, a flipped bit. Equal seeds give equal files. Pure; what becomes of the file is judged elsewhere.
 */
import { SeededRandom } from './seeded-random.js';
import {
  ARRAY_TYPE,
  KEY_COUNT_AT,
  SCALAR_BYTES,
  STRING_TYPE,
  TENSOR_COUNT_AT,
  type HeaderMap,
  type KeyPlace,
} from './header-map.js';

export const DAMAGE_KINDS = ['truncation', 'metadata', 'tensor', 'flip'] as const;
export type DamageKind = (typeof DAMAGE_KINDS)[number];

export interface Damaged {
  readonly bytes: Buffer;
  /** One line for a person. */
  readonly what: string;
}

const INTEGERS = [
  0n,
  1n,
  2n,
  3n,
  7n,
  33n,
  127n,
  128n,
  255n,
  256n,
  513n,
  65_535n,
  65_536n,
  (1n << 24n) + 1n,
  (1n << 31n) - 1n,
  1n << 31n,
  (1n << 32n) - 1n,
  1n << 40n,
  (1n << 62n) + 1n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
];
const FLOATS = [0, -0, 1, -1, 1e-30, 1e30, -1e30, 3.4e38, NaN, Infinity, -Infinity, 1e-45, 0.5, 65_504];
const WORDS = [
  '',
  'x',
  'llama',
  'mamba',
  'bert',
  'qwen3moe',
  'deepseek2',
  't5',
  'gpt2',
  'none',
  'plamo2',
  'hybriddna',
  'whitespace',
  'gemma4',
  'rwkv',
  'no_vocab',
  'yarn',
  'linear',
  '\xff\xfe\x80',
  '%s%n%s',
  '../../x',
  'a\0b',
  'y'.repeat(70_000),
  '{{ '.repeat(2000),
  '{% for a in range(1000000000) %}{{ a }}{% endfor %}',
  '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}',
  `{{ ${'('.repeat(50_000)}`,
];

/** The damaged copy; `map` is of `whole`. */
export function damage(whole: Buffer, map: HeaderMap, kind: DamageKind, seed: number): Damaged {
  const random = new SeededRandom(seed);
  switch (kind) {
    case 'truncation':
      return truncate(whole, map, random);
    case 'metadata':
      return changeKey(whole, map, random);
    case 'tensor':
      return changeTensor(whole, map, random);
    case 'flip':
      return flip(whole, map, random);
  }
}

function truncate(whole: Buffer, map: HeaderMap, random: SeededRandom): Damaged {
  const limit = random.chance(0.7) ? map.dataAt : whole.length;
  const length = random.below(limit);
  return { bytes: whole.subarray(0, length), what: `cut at ${length} of ${whole.length}` };
}

function changeKey(whole: Buffer, map: HeaderMap, random: SeededRandom): Damaged {
  const place = random.pick(map.keys);
  const name = whole.subarray(place.start, place.typeAt);
  const entry = whole.subarray(place.start, place.end);
  switch (random.below(8)) {
    case 0:
      return spliced(whole, map, place, [], `${place.key} is gone`);
    case 1:
      return spliced(whole, map, place, [entry, entry], `${place.key} twice`);
    case 2: {
      const type = random.below(14);
      const value = randomValue(type, random);
      const entryOf = Buffer.concat([name, u32(type), value.bytes]);
      return spliced(whole, map, place, [entryOf], `${place.key} as type ${type}: ${value.what}`);
    }
    default: {
      if (isInteger(place.type) && random.chance(0.4)) return nearby(whole, place, random);
      const value = place.type === ARRAY_TYPE ? otherArray(whole, place, random) : randomValue(place.type, random);
      const entryOf = Buffer.concat([name, u32(place.type), value.bytes]);
      return spliced(whole, map, place, [entryOf], `${place.key}: ${value.what}`);
    }
  }
}

function isInteger(type: number): boolean {
  return ![STRING_TYPE, ARRAY_TYPE, 6, 7, 12].includes(type);
}

/** A number that is only a little off: what contradicts the shapes rather than every bound. */
function nearby(whole: Buffer, place: KeyPlace, random: SeededRandom): Damaged {
  const bytes = Buffer.from(whole);
  const width = place.end - place.valueAt;
  const now = bytes.readUIntLE(place.valueAt, Math.min(width, 6));
  const other = random.pick([now + 1, now - 1, now * 2, Math.floor(now / 2), now * 3, now + 32]);
  const value = Math.max(0, other) % 2 ** (8 * Math.min(width, 6));
  bytes.writeUIntLE(value, place.valueAt, Math.min(width, 6));
  return { bytes, what: `${place.key}: ${value} for ${now}` };
}

/** Puts `entries` in place of one, moves the data so that it stays aligned, and corrects the count. */
function spliced(whole: Buffer, map: HeaderMap, place: KeyPlace, entries: readonly Buffer[], what: string): Damaged {
  const headerEnd = map.tensors.at(-1)?.end ?? map.keys.at(-1)?.end ?? 24;
  const header = Buffer.concat([whole.subarray(0, place.start), ...entries, whole.subarray(place.end, headerEnd)]);
  header.writeBigUInt64LE(BigInt(map.keys.length - 1 + entries.length), KEY_COUNT_AT);
  const padding = Buffer.alloc((32 - (header.length % 32)) % 32);
  return { bytes: Buffer.concat([header, padding, whole.subarray(map.dataAt)]), what };
}

interface Value {
  readonly bytes: Buffer;
  readonly what: string;
}

function randomValue(type: number, random: SeededRandom): Value {
  if (type === STRING_TYPE) {
    const word = random.pick(WORDS);
    return { bytes: text(word), what: JSON.stringify(word.slice(0, 40)) };
  }
  if (type === ARRAY_TYPE) {
    const elementType = random.below(13);
    const count = random.pick([0, 1, 2, 8, 1000]);
    const items = Array.from({ length: count }, () =>
      randomValue(elementType === ARRAY_TYPE ? 4 : elementType, random),
    );
    const head = Buffer.concat([u32(elementType), u64(BigInt(random.chance(0.8) ? count : count + 1))]);
    return { bytes: Buffer.concat([head, ...items.map(({ bytes }) => bytes)]), what: `array of ${count}` };
  }
  if (type === 6 || type === 12) {
    const number = random.pick(FLOATS);
    const bytes = Buffer.alloc(type === 6 ? 4 : 8);
    if (type === 6) bytes.writeFloatLE(number);
    else bytes.writeDoubleLE(number);
    return { bytes, what: String(number) };
  }
  const number = random.pick(INTEGERS);
  const width = SCALAR_BYTES[type] ?? random.pick([0, 4, 8]);
  return { bytes: u64(number).subarray(0, width), what: String(number) };
}

/** The array shorter, or with its bytes changed somewhere, or something else altogether. */
function otherArray(whole: Buffer, place: KeyPlace, random: SeededRandom): Value {
  const value = Buffer.from(whole.subarray(place.valueAt, place.end));
  const elementType = value.readUInt32LE(0);
  const count = Number(value.readBigUInt64LE(4));
  const width = SCALAR_BYTES[elementType] ?? 0;
  if (width > 0 && count > 0 && random.chance(0.4)) {
    const index = random.below(count);
    const element = randomValue(elementType, random);
    element.bytes.copy(value, 12 + index * width);
    return { bytes: value, what: `element ${index} is ${element.what}` };
  }
  if (width > 0 && random.chance(0.5)) {
    const fewer = random.below(count + 1);
    value.writeBigUInt64LE(BigInt(fewer), 4);
    return { bytes: value.subarray(0, 12 + fewer * width), what: `only ${fewer} of ${count}` };
  }
  if (elementType === STRING_TYPE && random.chance(0.5)) return otherStrings(value, count, random);
  return randomValue(ARRAY_TYPE, random);
}

function otherStrings(value: Buffer, count: number, random: SeededRandom): Value {
  const items: Buffer[] = [];
  for (let at = 12, index = 0; index < count; index++) {
    const end = at + 8 + Number(value.readBigUInt64LE(at));
    items.push(value.subarray(at, end));
    at = end;
  }
  const fewer = random.chance(0.4) ? random.below(count + 1) : count;
  items.length = fewer;
  if (fewer > 0 && fewer === count) items[random.below(fewer)] = text(random.pick(WORDS));
  const head = Buffer.concat([u32(STRING_TYPE), u64(BigInt(fewer))]);
  return { bytes: Buffer.concat([head, ...items]), what: fewer < count ? `only ${fewer} of ${count}` : 'one string' };
}

function changeTensor(whole: Buffer, map: HeaderMap, random: SeededRandom): Damaged {
  const bytes = Buffer.from(whole);
  const tensor = map.tensors.length > 0 ? random.pick(map.tensors) : undefined;
  if (tensor === undefined || random.chance(0.05)) {
    const count = random.pick(INTEGERS);
    const at = random.pick([TENSOR_COUNT_AT, KEY_COUNT_AT]);
    bytes.writeBigUInt64LE(count, at);
    return { bytes, what: `${at === KEY_COUNT_AT ? 'key' : 'tensor'} count ${count}` };
  }
  switch (random.below(6)) {
    case 0: {
      const dimensions = random.pick([0, 1, 2, 3, 4, 5, 255, 2 ** 32 - 1]);
      bytes.writeUInt32LE(dimensions, tensor.dimensionsAt);
      return { bytes, what: `${tensor.name} has ${dimensions} dimensions` };
    }
    case 1: {
      const type = random.chance(0.8) ? random.below(45) : 2 ** 31 + random.below(9);
      bytes.writeUInt32LE(type, tensor.typeAt);
      return { bytes, what: `${tensor.name} has type ${type}` };
    }
    case 2: {
      const offset = random.chance(0.5) ? BigInt(32 * random.below(whole.length / 32)) : random.pick(INTEGERS);
      bytes.writeBigUInt64LE(offset, tensor.offsetAt);
      return { bytes, what: `${tensor.name} lies at ${offset}` };
    }
    case 3: {
      const at = tensor.start + 8 + random.below(tensor.name.length);
      bytes.writeUInt8(random.pick([0x30, 0x39, 0x2e, 0xff, 0]), at);
      return { bytes, what: `${tensor.name} has another letter at ${at - tensor.start - 8}` };
    }
    default: {
      const at = random.pick(tensor.extentsAt);
      const now = bytes.readBigUInt64LE(at);
      const extent = random.chance(0.4) ? now + random.pick([-32n, -1n, 1n, 32n]) : random.pick(INTEGERS);
      bytes.writeBigUInt64LE(BigInt.asUintN(64, extent), at);
      return { bytes, what: `${tensor.name} has an extent of ${extent} for ${now}` };
    }
  }
}

/** Mostly in the header, and there mostly outside the lists of the vocabulary, which are long and dull. */
function flip(whole: Buffer, map: HeaderMap, random: SeededRandom): Damaged {
  const short = map.keys.filter(({ start, end }) => end - start < 400);
  let from = random.pick(short);
  let at = from.start + random.below(from.end - from.start);
  if (map.tensors.length > 0 && random.chance(0.3)) {
    const tensor = random.pick(map.tensors);
    from = { ...from, key: tensor.name };
    at = tensor.start + random.below(tensor.end - tensor.start);
  } else if (random.chance(0.2)) {
    at = random.below(random.chance(0.5) ? map.dataAt : whole.length);
  }
  const bytes = Buffer.from(whole);
  const bit = random.below(8);
  bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << bit), at);
  return { bytes, what: `bit ${bit} of byte ${at} (${from.key})` };
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([u64(BigInt(bytes.length)), bytes]);
}
