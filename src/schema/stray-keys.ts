/**
 * Keys of a value that its codec does not know, at every depth: io-ts lets them pass, and a misspelt setting would then be
 * ignored in silence. Says nothing about values; what to do about a stray key is the caller's.
 */
import * as t from 'io-ts';
import { isReserved } from './shape.js';

export interface StrayKey {
  /** Dotted path of the mapping it stands in, '' for the outermost; as in `Fault`. */
  readonly parent: string;
  readonly key: string;
  /** The keys that this mapping may have. */
  readonly known: readonly string[];
}

/** The path of `key` inside `parent`, written as `Fault` writes it. */
export function pathTo(parent: string, key: string | number): string {
  if (/^\d+$/.test(String(key))) return `${parent}[${key}]`;
  return parent === '' ? String(key) : `${parent}.${key}`;
}

/** Fields of an object codec with the codec of each; undefined for a codec that is not an object with fixed keys. */
function fieldsOf(codec: t.Mixed): Readonly<Record<string, t.Mixed>> | undefined {
  if (codec instanceof t.InterfaceType || codec instanceof t.PartialType) return codec.props as Record<string, t.Mixed>;
  if (!(codec instanceof t.IntersectionType)) return undefined;
  const parts = (codec.types as readonly t.Mixed[]).map(fieldsOf);
  return parts.includes(undefined) ? undefined : (Object.assign({}, ...parts) as Record<string, t.Mixed>);
}

/** The one member of a union that is a mapping: what a mapping in its place has to be. */
function mappingOf(codec: t.Mixed): t.Mixed {
  if (!(codec instanceof t.UnionType)) return codec;
  const mappings = (codec.types as readonly t.Mixed[]).filter((member) => fieldsOf(member) !== undefined);
  return mappings.length === 1 ? (mappings[0] ?? codec) : codec;
}

/** Stray keys in the order written, outer before inner. Follows objects, records, arrays, and unions with one kind of object. */
export function strayKeys(declared: t.Mixed, value: unknown, path = ''): readonly StrayKey[] {
  if (typeof value !== 'object' || value === null) return [];
  const codec = mappingOf(declared);
  if (codec instanceof t.ReadonlyArrayType || codec instanceof t.ArrayType) {
    const items = Array.isArray(value) ? (value as readonly unknown[]) : [];
    return items.flatMap((item, index) => strayKeys(codec.type as t.Mixed, item, pathTo(path, index)));
  }
  if (Array.isArray(value)) return [];
  if (codec instanceof t.DictionaryType) {
    return Object.entries(value).flatMap(([key, item]) =>
      strayKeys(codec.codomain as t.Mixed, item, pathTo(path, key)),
    );
  }
  const fields = fieldsOf(codec);
  if (fields === undefined) return [];
  const known = Object.keys(fields).filter((key) => fields[key] !== undefined && !isReserved(fields[key]));
  return Object.entries(value).flatMap(([key, item]) => {
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    return field === undefined ? [{ parent: path, key, known }] : strayKeys(field, item, pathTo(path, key));
  });
}
