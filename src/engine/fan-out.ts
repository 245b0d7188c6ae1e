/**
 * Calls listeners so that one that throws harms nobody else: the exception surfaces as an uncaught one, after the rest
 * of the step was delivered. Knows nothing of what is delivered.
 */

/** Calls `listener`; what it throws is thrown again from a microtask, where it counts as uncaught. */
export function callListener<T extends readonly unknown[]>(listener: (...values: T) => void, ...values: T): void {
  try {
    listener(...values);
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown;
    });
  }
}

/** A set of step listeners that may change while it is called. */
export class StepListeners {
  private readonly listeners = new Set<() => void>();

  /** Adds a listener; equal functions are separate entries. Returns the function that removes it, which is idempotent. */
  add(listener: () => void): () => void {
    const entry = (): void => listener();
    this.listeners.add(entry);
    return () => this.listeners.delete(entry);
  }

  call(): void {
    for (const listener of [...this.listeners]) callListener(listener);
  }
}
