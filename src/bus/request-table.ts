/**
 * Requests on the way to their answer: each settles exactly once, by its answer, its timer, its signal or the end of
 * the bus, and leaves no timer and no listener behind. Knows tokens, not subjects or connections.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Clock } from '../base/ports.js';

/** Requests one connection may have under way. */
export const MAX_REQUESTS = 16_384;

interface Pending {
  readonly subject: string;
  readonly send: (token: string) => void;
  readonly resolve: (body: unknown) => void;
  readonly reject: (reason: unknown) => void;
  readonly cleanUp: () => void;
}

export class RequestTable {
  readonly #pending = new Map<string, Pending>();
  #count = 0;

  constructor(private readonly clock: Clock) {}

  get size(): number {
    return this.#pending.size;
  }

  /** Calls `send` with a new token and waits. What `send` throws is the rejection; it may be called again. */
  open(
    subject: string,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    send: (token: string) => void,
  ): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason as Error);
      if (this.#pending.size >= MAX_REQUESTS) {
        return reject(new LlamaestroError('queue_full', `${String(MAX_REQUESTS)} requests wait for an answer`));
      }
      const token = (++this.#count).toString(36);
      const onAbort = (): void => this.reject(token, signal?.reason);
      const timer = this.clock.setTimer(timeoutMs, () => {
        const message = `no answer on '${subject}' within ${String(timeoutMs)} ms`;
        this.reject(token, new LlamaestroError('ack_timeout', message, { details: { subject, timeoutMs } }));
      });
      signal?.addEventListener('abort', onAbort, { once: true });
      const cleanUp = (): void => {
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      this.#pending.set(token, { subject, send, resolve, reject, cleanUp });
      this.send(token);
    });
  }

  has(token: string): boolean {
    return this.#pending.has(token);
  }

  /** Sends it (again), unless it is settled. Only for a request that certainly reached nobody. */
  send(token: string): void {
    try {
      this.#pending.get(token)?.send(token);
    } catch (error) {
      this.reject(token, error);
    }
  }

  /** Does nothing for a token that is settled already. */
  resolve(token: string, body: unknown): void {
    this.#take(token)?.resolve(body);
  }

  /** Does nothing for a token that is settled already. */
  reject(token: string, reason: unknown): void {
    this.#take(token)?.reject(reason);
  }

  /** The broker says that nobody listens. */
  rejectNobody(token: string): void {
    const subject = this.#pending.get(token)?.subject ?? '';
    this.reject(token, new LlamaestroError('no_host', `nobody listens on '${subject}'`, { details: { subject } }));
  }

  rejectAll(reason: unknown): void {
    for (const token of [...this.#pending.keys()]) this.reject(token, reason);
  }

  /** Ends every wait without settling it: for the simulator, whose killed processes never hear anything again. */
  abandonAll(): void {
    for (const token of [...this.#pending.keys()]) this.#take(token);
  }

  #take(token: string): Pending | undefined {
    const pending = this.#pending.get(token);
    this.#pending.delete(token);
    pending?.cleanUp();
    return pending;
  }
}

/** What is asked of a bus that is closed. */
export function busClosed(): LlamaestroError {
  return new LlamaestroError('draining', 'the bus is closed');
}
