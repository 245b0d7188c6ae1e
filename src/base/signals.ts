/** Small things done with promises and abort signals: one settled from outside, deadlines, the first of two. Knows no policy. */
import { LlamaestroError } from './errors.js';
import type { Clock } from './ports.js';

/** A signal that aborts after `ms`; `end` takes the timer back. */
export function deadline(clock: Clock, ms: number): { readonly signal: AbortSignal; readonly end: () => void } {
  const controller = new AbortController();
  const timer = clock.setTimer(ms, () => controller.abort(new LlamaestroError('deadline', `not done after ${ms} ms`)));
  return { signal: controller.signal, end: () => timer.cancel() };
}

/** A signal that aborts with the first of two; `end` takes the listeners back. */
export function linked(
  one: AbortSignal,
  other?: AbortSignal,
): { readonly signal: AbortSignal; readonly end: () => void } {
  const controller = new AbortController();
  const listeners = [one, ...(other === undefined ? [] : [other])].map((signal) => {
    const forward = (): void => controller.abort(signal.reason);
    if (signal.aborted) forward();
    signal.addEventListener('abort', forward, { once: true });
    return { signal, forward };
  });
  const end = (): void => {
    for (const { signal, forward } of listeners) signal.removeEventListener('abort', forward);
  };
  return { signal: controller.signal, end };
}

/** `promise`, or the signal's reason if that comes first. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** A promise, and what settles it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(reason: unknown): void;
}

/** Its rejection is no fault when nobody waits for it. */
export function deferred<T>(): Deferred<T> {
  let [resolve, reject]: [Deferred<T>['resolve'], Deferred<T>['reject']] = [() => undefined, () => undefined];
  const promise = new Promise<T>((onResolve, onReject) => ([resolve, reject] = [onResolve, onReject]));
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
