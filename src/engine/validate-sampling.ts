/**
 * Range checks of sampling options and of what constrains an answer: as `validate.ts`, of which this is the larger half
 * in fields. What a grammar or a schema means is judged by the engine; here only their size and shape. Pure.
 */
import { LlamaestroError } from '../base/errors.js';
import type { EngineInfo, SamplingOptions, SequenceRequest } from './engine.js';
import { checkInteger, checkNumber, refuse } from './validate-values.js';

export const MAX_LOGIT_BIASES = 1024;
export const MAX_LOGPROBS = 20;
/** Bytes of UTF-8 of a grammar or of the text of a schema. */
export const MAX_GRAMMAR_BYTES = 64 * 1024;
/** Parentheses of a grammar in one another. */
export const MAX_GRAMMAR_DEPTH = 64;
/** Of the text of a schema; schemas themselves nest 64 deep at most, which takes up to three levels each. */
const MAX_JSON_DEPTH = 256;
const MAX_PENALTY_TOKENS = 65_536;
const MAX_SEQUENCE_BREAKERS = 16;
const MAX_SEQUENCE_BREAKER_BYTES = 40;

type NumberField = Exclude<keyof SamplingOptions, 'logitBias' | 'drySequenceBreakers'>;

/** Closed ranges; what else is asked of a field stands in the functions below. */
const NUMBERS: Readonly<Partial<Record<NumberField, readonly [min: number, max: number]>>> = {
  temperature: [0, 100],
  topP: [0, 1],
  minP: [0, 1],
  typicalP: [0, 1],
  repeatPenalty: [0.01, 10],
  frequencyPenalty: [-10, 10],
  presencePenalty: [-10, 10],
  dryMultiplier: [0, 100],
  dryBase: [1, 16],
  xtcProbability: [0, 1],
  xtcThreshold: [0, 1],
  mirostatTau: [0, 100],
  mirostatEta: [0, 1],
  dynatempRange: [0, 100],
  dynatempExponent: [0, 100],
};
const INTEGERS: Readonly<Partial<Record<NumberField, number>>> = {
  seed: 2 ** 32 - 1,
  repeatLastN: MAX_PENALTY_TOKENS,
  dryAllowedLength: 1024,
  dryPenaltyLastN: MAX_PENALTY_TOKENS,
  mirostat: 2,
};

/** Throws unless every sampling option and every constraint of `request` is in range for this model. */
export function checkSampling(request: SequenceRequest, info: EngineInfo): void {
  for (const [field, [min, max]] of Object.entries(NUMBERS)) {
    checkNumber(field, request[field as NumberField], min, max);
  }
  for (const [field, max] of Object.entries(INTEGERS)) checkInteger(field, request[field as NumberField], 0, max);
  checkInteger('topK', request.topK, 0, info.vocabSize);
  for (const field of ['topP', 'typicalP'] as const) {
    if (request[field] === 0) refuse(field, `${field} must be greater than 0 and at most 1`);
  }
  checkInteger('logprobs', request.logprobs, 0, MAX_LOGPROBS);
  checkBreakers(request.drySequenceBreakers);
  checkLogitBias(request.logitBias, info.vocabSize);
  checkConstraint(request);
}

/** The JSON text of a schema. Throws `invalid_request` when it is not JSON or too long. */
export function schemaText(schema: NonNullable<SequenceRequest['jsonSchema']>): string {
  let text: string | undefined;
  if (typeof schema === 'string') {
    text = schema;
  } else if (typeof schema === 'object' && schema !== null && !Array.isArray(schema)) {
    try {
      text = JSON.stringify(schema);
    } catch (cause) {
      // A circle, or nested deeper than the stack.
      throw new LlamaestroError('invalid_request', 'jsonSchema cannot be written as JSON', {
        param: 'jsonSchema',
        cause,
      });
    }
  }
  if (text === undefined) refuse('jsonSchema', 'jsonSchema must be an object or its JSON text');
  checkBytes('jsonSchema', text);
  return text;
}

