/**
 * A request at one model: shaped for it, with the tokens that fit after its prompt. Counts exactly where it must and not at
 * all where it need not; whoever counts may die at it, so the table of retries decides whether to ask again. Knows no run.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import { sleep, type Clock, type Random } from '../base/ports.js';
import type { Patience, Pool } from '../pool/pool.js';
import type { Prompt } from '../schema/load.js';
import type { ModelSpec, Profile } from '../schema/profile.js';
import type { RunRequest } from '../schema/run.js';
import { claimOn } from './claim.js';
import { afterFailure } from './retry-policy.js';
import { shapeRequest } from './shape-request.js';

/**
 * Tokens that a byte of raw text cannot exceed, with room to spare: a token is made of a byte at least, and a space may
 * first become the three bytes of a mark.
 */
const MAX_TOKENS_PER_BYTE = 4;
/** For what a vocabulary puts before and after any text. */
const MAX_ADDED_TOKENS = 16;

/**
 * Tokens that a raw prompt certainly does not exceed; undefined when only counting tells, as it does for messages, whose
 * template may add anything.
 */
export function mostTokens(prompt: Prompt): number | undefined {
  if (prompt.kind !== 'text') return undefined;
  return MAX_TOKENS_PER_BYTE * Buffer.byteLength(prompt.text) + MAX_ADDED_TOKENS;
}

/** What came of a request at its model. */
export interface Seat {
  readonly spec: ModelSpec;
  /** As this model gets it. */
  readonly request: RunRequest;
  /** Tokens that fit into a slot after the prompt, at least 1; a lower bound that holds what was asked for, when nobody counted. */
  readonly roomTokens: number;
  /** The request's own warnings, and ours. */
  readonly warnings: readonly string[];
}

/** What a seat is asked with. */
export interface SeatQuestion {
  /** As the client sent it. */
  readonly request: RunRequest;
  readonly spec: ModelSpec;
  /** Its retries and timeouts count. */
  readonly profile: Pick<Profile, 'retries' | 'timeouts'>;
  /** Milliseconds until the request's deadline. */
  readonly leftMs: () => number;
}

interface SeatParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly pool: Pool;
}

/** Purpose, length, queue. Rejects with what is wrong, or with the signal's reason. */
export async function takeSeat(parts: SeatParts, question: SeatQuestion, signal: AbortSignal): Promise<Seat> {
  const seat = await seatUnderLease(parts, question, signal);
  const refusal = parts.pool.refusal(claimOn(seat.spec.name, seat.request), patienceOf(question));
  if (refusal !== undefined) throw refusal;
  return seat;
}

/** As `takeSeat`, for a request that has its lease already: no queue can refuse it. */
export async function seatUnderLease(parts: SeatParts, question: SeatQuestion, signal: AbortSignal): Promise<Seat> {
  const { spec } = question;
  if (spec.load.purpose !== 'generate') {
    throw new LlamaestroError('invalid_request', `model '${spec.name}' does not generate text`, {
      param: 'model',
      remedy: `It is there for '${spec.load.purpose}'; choose a generating model.`,
    });
  }
  signal.throwIfAborted();
  const request = shapeRequest(question.request, spec);
  const shaped = { ...question, request };
  const roomTokens = certainRoom(parts.pool, shaped) ?? (await countedRoom(parts, shaped, signal));
  signal.throwIfAborted();
  return { spec, request, roomTokens, warnings: warningsFor(request, roomTokens) };
}

function patienceOf({ profile: { timeouts }, leftMs }: SeatQuestion): Patience {
  const { queueMs, maxWaitMs = Infinity } = timeouts;
  return { queueMs, budgetMs: Math.min(leftMs(), maxWaitMs) };
}

/** The room of a request that is so short that nobody has to count: the first token need not wait for that. */
function certainRoom(pool: Pool, { request, spec }: SeatQuestion): number | undefined {
  const most = mostTokens(request.prompt);
  const perSlot = pool.contextTokensPerSlot(spec.name);
  if (most === undefined || perSlot === undefined) return undefined;
  const roomTokens = perSlot - most;
  return roomTokens >= Math.max(1, request.maxTokens ?? 1) ? roomTokens : undefined;
}

async function countedRoom(parts: SeatParts, question: SeatQuestion, signal: AbortSignal): Promise<number> {
  const { tokens, contextTokensPerSlot } = await count(parts, question, signal);
  const roomTokens = contextTokensPerSlot - tokens;
  if (roomTokens < 1) throw tooLong(question, tokens, contextTokensPerSlot);
  return roomTokens;
}

async function count(
  { clock, random, pool }: SeatParts,
  { request, spec, profile: { retries }, leftMs }: SeatQuestion,
  signal: AbortSignal,
): Promise<{ readonly tokens: number; readonly contextTokensPerSlot: number }> {
  let lastPauseMs = 0;
  for (let attempts = 1; ; attempts++) {
    try {
      return await pool.count(spec.name, request.prompt, signal);
    } catch (thrown) {
      const { code } = toLlamaestroError(thrown);
      const remainingMs = leftMs();
      const failure = { code, deliveredTokens: 0, attempts, crashes: 0, retries, remainingMs, lastPauseMs };
      const verdict = afterFailure(failure, random.next());
      if (signal.aborted || verdict.action !== 'retry') throw thrown;
      lastPauseMs = verdict.pauseMs;
      await sleep(clock, lastPauseMs, signal);
    }
  }
}

function tooLong({ request, spec }: SeatQuestion, promptTokens: number, perSlot: number): LlamaestroError {
  const text = `the prompt has ${String(promptTokens)} tokens, model '${spec.name}' holds ${String(perSlot)} per slot and one must be free`;
  return new LlamaestroError('context_length_exceeded', text, {
    param: request.promptField,
    details: { promptTokens, contextTokensPerSlot: perSlot, model: spec.name },
  });
}

function warningsFor({ maxTokens, warnings }: RunRequest, roomTokens: number): readonly string[] {
  if (maxTokens === undefined || maxTokens <= roomTokens) return warnings;
  const lowered = `max_tokens ${String(maxTokens)} is more than the ${String(roomTokens)} tokens that fit after the prompt; the answer ends there`;
  return [...warnings, lowered];
}
