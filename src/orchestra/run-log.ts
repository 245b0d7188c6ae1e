/**
 * The event log of one run: appended by its driver, read by any number of doors, replayed from any point. Bounded: when
 * a run says more than fits, the oldest events go and a reader that still needed them gets `client_too_slow`.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError } from '../base/errors.js';
import { isTerminal, type RunEvent, type RunEventBody } from '../schema/run.js';

/** Events one run keeps: a token each for the longest contexts in use, and some. */
export const MAX_LOG_EVENTS = 65_536;

export class RunLog {
  private events: RunEvent[] = [];
  private dropped = 0;
  private ended = false;
  private readonly waiting = new Set<() => void>();

  constructor(private readonly maxEvents = MAX_LOG_EVENTS) {}

  /** Adds an event and wakes readers. Nothing may follow a terminal event. */
  append(body: RunEventBody): RunEvent {
    assert(!this.ended, 'no event after a terminal one');
    const event: RunEvent = { ...body, seq: this.dropped + this.events.length + 1 };
    this.events.push(event);
    if (this.events.length > this.maxEvents) {
      this.events.shift();
      this.dropped++;
    }
    this.ended = isTerminal(body);
    for (const wake of this.waiting) wake();
    this.waiting.clear();
    return event;
  }

  get isEnded(): boolean {
    return this.ended;
  }

  /** The seq of the newest event; 0 when there is none. */
  get lastSeq(): number {
    return this.dropped + this.events.length;
  }

  /** Events with seq > afterSeq: what there is, then what comes, until the terminal one or the abort. */
  async *read(afterSeq = 0, signal?: AbortSignal): AsyncGenerator<RunEvent, void, undefined> {
    let next = afterSeq + 1;
    while (!signal?.aborted) {
      if (next <= this.dropped) {
        throw new LlamaestroError('client_too_slow', `events up to ${String(this.dropped)} are no longer kept`);
      }
      const event = this.events[next - this.dropped - 1];
      if (event !== undefined) {
        next++;
        yield event;
        if (isTerminal(event)) return;
      } else if (this.ended) {
        return;
      } else {
        await this.wakeUp(signal);
      }
    }
  }

  private wakeUp(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.waiting.delete(wake);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      this.waiting.add(wake);
      signal?.addEventListener('abort', wake, { once: true });
    });
  }
}
