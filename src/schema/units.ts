/** Durations and sizes as profiles and the environment write them, in milliseconds and bytes. Pure; the patterns are those of the schema's codecs. */
import { assert } from '../base/assert.js';

const MS_PER_UNIT: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

function scaled(text: string, units: Readonly<Record<string, number>>): number {
  const [, count, unit] = /^(\d+(?:\.\d+)?)([A-Za-z]+)$/.exec(text) ?? [];
  const factor = unit === undefined ? undefined : units[unit];
  assert(count !== undefined && factor !== undefined, `a decoded amount with a unit, got '${text}'`);
  return Math.round(Number(count) * factor);
}

/** '1.5s' is 1500. The text has passed `DurationCodec`. */
export function durationMs(text: string): number {
  return scaled(text, MS_PER_UNIT);
}

/** '2GiB' is 2147483648. The text has passed `BytesCodec`. */
export function sizeBytes(text: string): number {
  return scaled(text, BYTES_PER_UNIT);
}
