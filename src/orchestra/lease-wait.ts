/**
 * Waits for a lease no longer than the profile's queue time. The pool says how the wait goes; only the time spent queued
 * counts, because a load has limits of its own. Knows one wait, no run.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Clock, Timer } from '../base/ports.js';
import type { Lease, LeaseRequest, Pool } from '../pool/pool.js';

/**
 * A lease. Rejects as `pool.lease` does, with the signal's reason, or with `queue_timeout` once the request was queued for
 * `queueMs`; then it holds nothing, and no timer and no listener stay behind.
 */
export async function waitForLease(
  { pool, clock }: { readonly pool: Pool; readonly clock: Clock },
  request: LeaseRequest,
  queueMs: number,
  signal: AbortSignal,
): Promise<Lease> {
  const patience = new QueuePatience(clock, queueMs, request.model);
  const forward = (): void => patience.abort(signal.reason);
  signal.addEventListener('abort', forward, { once: true });
  if (signal.aborted) forward();
  else patience.run();
  const onProgress: LeaseRequest['onProgress'] = (progress) => {
    patience.expectedMs = progress.estimatedMs;
    if (progress.state === 'loading') patience.pause();
    else patience.run();
    request.onProgress?.(progress);
  };
  try {
    return await pool.lease({ ...request, onProgress }, patience.signal);
  } finally {
    patience.pause();
    signal.removeEventListener('abort', forward);
  }
}

/** A stop watch that aborts its signal when it has run for `leftMs`. */
class QueuePatience {
  /** What the pool said last of the wait: when it is worth to come again. */
  expectedMs: number | undefined;
  private readonly controller = new AbortController();
  private timer: Timer | undefined;
  private sinceMs = 0;
  private leftMs: number;

  constructor(
    private readonly clock: Clock,
    private readonly queueMs: number,
    private readonly model: string,
  ) {
    this.leftMs = queueMs;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  run(): void {
    if (this.timer !== undefined || this.signal.aborted) return;
    this.sinceMs = this.clock.nowMs();
    this.timer = this.clock.setTimer(this.leftMs, () => {
      const message = `no slot of model '${this.model}' was free within ${String(this.queueMs)} ms`;
      const retry = this.expectedMs === undefined ? {} : { retryAfterMs: this.expectedMs };
      this.abort(new LlamaestroError('queue_timeout', message, { details: { limitMs: this.queueMs, ...retry } }));
    });
  }

  pause(): void {
    if (this.timer === undefined) return;
    this.timer.cancel();
    this.timer = undefined;
    this.leftMs = Math.max(0, this.leftMs - (this.clock.nowMs() - this.sinceMs));
  }

  abort(reason: unknown): void {
    this.pause();
    this.controller.abort(reason);
  }
}
