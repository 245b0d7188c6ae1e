/**
 * Values as SQL literals, so that a whole batch of statements goes to the database in one call. Safe for any text: what is
 * not plainly harmless is written in hexadecimal. Knows neither the database nor the tables.
 */
import { assert } from '../base/assert.js';

export type SqlValue = string | number | boolean | null | undefined;

const HARMLESS = /^[A-Za-z0-9 _.,:;/+*=@()[\]{}<>!?#%&|~^"-]*$/;

/** One literal; undefined is NULL, booleans are 0 and 1. Numbers must be whole and safe. */
export function literal(value: SqlValue): string {
  if (value === null || value === undefined) return 'NULL';
  if (typeof value === 'boolean') return value ? '1' : '0';
  if (typeof value === 'number') {
    assert(Number.isSafeInteger(value), `a whole number for the database, got ${value}`);
    return String(value);
  }
  return HARMLESS.test(value) ? `'${value}'` : `CAST(X'${Buffer.from(value, 'utf8').toString('hex')}' AS TEXT)`;
}

/** A statement with its values put in as literals: sql`… WHERE id = ${id}`. */
export function sql(parts: TemplateStringsArray, ...values: readonly SqlValue[]): string {
  return parts.reduce((text, part, index) => `${text}${literal(values[index - 1])}${part}`);
}
