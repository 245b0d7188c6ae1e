/** Lets so many calls run at a time; the others wait in line, a bounded number of them. Knows nothing of what they do. */
import { LlamaestroError } from '../base/errors.js';

/** One line. Every call that was let in runs, also when those before it fail. */
export class Turnstile {
  readonly #mostRunning: number;
  readonly #mostWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(mostRunning: number, mostWaiting: number) {
    this.#mostRunning = mostRunning;
    this.#mostWaiting = mostWaiting;
  }

  /**
   * What `work` gives, begun when it is its turn. Errors: those of `work`; `queue_full` when too many wait; `cancelled` when
   * the signal aborts before the turn has come.
   */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#running < this.#mostRunning) this.#running++;
    else await this.#wait(signal);
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  /** The place of whoever ends passes on to the first in line. */
  async #wait(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) throw cancelled();
    if (this.#waiting.length >= this.#mostWaiting) {
      throw new LlamaestroError('queue_full', `${String(this.#mostWaiting)} calls wait for their turn already`);
    }
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(go), 1);
        reject(cancelled());
      };
      const go = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(go);
    });
  }
}

function cancelled(): LlamaestroError {
  return new LlamaestroError('cancelled', 'cancelled while it waited for its turn');
}
