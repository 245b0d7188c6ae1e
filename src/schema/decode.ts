/**
 * From unknown to typed, with the first wrong field named. io-ts is fenced to this room; everybody else gets types and
 * `decode`. Unknown keys are not an error here: `unknownKeys` finds them for the doors that warn.
 */
import { isLeft } from 'fp-ts/lib/Either.js';
import * as t from 'io-ts';
import { LlamaestroError, type ErrorCode } from '../base/errors.js';

/** A wrong field: `path` is dotted with indices in brackets, '' for the value itself. */
export interface Fault {
  readonly path: string;
  readonly message: string;
  /** What it must be, in words; absent where the message says all. */
  readonly expected?: string;
  readonly value?: unknown;
}

function pathOf(context: t.Context): string {
  let path = '';
  for (const { key, type } of context.slice(1)) {
    const parent = context[context.findIndex((entry) => entry.key === key && entry.type === type) - 1];
    const insideCombinator = parent?.type instanceof t.IntersectionType || parent?.type instanceof t.UnionType;
    if (key === '' || (insideCombinator && /^\d+$/.test(key))) continue;
    path += /^\d+$/.test(key) ? `[${key}]` : path === '' ? key : `.${key}`;
  }
  return path;
}

const SHOWN_CHARACTERS = 60;

/** Short and flat: a value from outside may be huge, or nested deeper than the stack. */
function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${String(value.length)}`;
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = typeof value === 'string' ? JSON.stringify(value.slice(0, SHOWN_CHARACTERS)) : String(value);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS - 3)}…` : text;
}

/** Every fault of `value` under `codec`, deepest path first (the most precise statement), without repeats. */
export function faultsOf(codec: t.Mixed, value: unknown): readonly Fault[] {
  const result = codec.decode(value);
  if (!isLeft(result)) return [];
  const faults = new Map<string, Fault>();
  for (const error of result.left) {
    const path = pathOf(error.context);
    const expected = error.context.at(-1)?.type.name ?? codec.name;
    if (faults.has(path)) continue;
    if (error.message !== undefined) faults.set(path, { path, message: error.message });
    else
      faults.set(path, {
        path,
        message: `must be ${expected}, got ${shown(error.value)}`,
        expected,
        value: error.value,
      });
  }
  return [...faults.values()].sort((a, b) => b.path.split(/[.[]/).length - a.path.split(/[.[]/).length);
}

/** The typed value, or an error with `code` whose `param` is the first wrong field. */
export function decode<A>(codec: t.Type<A, unknown>, value: unknown, code: ErrorCode = 'invalid_request'): A {
  const result = codec.decode(value);
  if (!isLeft(result)) return result.right;
  const [fault] = faultsOf(codec, value);
  const path = fault?.path ?? '';
  const message = `${path === '' ? 'the value' : `'${path}'`} ${fault?.message ?? 'is not valid'}`;
  throw new LlamaestroError(code, message, path === '' ? {} : { param: path });
}

/** Keys of a plain object that are not in `known`, in the order written. */
export function unknownKeys(value: object, known: readonly string[]): string[] {
  return Object.keys(value).filter((key) => !known.includes(key));
}
