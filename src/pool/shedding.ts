/**
 * Whether a request is refused because it would wait longer than it may: told at once it can go elsewhere, and it would only
 * have made the queue longer. Pure; a wait that nobody can tell refuses no one.
 */
import type { Patience } from './pool.js';

export interface Outlook {
  /** Place in the queue that the request would have, counted from 1. */
  readonly position: number;
  /** Probably to the grant, and how much of that is a load; undefined: nobody knows. */
  readonly waitMs: number | undefined;
  readonly loadMs: number | undefined;
}

/** What a request hears that is refused. */
export interface Shed {
  readonly position: number;
  readonly estimatedMs: number;
  readonly budgetMs: number;
  /** When the wait has probably become as short as the request needs it. */
  readonly retryAfterMs: number;
}

/** A retry in less than that would find the same queue. */
const LEAST_RETRY_MS = 1000;

export function shedOf({ position, waitMs, loadMs = 0 }: Outlook, { budgetMs, queueMs }: Patience): Shed | undefined {
  if (waitMs === undefined) return undefined;
  const queuedMs = Math.max(0, waitMs - loadMs);
  const isOfQueue = queuedMs > queueMs;
  if (!isOfQueue && waitMs <= budgetMs) return undefined;
  const [estimated, limit] = waitMs > budgetMs ? [waitMs, budgetMs] : [queuedMs, queueMs];
  const [estimatedMs, rounded] = [Math.round(estimated), Math.round(limit)];
  return {
    ...{ position, estimatedMs, budgetMs: rounded },
    retryAfterMs: Math.max(LEAST_RETRY_MS, estimatedMs - rounded),
  };
}
