/**
 * Prompts for the copier model and what it has to say to them, known in advance: a prompt is a cycle of distinct tokens,
 * run through at least once, and the answer goes on with it. Families of prompts begin alike and part somewhere. Pure.
 */
import type { SeededRandom } from '../fuzz/seeded-random.js';

/** Begins every prompt and is in no cycle. */
const BEGIN = 1;
/** Tokens that stand for one byte each. */
const FIRST_BYTE_TOKEN = 3;
const BYTE_TOKENS = 256;
const FAMILIES = 6;

export interface CopierTask {
  readonly cycle: readonly number[];
  /** Without the beginning; at least the whole cycle and its first token again. */
  readonly length: number;
}

/** A prompt that begins like others of its family and has at most `maxTokens` tokens (at least 24). */
export function randomTask(random: SeededRandom, seed: number, maxTokens: number): CopierTask {
  const family = familyOrder(seed * FAMILIES + random.below(FAMILIES));
  const size = random.between(16, Math.min(200, maxTokens - 2));
  const shared = random.below(size + 1);
  const rest = shuffled(family.slice(shared), random);
  const cycle = [...family.slice(0, shared), ...rest].slice(0, size);
  const length = random.chance(0.3) ? random.between(size + 1, maxTokens - 1) : size + 1;
  return { cycle, length };
}

/** The task that goes on where an answer of `answered` tokens ended, and `more` tokens beyond. */
export function followUp({ cycle, length }: CopierTask, answered: number, more: number): CopierTask {
  return { cycle, length: length + answered + more };
}

export function promptOf({ cycle, length }: CopierTask): number[] {
  return [BEGIN, ...Array.from({ length }, (_, index) => at(cycle, index))];
}

/** The first `count` tokens of the answer. */
export function answerTo({ cycle, length }: CopierTask, count: number): number[] {
  return Array.from({ length: count }, (_, index) => at(cycle, length + index));
}

function at(cycle: readonly number[], index: number): number {
  return cycle[index % cycle.length] ?? BEGIN;
}

/** All byte tokens in an order that belongs to the family. */
function familyOrder(family: number): number[] {
  const tokens = Array.from({ length: BYTE_TOKENS }, (_, byte) => FIRST_BYTE_TOKEN + byte);
  // A step that shares no factor with the length visits all of them; another one for each family.
  const step = 2 * (family % 120) + 3;
  return tokens.map((_, index) => tokens[(index * step + family * 7) % BYTE_TOKENS] ?? BEGIN);
}

function shuffled(items: readonly number[], random: SeededRandom): number[] {
  const mixed = [...items];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = random.below(last + 1);
    [mixed[last], mixed[other]] = [mixed[other] ?? BEGIN, mixed[last] ?? BEGIN];
  }
  return mixed;
}
