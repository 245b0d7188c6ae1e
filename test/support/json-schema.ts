/** Just enough of JSON Schema to hold values against the schemas that this program writes; unknown keywords fail. */
type Schema = Readonly<Record<string, unknown>>;
type Check = (value: unknown, keyword: unknown, schema: Schema) => boolean;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  object: isObject,
  array: Array.isArray,
  string: (value) => typeof value === 'string',
  boolean: (value) => typeof value === 'boolean',
  number: (value) => typeof value === 'number',
  integer: (value) => Number.isInteger(value),
  null: (value) => value === null,
};
const always: Check = () => true;
const onText =
  (check: (text: string, keyword: unknown) => boolean): Check =>
  (value, keyword) =>
    typeof value !== 'string' || check(value, keyword);
const onNumber =
  (check: (number: number, keyword: number) => boolean): Check =>
  (value, keyword) =>
    typeof value !== 'number' || check(value, Number(keyword));

const KEYWORDS: Readonly<Record<string, Check>> = {
  $schema: always,
  title: always,
  description: always,
  type: (value, type) => TYPES[String(type)]?.(value) === true,
  const: (value, constant) => value === constant,
  enum: (value, words) => (words as unknown[]).includes(value),
  not: (value, schema) => !accepts(schema as Schema, value),
  anyOf: (value, schemas) => (schemas as Schema[]).some((schema) => accepts(schema, value)),
  pattern: onText((text, pattern) => new RegExp(String(pattern)).test(text)),
  minLength: onText((text, least) => text.length >= Number(least)),
  maxLength: onText((text, most) => text.length <= Number(most)),
  minimum: onNumber((number, least) => number >= least),
  maximum: onNumber((number, most) => number <= most),
  exclusiveMinimum: onNumber((number, least) => number > least),
  items: (value, schema) => !Array.isArray(value) || value.every((item) => accepts(schema as Schema, item)),
  required: (value, keys) => !isObject(value) || (keys as string[]).every((key) => Object.hasOwn(value, key)),
  properties: (value, properties) =>
    !isObject(value) ||
    Object.entries(properties as Readonly<Record<string, Schema>>).every(
      ([key, schema]) => !Object.hasOwn(value, key) || accepts(schema, value[key]),
    ),
  additionalProperties: (value, rest, { properties = {} }) =>
    !isObject(value) ||
    Object.entries(value).every(
      ([key, item]) => Object.hasOwn(properties as object, key) || (rest !== false && accepts(rest as Schema, item)),
    ),
};

/** True when `value` is what `schema` describes. */
export function accepts(schema: Schema, value: unknown): boolean {
  return Object.entries(schema).every(([keyword, argument]) => {
    const check = KEYWORDS[keyword];
    if (check === undefined) throw new Error(`the keyword '${keyword}' is not known here`);
    return check(value, argument, schema);
  });
}
