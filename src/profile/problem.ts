/** What is wrong with a profile, at which place, and how to mend it. Types and words only; knows no rule and no file. */
import type { Fault } from '../schema/decode.js';
import { pathTo } from '../schema/stray-keys.js';
import { nearestWord } from './nearest-word.js';

export interface Problem {
  /** As in `Fault`. */
  readonly path: string;
  readonly message: string;
  /** One sentence: what to write instead. */
  readonly remedy: string;
  /** The key itself is wrong rather than its value. */
  readonly atKey?: boolean;
}

/** A value of the wrong shape. */
export function shapeProblem({ path, message, expected, value }: Fault): Problem {
  if (expected === undefined) return { path, message, remedy: `Leave '${path}' out, or shorten it.` };
  return { path, message, remedy: amountRemedy(expected, value) ?? `Write ${expected}.` };
}

const SIZE = /^\s*(\d+(?:\.\d+)?)\s*([kmgt])(i?)b?\s*$/i;
const DURATION = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i;
const SPELT: Readonly<Record<string, string>> = {
  '': 's',
  sec: 's',
  secs: 's',
  second: 's',
  seconds: 's',
  min: 'm',
  mins: 'm',
  minute: 'm',
  minutes: 'm',
  hr: 'h',
  hour: 'h',
  hours: 'h',
  ms: 'ms',
  s: 's',
  m: 'm',
  h: 'h',
};

/** An amount whose unit is missing or spelt in another way, as it was probably meant. */
function amountRemedy(expected: string, value: unknown): string | undefined {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text !== 'string') return undefined;
  if (expected.startsWith('a size')) {
    const [, count, unit, binary] = SIZE.exec(text) ?? [];
    if (count === undefined || unit === undefined) return undefined;
    return `Write ${count}${unit.toUpperCase()}iB${binary === '' ? ` (or ${count}${unit.toUpperCase()}B for powers of ten)` : ''}.`;
  }
  if (!expected.startsWith('a duration')) return undefined;
  const [, count, unit = ''] = DURATION.exec(text) ?? [];
  const spelt = SPELT[unit.toLowerCase()];
  return count === undefined || spelt === undefined ? undefined : `Write ${count}${spelt}.`;
}

/** A key that its mapping does not know. */
export function strayProblem(parent: string, key: string, known: readonly string[]): Problem {
  const meant = nearestWord(key, known);
  const hint = meant === undefined ? `known here: ${known.join(', ')}` : `did you mean '${meant}'?`;
  const remedy = meant === undefined ? `Remove '${key}'.` : `Write '${meant}', or remove the key.`;
  return { path: pathTo(parent, key), message: `unknown key '${key}': ${hint}`, remedy, atKey: true };
}

/** A name that stands for nothing. */
export function unknownModel(path: string, name: string, names: readonly string[]): Problem {
  const meant = nearestWord(name, names);
  const hint = meant === undefined ? `the profile has ${names.join(', ')}` : `did you mean '${meant}'?`;
  const remedy = meant === undefined ? `Use one of: ${names.join(', ')}.` : `Write '${meant}'.`;
  return { path, message: `there is no model '${name}': ${hint}`, remedy };
}
