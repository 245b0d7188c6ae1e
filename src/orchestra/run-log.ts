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
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const wake of waiting) wake();
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
  read(afterSeq = 0, signal?: AbortSignal): AsyncIterableIterator<RunEvent> {
    return new LogReader(this, afterSeq, signal);
  }

  /** The event numbered `seq`, undefined while it has not come. Throws `client_too_slow` when it is no longer kept. */
  at(seq: number): RunEvent | undefined {
    if (seq > this.dropped) return this.events[seq - this.dropped - 1];
    throw new LlamaestroError('client_too_slow', `events up to ${String(this.dropped)} are no longer kept`);
  }

  /** Calls `wake` once, after the next event, unless `forget` comes first. */
  onNext(wake: () => void): void {
    this.waiting.add(wake);
  }

  forget(wake: () => void): void {
    this.waiting.delete(wake);
  }
}

/**
 * One reading of a log. Written out instead of an async generator, because every token passes here once per reader: one
 * promise each, and one abort listener for the whole reading. `next` is called by one caller at a time.
 */
class LogReader implements AsyncIterableIterator<RunEvent> {
  private isOver = false;
  private pending: { resolve(next: IteratorResult<RunEvent>): void; reject(error: unknown): void } | undefined;
  private nextSeq: number;
  private readonly wake = (): void => this.serve();

  constructor(
    private readonly log: RunLog,
    afterSeq: number,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.nextSeq = afterSeq + 1;
    signal?.addEventListener('abort', this.wake, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<RunEvent>> {
    return new Promise((resolve, reject) => {
      this.pending = { resolve, reject };
      this.serve();
    });
  }

  return(): Promise<IteratorResult<RunEvent>> {
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Answers the reader if it waits and can be answered. */
  private serve(): void {
    const { pending } = this;
    if (pending === undefined) return;
    try {
      const next = this.take();
      if (next === undefined) return this.log.onNext(this.wake);
      this.pending = undefined;
      pending.resolve(next);
    } catch (error) {
      this.end();
      this.pending = undefined;
      pending.reject(error);
    }
  }

  private take(): IteratorResult<RunEvent> | undefined {
    if (this.isOver || this.signal?.aborted === true) return this.end();
    const event = this.log.at(this.nextSeq);
    if (event === undefined) return this.log.isEnded ? this.end() : undefined;
    this.nextSeq++;
    if (isTerminal(event)) this.end();
    return { done: false, value: event };
  }

  private end(): IteratorResult<RunEvent> {
    this.isOver = true;
    this.log.forget(this.wake);
    this.signal?.removeEventListener('abort', this.wake);
    return { done: true, value: undefined };
  }
}