function checkConstraint({ grammar, jsonSchema }: SequenceRequest): void {
  if (jsonSchema !== undefined) {
    const text = schemaText(jsonSchema);
    if (grammar !== undefined) refuse('grammar', 'give a grammar or a jsonSchema, not both');
    if (jsonDepth(text) > MAX_JSON_DEPTH) {
      refuse('jsonSchema', `jsonSchema nests more than ${MAX_JSON_DEPTH} levels of JSON`);
    }
    try {
      JSON.parse(text);
    } catch {
      refuse('jsonSchema', 'jsonSchema is not JSON');
    }
  }
  if (grammar === undefined) return;
  if (typeof grammar !== 'string' || grammar.trim() === '') refuse('grammar', 'grammar must be a text of GBNF');
  if (grammar.includes('\0')) refuse('grammar', 'grammar holds a character of code 0');
  checkBytes('grammar', grammar);
  if (grammarDepth(grammar) > MAX_GRAMMAR_DEPTH) {
    refuse('grammar', `grammar nests more than ${MAX_GRAMMAR_DEPTH} levels`);
  }
}

function checkBytes(param: string, text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes < 1 || bytes > MAX_GRAMMAR_BYTES) refuse(param, `${param} must have 1 … ${MAX_GRAMMAR_BYTES} bytes`);
}

/** Parentheses in one another, outside of literals, character classes and comments. */
function grammarDepth(grammar: string): number {
  return depthOf(grammar.replace(/"(?:\\[^]|[^"\\])*"?|\[(?:\\[^]|[^\]\\])*\]?|#[^\n]*/g, ''), '(', ')');
}

/** Objects and arrays of a JSON text in one another. */
export function jsonDepth(text: string): number {
  return depthOf(text.replace(/"(?:\\[^]|[^"\\])*"?/g, ''), '{[', '}]');
}

function depthOf(text: string, opening: string, closing: string): number {
  let depth = 0;
  let deepest = 0;
  for (const character of text) {
    if (opening.includes(character)) deepest = Math.max(deepest, ++depth);
    if (closing.includes(character)) depth = Math.max(0, depth - 1);
  }
  return deepest;
}

function checkBreakers(breakers: readonly unknown[] | undefined): void {
  if (breakers === undefined) return;
  const isGood = (one: unknown): boolean => {
    const bytes = typeof one === 'string' && !one.includes('\0') ? Buffer.byteLength(one) : 0;
    return bytes >= 1 && bytes <= MAX_SEQUENCE_BREAKER_BYTES;
  };
  if (!Array.isArray(breakers) || breakers.length > MAX_SEQUENCE_BREAKERS || !breakers.every(isGood)) {
    refuse(
      'drySequenceBreakers',
      `drySequenceBreakers must be at most ${MAX_SEQUENCE_BREAKERS} strings of 1 … ${MAX_SEQUENCE_BREAKER_BYTES} bytes`,
    );
  }
}

function checkLogitBias(biases: SamplingOptions['logitBias'], vocabSize: number): void {
  if (biases === undefined) return;
  if (typeof biases !== 'object' || biases === null || Array.isArray(biases)) {
    refuse('logitBias', 'logitBias must be an object of biases by token id');
  }
  const entries = Object.entries(biases as Record<string, unknown>);
  if (entries.length > MAX_LOGIT_BIASES) refuse('logitBias', `logitBias takes at most ${MAX_LOGIT_BIASES} tokens`);
  for (const [id, bias] of entries) {
    if (!/^\d{1,10}$/.test(id) || Number(id) >= vocabSize) {
      refuse('logitBias', `logitBias names '${id.slice(0, 20)}'; ids of this model lie in 0 … ${vocabSize - 1}`);
    }
    if (bias === undefined) refuse('logitBias', `the bias of token ${id} is missing`);
    checkNumber('logitBias', bias, -100, 100);
  }
}
