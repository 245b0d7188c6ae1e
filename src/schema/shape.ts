/**
 * What a codec accepts, in the words of JSON Schema, and what its values are for: noted beside the codecs, since io-ts
 * keeps neither. `json-schema.ts` reads the notes; decoding knows nothing of them.
 */
import * as t from 'io-ts';

/** A JSON Schema, draft 2020-12, as plain data. */
export type JsonSchema = Readonly<Record<string, unknown>>;

const SHAPES = new WeakMap<t.Mixed, JsonSchema>();
const DESCRIPTIONS = new WeakMap<t.Mixed, string>();

/** Notes what `codec` accepts and returns it. Needed for codecs that are functions rather than structure. */
export function shaped<C extends t.Mixed>(codec: C, schema: JsonSchema): C {
  SHAPES.set(codec, schema);
  return codec;
}

/** A copy of `codec` with a sentence on what its value is for; the codec itself may stand in other places too. */
export function described<C extends t.Mixed>(codec: C, description: string): C {
  const copy = Object.assign(Object.create(Object.getPrototypeOf(codec) as object) as object, codec) as C;
  const shape = SHAPES.get(codec);
  if (shape !== undefined) SHAPES.set(copy, shape);
  DESCRIPTIONS.set(copy, description);
  return copy;
}

export function shapeOf(codec: t.Mixed): JsonSchema | undefined {
  return SHAPES.get(codec);
}

/** True for a key that may not be written (`reserved`). */
export function isReserved(codec: t.Mixed): boolean {
  return SHAPES.get(codec)?.['not'] !== undefined;
}

export function descriptionOf(codec: t.Mixed): string | undefined {
  return DESCRIPTIONS.get(codec);
}

function worded<A>(name: string, accepts: (value: unknown) => value is A): t.Type<A, A, unknown> {
  return new t.Type(
    name,
    accepts,
    (value, context) => (accepts(value) ? t.success(value) : t.failure(value, context)),
    (value) => value,
  );
}

/** A number in [minimum, maximum], optionally whole; its name says so in messages. */
export function numberIn(
  minimum: number,
  maximum: number,
  kind: 'whole' | 'any' = 'any',
): t.Type<number, number, unknown> {
  const name = `a ${kind === 'whole' ? 'whole ' : ''}number from ${minimum} to ${maximum}`;
  const codec = worded(
    name,
    (value): value is number =>
      typeof value === 'number' && value >= minimum && value <= maximum && (kind === 'any' || Number.isInteger(value)),
  );
  return shaped(codec, { type: kind === 'whole' ? 'integer' : 'number', minimum, maximum });
}

/** A number above 0 and at most `maximum`. */
export function aboveZero(maximum: number): t.Type<number, number, unknown> {
  const codec = worded(
    `a number above 0 and at most ${maximum}`,
    (value): value is number => typeof value === 'number' && value > 0 && value <= maximum,
  );
  return shaped(codec, { type: 'number', exclusiveMinimum: 0, maximum });
}

/** A string of `minimum` to `maximum` UTF-16 units. */
export function textOf(minimum: number, maximum: number): t.Type<string, string, unknown> {
  const codec = worded(
    `a string of ${minimum} to ${maximum} characters`,
    (value): value is string => typeof value === 'string' && value.length >= minimum && value.length <= maximum,
  );
  return shaped(codec, { type: 'string', minLength: minimum, maxLength: maximum });
}

/** A string that matches; `name` says in words what matches. */
export function matching(name: string, pattern: RegExp): t.Type<string, string, unknown> {
  const codec = worded(name, (value): value is string => typeof value === 'string' && pattern.test(value));
  return shaped(codec, { type: 'string', pattern: pattern.source });
}

/** One of a few words or numbers. */
export function oneOf<const W extends string | number>(words: readonly W[]): t.Type<W, W, unknown> {
  const accepts = (value: unknown): value is W => (words as readonly unknown[]).includes(value);
  return shaped(worded(`one of ${words.join(', ')}`, accepts), { enum: words });
}

/** At most `maximum` items; `name` says of what. */
export function listOf<A>(
  item: t.Type<A, A, unknown>,
  maximum: number,
  name: string,
): t.ReadonlyArrayC<t.Type<A, A, unknown>> {
  const all = t.readonlyArray(item, name);
  const codec = new t.ReadonlyArrayType<t.Type<A, A, unknown>, readonly A[], readonly A[], unknown>(
    name,
    (value): value is readonly A[] => all.is(value) && value.length <= maximum,
    (value, context) => {
      if (!Array.isArray(value) || value.length <= maximum) return all.validate(value, context);
      return t.failure(value, context, `has ${value.length} items, of which there may be ${maximum}`);
    },
    all.encode,
    item,
  );
  return codec as t.ReadonlyArrayC<t.Type<A, A, unknown>>;
}

/** The short form, or a mapping that says more; whichever the value looks like is what messages are about. */
export function shortOr<A, B>(
  short: t.Type<A, A, unknown>,
  mapping: t.Type<B, B, unknown>,
): t.UnionC<[t.Type<A, A, unknown>, t.Type<B, B, unknown>]> {
  const name = `${short.name}, or ${mapping.name}`;
  const isMapping = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
  return new t.UnionType(
    name,
    (value): value is A | B => short.is(value) || mapping.is(value),
    (value, context): t.Validation<A | B> => {
      if (isMapping(value)) return mapping.validate(value, context);
      return short.is(value) ? t.success(value) : t.failure(value, context);
    },
    (value) => value,
    [short, mapping],
  );
}

/** A key that is kept free: whatever stands there is refused, with the reason. */
export function reserved(reason: string): t.Type<undefined, undefined, unknown> {
  const codec = new t.Type<undefined, undefined, unknown>(
    'nothing',
    (value): value is undefined => value === undefined,
    (value, context) =>
      value === undefined ? t.success(value) : t.failure(value, context, `is not possible yet: ${reason}`),
    (value) => value,
  );
  return described(shaped(codec, { not: {} }), `Not possible yet: ${reason}`);
}
