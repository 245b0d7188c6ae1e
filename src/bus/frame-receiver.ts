/**
 * Receives the frames of all attempts of one gateway: one subscription, a table of open streams, and a count of what
 * belonged to none. Everything about one attempt is in `frame-stream`.
 */
import type { Logger } from '../base/log.js';
import type { Clock } from '../base/ports.js';
import { BundleCodec } from '../schema/bus-messages.js';
import type { Bus, Subscription } from './bus.js';
import { FrameStream, type StreamOptions } from './frame-stream.js';
import { subjects } from './subjects.js';

export interface FrameReceiverOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly gid: string;
}

/** The reader's end of one attempt. */
export interface StreamHandle {
  /** `frames` more were dealt with; the host may send as many again. */
  consumed(frames: number): void;
  /** Asks the host for what may have got lost: for a caller who knows that the attempt should have ended. */
  askAgain(): void;
  /** Nothing is delivered any more. Idempotent; done by itself at the terminal frame. */
  close(): void;
}

export class FrameReceiver {
  /** Since the start: for metrics and tests. All but `bundles`, `delivered` and `asks` stay 0 on a healthy bus. */
  readonly counts = {
    bundles: 0,
    delivered: 0,
    malformed: 0,
    duplicates: 0,
    /** Of attempts not open here: closed, superseded, never known. */
    late: 0,
    /** From another host than the one the attempt runs on. */
    foreign: 0,
    gaps: 0,
    /** Repeats asked for, be it for a gap or after a silence. */
    asks: 0,
    broken: 0,
  };
  readonly #streams = new Map<string, FrameStream>();
  readonly #subscription: Subscription;
  readonly #stopStatus: () => void;

  constructor(private readonly options: FrameReceiverOptions) {
    const { bus, gid } = options;
    this.#subscription = bus.subscribe(subjects.out(gid), ({ body }) => this.#take(body));
    this.#stopStatus = bus.onStatus((status) => {
      if (status === 'back') for (const stream of [...this.#streams.values()]) stream.askAgain();
    });
  }

  /** Streams open now. */
  get size(): number {
    return this.#streams.size;
  }

  /** Opens a stream; do it before `gen` is sent, because frames may come with its reply. One per attempt. */
  open(options: StreamOptions): StreamHandle {
    const key = `${options.rid}/${String(options.att)}`;
    this.#streams.get(key)?.close();
    const { bus, clock, log } = this.options;
    const onClosed = (): void => void this.#streams.delete(key);
    const stream = new FrameStream(options, { bus, clock, log, counts: this.counts, onClosed });
    this.#streams.set(key, stream);
    return stream;
  }

  /** Closes every stream without a word to it, and the subscription. */
  close(): void {
    this.#stopStatus();
    this.#subscription.unsubscribe();
    for (const stream of [...this.#streams.values()]) stream.close();
  }

  #take(body: unknown): void {
    if (!BundleCodec.is(body)) {
      this.counts.malformed++;
      this.options.log.warn('a malformed bundle of frames was dropped', { gid: this.options.gid });
      return;
    }
    this.counts.bundles++;
    for (const frame of body.frames) {
      const stream = this.#streams.get(`${frame.rid}/${String(frame.att)}`);
      if (stream === undefined) this.counts.late++;
      else if (stream.options.hid !== body.hid) this.counts.foreign++;
      else stream.take(frame);
    }
  }
}
