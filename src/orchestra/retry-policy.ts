/** What to do after a failed attempt: the one table of retries in the house. Pure; nothing below the orchestra retries. */
import type { ErrorCode } from '../base/errors.js';

/** Faults of a host or of the way to it: another attempt may succeed. */
const TRANSIENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'host_lost',
  'host_stuck',
  'stream_gap',
  'ack_timeout',
  'prefill_stall',
  'token_stall',
  'no_host',
  'draining',
]);

/** Faults of one model: another one may do better. What the client, the deadline or the server ended is not among them. */
const OF_THE_MODEL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'host_lost',
  'host_stuck',
  'stream_gap',
  'ack_timeout',
  'prefill_stall',
  'token_stall',
  'no_host',
  'context_length_exceeded',
  'does_not_fit',
  'model_unusable',
  'queue_full',
  'queue_timeout',
  'load_failed',
  'out_of_memory',
]);

/** True when a request that failed so, before its first token, may go to the next model of its chain. */
export function mayFallBack(code: ErrorCode): boolean {
  return OF_THE_MODEL.has(code);
}

/** A request in flight at this many host deaths is set aside as `poison`. */
export const POISON_CRASHES = 2;

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

export interface Failure {
  readonly code: ErrorCode;
  /** Tokens the client may have seen; never a second answer behind a first token. */
  readonly deliveredTokens: number;
  /** Attempts made so far, this one included. */
  readonly attempts: number;
  /** Of those, how many ended with the death of their host while it was working on the request. */
  readonly crashes: number;
  /** Retries the profile grants. */
  readonly retries: number;
  readonly remainingMs: number;
  /** The pause before this attempt; 0 for the first. */
  readonly lastPauseMs: number;
}

export type Verdict =
  | { readonly action: 'retry'; readonly pauseMs: number }
  /** The profile changes under the request: it is routed anew by the one that is served now. No attempt of it was at fault. */
  | { readonly action: 'reroute' }
  | { readonly action: 'fail' }
  | { readonly action: 'quarantine' };

/** `draw` is uniform in [0, 1): decorrelated jitter between 50 ms and three times the last pause, at most 2 s. */
export function afterFailure(failure: Failure, draw: number): Verdict {
  if (failure.crashes >= POISON_CRASHES) return { action: 'quarantine' };
  if (failure.deliveredTokens > 0) return { action: 'fail' };
  if (failure.code === 'profile_switching' && failure.remainingMs > 0) return { action: 'reroute' };
  if (!TRANSIENT.has(failure.code)) return { action: 'fail' };
  if (failure.attempts > failure.retries) return { action: 'fail' };
  const ceiling = Math.max(FIRST_PAUSE_MS, failure.lastPauseMs * 3);
  const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS + draw * (ceiling - FIRST_PAUSE_MS));
  return pauseMs >= failure.remainingMs ? { action: 'fail' } : { action: 'retry', pauseMs };
}
