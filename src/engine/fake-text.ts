/**
 * The language of the fake engine: one token per byte of UTF-8, ids 0 … 255, and 256 for the end. Answers are seeded
 * words, so that equal seeds and prompts give equal tokens. Pure; knows no clock and no engine.
 */
import { LlamaestroError } from '../base/errors.js';
import type { EngineInfo, Prompt, TokenChance, TokenLogprob } from './engine.js';

export const FAKE_VOCAB_SIZE = 257;
export const FAKE_END_TOKEN = 256;

const WORDS =
  'a quiet model counts green rivers while small engines hum under the old bridge and naïve café owls listen – 🎻';
const MIN_ANSWER_BYTES = 24;
const ANSWER_SPREAD_BYTES = 96;

/** Ids of a prompt. Messages are rendered as `role: content` lines with a final `assistant:`. */
export function fakeTokens(prompt: Prompt): readonly number[] {
  if (prompt.kind === 'tokens') return prompt.tokens;
  if (prompt.kind === 'text') return [...Buffer.from(prompt.text)];
  const tools = (prompt.tools ?? []).map(({ name }) => `tool ${name}\n`);
  const lines = prompt.messages.map(({ role, content, toolCalls = [] }) => {
    const calls = toolCalls.map((call) => `${call.name}(${call.arguments})`);
    return `${role}: ${[content, ...calls].join(' ')}\n`;
  });
  return [...Buffer.from(`${[...tools, ...lines].join('')}assistant:`)];
}

/** Text of ids; the end token is silent, bytes that are not UTF-8 become U+FFFD. */
export function fakeText(tokens: readonly number[]): string {
  return Buffer.from(tokens.filter((token) => token < FAKE_END_TOKEN)).toString('utf8');
}

/** Log probabilities of a made-up distribution: the token itself is the likeliest, the ids after it are half as likely each. */
export function fakeLogprob(id: number, alternatives: number): TokenLogprob {
  const chance = (place: number): TokenChance => {
    const at = (id + place) % FAKE_VOCAB_SIZE;
    return { id: at, logprob: -(place + 1) * Math.LN2, bytes: Uint8Array.from(at < FAKE_END_TOKEN ? [at] : []) };
  };
  return { ...chance(0), top: Array.from({ length: alternatives }, (_, place) => chance(place)) };
}

/** 32-bit hash of numbers (FNV-1a); the order matters. */
export function mix(...values: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const value of values) {
    for (let shift = 0; shift < 32; shift += 8) {
      hash = Math.imul(hash ^ ((value >>> shift) & 0xff), 0x01000193);
    }
  }
  return hash >>> 0;
}

/** An endless source of tokens: an answer, then the end token, then the answer again (for `ignoreEos`). */
export function* fakeAnswer(seed: number, answer?: string): Generator<number, never> {
  const words = WORDS.split(' ');
  for (let round = 0; ; round++) {
    yield* Buffer.from(answer ?? drawWords(words, mix(seed, round)));
    yield FAKE_END_TOKEN;
  }
}

function drawWords(words: readonly string[], seed: number): string {
  const length = MIN_ANSWER_BYTES + (seed % ANSWER_SPREAD_BYTES);
  let text = '';
  for (let index = 0; Buffer.byteLength(text) < length; index++) {
    text += (index === 0 ? '' : ' ') + (words[mix(seed, index) % words.length] ?? '');
  }
  return `${text}.`;
}

/**
 * A vector that depends on the words of `text`: texts that share words are close. Its first `dimensions` numbers, then
 * brought to length 1 unless `normalise` is false.
 */
export function fakeVector(text: string, length: number, normalise = true, dimensions = length): Float32Array {
  const vector = new Float32Array(dimensions);
  for (const word of wordsOf(text)) {
    for (let axis = 0; axis < dimensions; axis++) {
      vector[axis] = (vector[axis] ?? 0) + (mix(word, axis) / 0xffffffff) * 2 - 1;
    }
  }
  const norm = Math.hypot(...vector);
  if (norm === 0) return vector.fill(1 / Math.sqrt(dimensions));
  return normalise ? vector.map((value) => value / norm) : vector;
}

/** Share of the query's words that the document holds, minus a half. */
export function fakeScore(query: string, document: string): number {
  const wanted = wordsOf(query);
  const held = new Set(wordsOf(document));
  return wanted.length === 0 ? -0.5 : wanted.filter((word) => held.has(word)).length / wanted.length - 0.5;
}

/** Normalised log probabilities of labels behind a prompt; equal seeds, prompts and labels give equal ones, in any order. */
export function fakeLabelScores(seed: number, prompt: readonly number[], labels: readonly string[]): number[] {
  const logits = labels.map((label) => (mix(seed, ...prompt, ...Buffer.from(label)) / 0xffffffff) * 4);
  const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
  return logits.map((logit) => logit - total);
}

/** Throws when a prompt leaves its slot no room for an answer. */
export function refuseLong(tokens: readonly number[], { contextTokensPerSlot: limit }: EngineInfo): void {
  if (tokens.length < limit) return;
  throw new LlamaestroError(
    'context_length_exceeded',
    `the prompt has ${tokens.length} tokens; a slot holds ${limit}, the answer included`,
    { param: 'prompt', details: { promptTokens: tokens.length, contextTokensPerSlot: limit } },
  );
}

function wordsOf(text: string): readonly number[] {
  return text
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter((word) => word !== '')
    .map((word) => mix(...Buffer.from(word)));
}

/** Turns bytes into visible text: holds back unfinished characters and whatever may become a stop string. */
export class HeldText {
  private bytes: number[] = [];
  private held = '';
  /** The stop string that was met; nothing is visible from then on. */
  matched: string | undefined;

  constructor(private readonly stop: readonly string[]) {}

  /** The text that became visible with this byte. */
  push(byte: number): string {
    this.bytes.push(byte);
    if (this.bytes.length < bytesOfCharacter(this.bytes[0] ?? 0)) return '';
    this.held += Buffer.from(this.bytes).toString('utf8');
    this.bytes = [];
    return this.release();
  }

  /** Whole characters still held, when the sequence ends for another reason than a stop string. */
  flush(): string {
    const text = this.matched === undefined ? this.held : '';
    this.held = '';
    return text;
  }

  private release(): string {
    const matches = this.stop.map((text) => ({ text, at: this.held.indexOf(text) })).filter(({ at }) => at >= 0);
    matches.sort((left, right) => left.at - right.at);
    const first = matches[0];
    if (first !== undefined) {
      this.matched = first.text;
      return this.held.slice(0, first.at);
    }
    const keep = Math.max(0, ...this.stop.map((text) => partialMatch(this.held, text)));
    const visible = this.held.slice(0, this.held.length - keep);
    this.held = this.held.slice(this.held.length - keep);
    return visible;
  }
}

/** Length of the longest end of `text` that begins `stop`. */
function partialMatch(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (stop.startsWith(text.slice(text.length - length))) return length;
  }
  return 0;
}

function bytesOfCharacter(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}
