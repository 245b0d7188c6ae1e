/**
 * The doors to what is not deterministic. Everything that waits, measures time or draws a number takes these as
 * arguments, so that the simulator can replace them; only `system-ports.ts` touches the real ones.
 */

/** A pending timer. `cancel` is idempotent and safe after it fired. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds since an arbitrary start; may have fractions. Never compared across processes. */
  nowMs(): number;
  /** Milliseconds since 1970; for records and display only, never for waiting. */
  wallMs(): number;
  /** Runs `fn` once after `delayMs` (>= 0). A pending timer does not keep the process alive. */
  setTimer(delayMs: number, fn: () => void): Timer;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** A new id `prefix_` + 22 characters of [0-9A-Za-z]: 128 bits when the source is the system's. */
  id(prefix: string): string;
}

/** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. Leaves no timer behind. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const onAbort = (): void => {
      timer.cancel();
      reject(signal?.reason as Error);
    };
    const timer = clock.setTimer(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
