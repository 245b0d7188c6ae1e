/**
 * One attempt as its gateway receives it: delivers frames in order, asks the host for what is missing, tells it what was
 * consumed. Owns the timers of that conversation; the subscription and the table of streams are the receiver's.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Timer } from '../base/ports.js';
import { AckCodec, replyOf, type Frame, type HostCommand } from '../schema/bus-messages.js';
import { decode } from '../schema/decode.js';
import type { Bus } from './bus.js';
import { FrameOrder } from './frame-order.js';
import { creditOf, DEFAULT_CREDIT_FRAMES, isTerminal } from './frame-window.js';
import { subjects } from './subjects.js';

/** What overtakes on the way needs no repeat: a gap is asked about only after it. */
export const GAP_GRACE_MS = 20;
/** Between two questions about the same gap, and after a command that was not answered. */
export const ASK_AGAIN_MS = 250;
/** Silence after which the host is asked whether something was sent that did not arrive. */
export const PROBE_MS = 5000;
export const COMMAND_TIMEOUT_MS = 1000;
/** Questions in a row that brought no frame and no answer. */
export const MAX_ASKS = 10;

const Reply = replyOf(AckCodec);

export interface StreamOptions {
  readonly rid: string;
  readonly att: number;
  readonly hid: string;
  /** As in the request `gen`. Default 256. */
  readonly creditFrames?: number;
  /**
   * Each frame once, in order, ending with the terminal one; the stream is closed before that one is handed over. After
   * `onBroken` only an end is still reported, and never as `final`.
   */
  readonly onFrame: (frame: Frame) => void;
  /** Frames are lost for good (`stream_gap`), or the host no longer answers (`host_lost`). At most once. */
  readonly onBroken: (error: LlamaestroError) => void;
}

/** What a stream needs of its receiver. */
export interface StreamContext {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly counts: { delivered: number; duplicates: number; late: number; gaps: number; asks: number; broken: number };
  readonly onClosed: () => void;
}

export class FrameStream {
  readonly #order = new FrameOrder();
  readonly #credit: number;
  #consumed = 0;
  #granted: number;
  #granting = false;
  #open = true;
  #broken: LlamaestroError | undefined;
  #asks = 0;
  #asking = false;
  #heardMs: number;
  #probeTimer: Timer;
  #gapTimer: Timer | undefined;
  #grantTimer: Timer | undefined;
  /** Ends commands under way when the stream closes. */
  #stop: AbortController | undefined;

  constructor(
    readonly options: StreamOptions,
    private readonly context: StreamContext,
  ) {
    this.#credit = creditOf(options.creditFrames ?? DEFAULT_CREDIT_FRAMES);
    this.#granted = this.#credit;
    this.#heardMs = context.clock.nowMs();
    this.#probeTimer = this.#probeIn(PROBE_MS);
  }

