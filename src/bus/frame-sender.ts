/**
 * Sends the frames of all attempts of one host: one bundle per flush and gateway, each attempt within its credit, what
 * was sent kept for a repeat. Knows no engine; the host says what to send and hears when a receiver is too slow.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Timer } from '../base/ports.js';
import type { Bundle, Frame, FrameBody } from '../schema/bus-messages.js';
import type { Bus } from './bus.js';
import { partLimits, partsOf } from './frame-parts.js';
import { FrameWindow } from './frame-window.js';
import { subjects } from './subjects.js';

/** Longest time an attempt may have frames held without any credit. */
export const CREDIT_WAIT_MS = 30_000;
/** How long the end of an attempt can be asked for again. */
export const KEEP_END_MS = 60_000;
/** Ended attempts remembered, and frames kept for all of them together; beyond it the oldest go first. */
const MAX_ENDED_ATTEMPTS = 4096;
const MAX_ENDED_FRAMES = 16_384;

export interface FrameSenderOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hid: string;
  /**
   * The receiver of this attempt does not keep up: cancel it, and send its end as `client_too_slow`. Called once per
   * attempt; what was held is dropped.
   */
  readonly onOverflow: (rid: string, att: number) => void;
}

export interface AttemptName {
  readonly rid: string;
  readonly att: number;
}

interface Sending {
  readonly gid: string;
  readonly window: FrameWindow;
  starvation: Timer | undefined;
  overflowTold: boolean;
}

interface Ended {
  readonly gid: string;
  readonly window: FrameWindow;
  readonly untilMs: number;
}

function keyOf(rid: string, att: number): string {
  return `${rid}/${String(att)}`;
}

export class FrameSender {
  /** Since the start: for metrics and tests. */
  readonly counts = { bundles: 0, frames: 0, repeated: 0, droppedAfterEnd: 0, overflows: 0 };
  readonly #sending = new Map<string, Sending>();
  /** In the order they ended. */
  readonly #ended = new Map<string, Ended>();
  #endedFrames = 0;
  #sweep: Timer | undefined;
  /** Frames to publish, by gateway. */
  #outbox = new Map<string, Frame[]>();
  readonly #stopStatus: () => void;

  constructor(private readonly options: FrameSenderOptions) {
    this.#stopStatus = options.bus.onStatus((status) => status === 'back' && this.#repeatAll());
  }

