/**
 * From a codec to a JSON Schema (draft 2020-12) for editors. Follows the structures of io-ts and the notes of `shape`; a
 * codec with neither cannot be told and is a fault of ours. Pure.
 */
import * as t from 'io-ts';
import { assert } from '../base/assert.js';
import { descriptionOf, shapeOf, type JsonSchema } from './shape.js';

/** The schema of what `codec` accepts. Objects take no other keys, as `strayKeys` refuses them too. */
export function jsonSchemaOf(codec: t.Mixed): JsonSchema {
  const description = descriptionOf(codec);
  const schema = shapeOf(codec) ?? structure(codec);
  return description === undefined ? schema : { description, ...schema };
}

function structure(codec: t.Mixed): JsonSchema {
  const object = objectOf(codec);
  if (object !== undefined) return { type: 'object', ...object, additionalProperties: false };
  if (codec instanceof t.DictionaryType) {
    return { type: 'object', additionalProperties: jsonSchemaOf(codec.codomain as t.Mixed) };
  }
  if (codec instanceof t.ReadonlyArrayType || codec instanceof t.ArrayType) {
    return { type: 'array', items: jsonSchemaOf(codec.type as t.Mixed) };
  }
  if (codec instanceof t.UnionType) return { anyOf: (codec.types as readonly t.Mixed[]).map(jsonSchemaOf) };
  if (codec instanceof t.LiteralType) return { const: codec.value as unknown };
  if (codec instanceof t.KeyofType) return { enum: Object.keys(codec.keys as object) };
  if (codec instanceof t.StringType) return { type: 'string' };
  if (codec instanceof t.BooleanType) return { type: 'boolean' };
  if (codec instanceof t.AnyDictionaryType) return { type: 'object' };
  assert(false, `a codec that can be written as a JSON Schema, not ${codec.name}`);
}

interface ObjectParts {
  readonly properties: JsonSchema;
  readonly required?: readonly string[];
}

function objectOf(codec: t.Mixed): ObjectParts | undefined {
  if (codec instanceof t.InterfaceType || codec instanceof t.PartialType) {
    const props = Object.entries(codec.props as Record<string, t.Mixed>);
    const properties = Object.fromEntries(props.map(([key, field]) => [key, jsonSchemaOf(field)]));
    return codec instanceof t.PartialType ? { properties } : { properties, required: props.map(([key]) => key) };
  }
  if (!(codec instanceof t.IntersectionType)) return undefined;
  const parts = (codec.types as readonly t.Mixed[]).map(objectOf);
  const properties: Record<string, unknown> = {};
  const required: string[] = [];
  for (const part of parts) {
    if (part === undefined) return undefined;
    Object.assign(properties, part.properties);
    required.push(...(part.required ?? []));
  }
  return required.length === 0 ? { properties } : { properties, required };
}