  /** A frame of this attempt, from the right host. */
  take(frame: Frame): void {
    if (this.#broken !== undefined) return this.#takeBroken(frame, this.#broken);
    this.#heardMs = this.context.clock.nowMs();
    if (this.#order.place(frame) === 'duplicate') {
      this.context.counts.duplicates++;
      return;
    }
    for (let next = this.#order.take(); next !== undefined && this.#open; next = this.#order.take()) {
      this.#asks = 0;
      this.#deliver(next);
    }
    if (this.#open) this.#watchGap();
  }

  /** `frames` more were consumed; replenishes the sender's credit when half of it is used. */
  consumed(frames: number): void {
    this.#consumed += frames;
    if (this.#open && this.#broken === undefined) this.#grant();
  }

  /** Asks the host for everything after what was delivered. */
  askAgain(): void {
    if (!this.#open || this.#broken !== undefined) return;
    this.#ask();
    this.#grant();
  }

  /** Ends the conversation; nothing is delivered any more. Idempotent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#stopTalking();
    this.context.onClosed();
  }

  #deliver(frame: Frame): void {
    if (isTerminal(frame)) this.close();
    this.context.counts.delivered++;
    try {
      this.options.onFrame(frame);
    } catch (error) {
      const { rid, att } = frame;
      this.context.log.error('a frame handler failed', { rid, att, error });
    }
  }

  /** Only the end still matters, and it cannot be a success: text is missing. */
  #takeBroken(frame: Frame, error: LlamaestroError): void {
    if (!isTerminal(frame)) {
      this.context.counts.late++;
      return;
    }
    const { rid, att, seq } = frame;
    this.#deliver(frame.type === 'final' ? { rid, att, seq, type: 'error', error: error.toWire() } : frame);
  }

  #break(error: LlamaestroError): void {
    this.#broken = error;
    this.#stopTalking();
    this.context.counts.broken++;
    const { rid, att, hid } = this.options;
    this.context.log.warn('a stream broke', { rid, att, hid, code: error.code });
    this.options.onBroken(error);
  }

  #stopTalking(): void {
    this.#probeTimer.cancel();
    this.#gapTimer?.cancel();
    this.#grantTimer?.cancel();
    this.#stop?.abort();
  }

  #watchGap(): void {
    if (!this.#order.hasGap) {
      this.#gapTimer?.cancel();
      this.#gapTimer = undefined;
      return;
    }
    if (this.#gapTimer !== undefined || this.#asking) return;
    this.context.counts.gaps++;
    this.#askIn(GAP_GRACE_MS);
  }

  #askIn(delayMs: number): void {
    this.#gapTimer?.cancel();
    this.#gapTimer = this.context.clock.setTimer(delayMs, () => {
      this.#gapTimer = undefined;
      if (this.#order.hasGap) this.#ask();
    });
  }

  /** One timer, moved on lazily: frames come far more often than silence. */
  #probeIn(delayMs: number): Timer {
    return this.context.clock.setTimer(delayMs, () => {
      const quietMs = this.context.clock.nowMs() - this.#heardMs;
      // At least a millisecond: a remainder lost to rounding must not spin.
      this.#probeTimer = this.#probeIn(quietMs >= PROBE_MS ? PROBE_MS : Math.max(1, PROBE_MS - quietMs));
      if (quietMs >= PROBE_MS) this.askAgain();
    });
  }

  #ask(): void {
    if (this.#asking) return;
    if (this.#asks >= MAX_ASKS) {
      const gap = this.#order.hasGap;
      const message = gap ? 'frames of the answer were lost on the bus' : 'the host does not answer any more';
      return this.#break(new LlamaestroError(gap ? 'stream_gap' : 'host_lost', message));
    }
    this.#asking = true;
    this.#asks++;
    this.context.counts.asks++;
    const { rid, att } = this.options;
    void this.#command({ op: 'resend', rid, att, fromSeq: this.#order.nextSeq }).then((error) => {
      this.#asking = false;
      if (!this.#open || this.#broken !== undefined) return;
      // A host that answers is alive: silence alone breaks nothing, only a gap that stays.
      if (error === undefined && !this.#order.hasGap) this.#asks = 0;
      const begun = this.#order.hasGap || this.#order.nextSeq > 0;
      if (error?.code === 'stream_gap' && begun) return this.#break(error);
      if (this.#order.hasGap) this.#askIn(ASK_AGAIN_MS);
    });
  }

  #grant(): void {
    const totalFrames = this.#consumed + this.#credit;
    if (this.#granting || totalFrames - this.#granted < this.#credit / 2) return;
    this.#granting = true;
    const { rid, att } = this.options;
    void this.#command({ op: 'credit', rid, att, frames: totalFrames }).then((error) => {
      this.#granting = false;
      if (error === undefined) this.#granted = Math.max(this.#granted, totalFrames);
      if (!this.#open || this.#broken !== undefined) return;
      if (error === undefined) return this.#grant();
      this.#grantTimer = this.context.clock.setTimer(ASK_AGAIN_MS, () => this.#grant());
    });
  }

  /** Sends one command; resolves with what went wrong, if anything did. */
  async #command(command: HostCommand): Promise<LlamaestroError | undefined> {
    const subject = subjects.host(this.options.hid, 'ctl');
    const wait = { timeoutMs: COMMAND_TIMEOUT_MS };
    this.#stop ??= new AbortController();
    try {
      const reply = decode(
        Reply,
        await this.context.bus.request(subject, command, wait, this.#stop.signal),
        'internal',
      );
      return reply.ok ? undefined : LlamaestroError.fromWire(reply.error);
    } catch (error) {
      return toLlamaestroError(error);
    }
  }
}
