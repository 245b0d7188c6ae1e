/**
 * What a failure of a host means: how long to pause, who is told, and in which words. Pure. Knows no states: the instance
 * machine decides when one of these happened.
 */
import { LlamaestroError, type ErrorCode } from '../base/errors.js';
import type { PoolLimits } from './limits.js';

/** Why the last life ended, and when the next may begin. */
export interface Failure {
  readonly error: LlamaestroError;
  /** The process ended or hung by itself; otherwise a load was refused in words. */
  readonly crash: boolean;
  /** The same load would fail the same way: who asks before `retryAtMs` is told at once. */
  readonly deterministic: boolean;
  /** In a row. */
  readonly failures: number;
  readonly retryAtMs: number;
}

export interface FailureContext {
  readonly nowMs: number;
  /** [0, 1). */
  readonly jitter: number;
  readonly limits: PoolLimits;
}

const DETERMINISTIC: ReadonlySet<ErrorCode> = new Set([
  'model_unusable',
  'does_not_fit',
  'invalid_request',
  'addon_missing',
]);

/** The word for a host that ended before it was ready. */
const LOAD_CRASH: ErrorCode = 'load_failed';

/** The pause before try number `failures` + 1: doubling from first to last, spread by a fifth so that hosts do not restart in step. */
export function backoffMs(failures: number, jitter: number, limits: PoolLimits): number {
  const pauseMs = Math.min(limits.backoffLastMs, limits.backoffFirstMs * 2 ** (failures - 1));
  return pauseMs * (0.8 + 0.4 * jitter);
}

/** The process ended or hung by itself. Those who wait are kept: the next host serves them. */
export function crash(error: LlamaestroError, before: number, { nowMs, jitter, limits }: FailureContext): Failure {
  const failures = before + 1;
  const retryAtMs = nowMs + backoffMs(failures, jitter, limits);
  return { error, crash: true, deterministic: false, failures, retryAtMs };
}

/** A load was refused in words; those who wait are told. A refusal that would repeat itself is remembered for a cooldown. */
export function refusal(error: LlamaestroError, before: number, { nowMs, jitter, limits }: FailureContext): Failure {
  const failures = before + 1;
  const deterministic = DETERMINISTIC.has(error.code);
  const pauseMs = deterministic ? limits.cooldownMs : backoffMs(failures, jitter, limits);
  return { error, crash: false, deterministic, failures, retryAtMs: nowMs + pauseMs };
}

/** The same error with the pause that its sender should make, which doors turn into Retry-After; what only repeats itself has none. */
export function toldAfter({ error, deterministic, retryAtMs }: Failure, nowMs: number): LlamaestroError {
  if (deterministic) return error;
  const { code, message, remedy, param, details } = error;
  const retryAfterMs = Math.max(0, Math.round(retryAtMs - nowMs));
  return new LlamaestroError(code, message, {
    ...{ remedy, cause: error, details: { ...details, retryAfterMs } },
    ...(param === undefined ? {} : { param }),
  });
}

/** Whoever asks before the pause is over is told at once: the same load would end the same way, or loads died again and again. */
export function isHopeless({ deterministic, error, failures }: Failure, limits: PoolLimits): boolean {
  return deterministic || (error.code === LOAD_CRASH && failures >= limits.maxLoadCrashes);
}

/** How a process ended, for people: 'was ended by SIGKILL', 'exited with code 1'; the last line it wrote, if any. */
export function describeExit(exitCode: number | null, signal: string | null, lastWords: string): string {
  const how = signal === null ? `exited with code ${exitCode ?? 'unknown'}` : `was ended by ${signal}`;
  const lastLine = lastWords.trim().split('\n').at(-1)?.trim() ?? '';
  return lastLine === '' ? how : `${how}; its last words: ${lastLine.slice(0, 500)}`;
}

/** A host that ended before it was ready. */
export function loadCrash(how: string): LlamaestroError {
  return new LlamaestroError(LOAD_CRASH, `the model host ${how}, before the model was ready`);
}

/** A loaded host that lives and must go all the same; `verdict` is the word for why. */
export function hostStuck(how: string, verdict: string): LlamaestroError {
  return new LlamaestroError('host_stuck', `the model host ${how}`, { details: { verdict } });
}

/** A host that ended under its leases. The client sees the fact; the last words stay in the log. */
export function hostLost(how: string): LlamaestroError {
  return new LlamaestroError('host_lost', `the model host ${how.split(';')[0] ?? how}`);
}