  /** Announces an attempt before its first frame. False when it is known already: a request delivered twice. */
  open(attempt: AttemptName & { readonly gid: string; readonly creditFrames: number }): boolean {
    const { rid, att, gid, creditFrames } = attempt;
    const key = keyOf(rid, att);
    if (this.#sending.has(key) || this.#ended.has(key)) return false;
    const window = new FrameWindow(rid, att, creditFrames);
    this.#sending.set(key, { gid, window, starvation: undefined, overflowTold: false });
    return true;
  }

  /** Adds one frame to the next flush. Dropped and counted when the attempt is unknown or has its end already. */
  send(rid: string, att: number, body: FrameBody): void {
    const sending = this.#sending.get(keyOf(rid, att));
    if (sending === undefined) {
      this.counts.droppedAfterEnd++;
      return;
    }
    for (const part of partsOf(body, partLimits(this.options.bus.maxPayloadBytes))) {
      const result = sending.window.push(part);
      if (result === 'ended') this.counts.droppedAfterEnd++;
      if (result === 'overflow') this.#overflow(sending);
    }
    this.#advance(sending);
  }

  /** Publishes what was sent since the last flush: call once per engine step. */
  flush(): void {
    if (this.#outbox.size === 0) return;
    const outbox = this.#outbox;
    this.#outbox = new Map();
    for (const [gid, frames] of outbox) this.#publish(gid, frames);
  }

  /**
   * Sends again, and flushes, everything from `fromSeq` on. False when that attempt is unknown or its frames are no
   * longer kept: answer the command with `stream_gap`.
   */
  resend(rid: string, att: number, fromSeq: number): boolean {
    const key = keyOf(rid, att);
    const known = this.#sending.get(key) ?? this.#ended.get(key);
    const frames = known?.window.repeat(fromSeq);
    if (known === undefined || frames === undefined) return false;
    this.#repeat(known.gid, frames);
    this.flush();
    return true;
  }

  /** The command `credit`: `totalFrames` may have been sent since the attempt began. Flushes what that sets free. */
  grant(rid: string, att: number, totalFrames: number): void {
    const sending = this.#sending.get(keyOf(rid, att));
    if (sending === undefined) return;
    sending.window.grant(totalFrames);
    this.#advance(sending);
    this.flush();
  }

  /** Attempts whose terminal frame has not left. */
  live(): AttemptName[] {
    return [...this.#sending.values()].map(({ window: { rid, att } }) => ({ rid, att }));
  }

  /** Forgets everything; publishes nothing more. */
  close(): void {
    this.#stopStatus();
    this.#sweep?.cancel();
    for (const { starvation } of this.#sending.values()) starvation?.cancel();
    this.#sending.clear();
    this.#ended.clear();
    this.#outbox.clear();
  }

  #advance(sending: Sending): void {
    const { window, gid } = sending;
    const frames = window.take();
    if (frames.length > 0) {
      this.#queue(gid, frames);
      this.counts.frames += frames.length;
      sending.starvation?.cancel();
      sending.starvation = undefined;
    }
    if (window.ended) return this.#end(sending);
    if (!window.starved) return;
    sending.starvation ??= this.options.clock.setTimer(CREDIT_WAIT_MS, () => this.#starved(sending));
  }

  #starved(sending: Sending): void {
    sending.starvation = undefined;
    if (!sending.window.ending) return this.#overflow(sending);
    // It ended behind frames nobody has room for: nobody reads this stream any more.
    this.#sending.delete(keyOf(sending.window.rid, sending.window.att));
    this.counts.overflows++;
  }

  #overflow(sending: Sending): void {
    if (sending.overflowTold) return;
    sending.overflowTold = true;
    this.counts.overflows++;
    const { rid, att } = sending.window;
    this.options.log.warn('a stream was not read fast enough', { rid, att, gid: sending.gid });
    this.options.onOverflow(rid, att);
  }

  #end(sending: Sending): void {
    const { gid, window } = sending;
    const key = keyOf(window.rid, window.att);
    this.#sending.delete(key);
    this.#ended.set(key, { gid, window, untilMs: this.options.clock.nowMs() + KEEP_END_MS });
    this.#endedFrames += window.keptFrames;
    if (this.#endedFrames > MAX_ENDED_FRAMES) this.#thin();
    const [oldest] = this.#ended.keys();
    if (this.#ended.size > MAX_ENDED_ATTEMPTS && oldest !== undefined) this.#forget(oldest);
    this.#sweep ??= this.options.clock.setTimer(KEEP_END_MS, () => this.#sweepEnded());
  }

  /** Ended attempts give up all but their end, oldest first. */
  #thin(): void {
    for (const { window } of this.#ended.values()) {
      if (this.#endedFrames <= MAX_ENDED_FRAMES) return;
      this.#endedFrames -= window.keptFrames;
      window.forgetAllButEnd();
      this.#endedFrames += window.keptFrames;
    }
  }

  #forget(key: string): void {
    this.#endedFrames -= this.#ended.get(key)?.window.keptFrames ?? 0;
    this.#ended.delete(key);
  }

  #sweepEnded(): void {
    const { clock } = this.options;
    this.#sweep = undefined;
    for (const [key, { untilMs }] of this.#ended) {
      if (untilMs > clock.nowMs()) {
        this.#sweep = clock.setTimer(Math.max(1, untilMs - clock.nowMs()), () => this.#sweepEnded());
        return;
      }
      this.#forget(key);
    }
  }

  #queue(gid: string, frames: readonly Frame[]): void {
    const queued = this.#outbox.get(gid);
    if (queued === undefined) this.#outbox.set(gid, [...frames]);
    else queued.push(...frames);
  }

  #repeat(gid: string, frames: readonly Frame[]): void {
    this.counts.repeated += frames.length;
    this.#queue(gid, frames);
  }

  /** The connection was away: what the receivers have not confirmed goes once more; they drop what they had. */
  #repeatAll(): void {
    this.#outbox.clear();
    for (const { gid, window } of [...this.#sending.values(), ...this.#ended.values()]) {
      this.#repeat(gid, window.unconfirmed());
    }
    this.flush();
  }

  /** Halves a bundle until it fits; a single frame always does, because `send` cuts it. */
  #publish(gid: string, frames: readonly Frame[]): void {
    if (frames.length === 0) return;
    const bundle: Bundle = { v: 1, hid: this.options.hid, frames };
    try {
      this.options.bus.publish(subjects.out(gid), bundle);
      this.counts.bundles++;
    } catch (error) {
      if (!(error instanceof LlamaestroError) || error.code !== 'payload_too_large' || frames.length === 1) throw error;
      const half = frames.length >> 1;
      this.#publish(gid, frames.slice(0, half));
      this.#publish(gid, frames.slice(half));
    }
  }
}
