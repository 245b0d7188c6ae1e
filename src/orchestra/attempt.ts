/**
 * One attempt of one run on one leased host: sends `gen`, follows its frames to the single terminal one, and hands the
 * lease back when the host says the attempt is over. Knows the timers of an attempt (acknowledgement, silence, patience
 * after a cancel) and no retries.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import { sleep, type Clock, type Timer } from '../base/ports.js';
import type { Bus } from '../bus/bus.js';
import type { FrameReceiver } from '../bus/frame-receiver.js';
import { subjects } from '../bus/subjects.js';
import type { Lease } from '../pool/pool.js';
import {
  AckCodec,
  GenAckCodec,
  replyOf,
  type Frame,
  type Gen,
  type HostCommand,
  type SequenceTimings,
  type Usage,
} from '../schema/bus-messages.js';
import { decode } from '../schema/decode.js';

/** How long a cancelled attempt may take to say so before its run ends without it; the lease waits on. */
export const CANCEL_ANSWER_MS = 2000;
/** A timer of ours that is later than this says that we slept or were blocked, and nothing about the host. */
const SELF_LATE_MS = 500;
/** Between two words to a host that has not ended a cancelled attempt. */
export const CANCEL_AGAIN_MS = 1000;

export type ProgressFrame = Extract<Frame, { type: 'started' | 'progress' | 'delta' }>;

/** How an attempt ended. A failed one carries counts when the host could still tell them. */
export type Outcome =
  | { readonly ok: true; readonly reason: 'stop' | 'length'; readonly usage: Usage; readonly timings: SequenceTimings }
  | {
      readonly ok: false;
      readonly error: LlamaestroError;
      /** Present when the host died by itself, not as told, while this attempt was its work. */
      readonly hostDied?: true;
      readonly usage?: Usage;
      readonly timings?: SequenceTimings;
    };

export interface AttemptContext {
  readonly bus: Bus;
  readonly receiver: FrameReceiver;
  readonly clock: Clock;
  readonly lease: Lease;
  readonly gen: Gen;
  readonly ackMs: number;
  /** Longest silence between two frames. */
  readonly silenceMs: number;
  readonly onFrame: (frame: ProgressFrame) => void;
}

const GenReply = replyOf(GenAckCodec);
const AckReply = replyOf(AckCodec);

/**
 * Resolves exactly once and never rejects. An abort of `signal` cancels on the host and resolves with the signal's reason
 * once the host confirmed, or after `CANCEL_ANSWER_MS`; no frame is handed over after it, so an answer that is complete by
 * then still counts as cancelled. The lease is released exactly once, at the host's terminal word, at its refusal, or when
 * it is lost; that may be later than the outcome.
 */
export function runAttempt(context: AttemptContext, signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => new AttemptDriver(context, signal, resolve).start());
}

class AttemptDriver {
  /** Why we cancelled; the first reason stays. */
  private cancelError: LlamaestroError | undefined;
  private settled = false;
  /** Aborts when the host's part is over: ends what we still ask it. */
  private readonly over = new AbortController();
  private timer: Timer | undefined;
  private stream: { consumed(frames: number): void; close(): void } | undefined;
  private heard = false;
  private heardAtMs = 0;
  private sawDelta = false;
  private readonly onAbort = (): void => this.cancel(toLlamaestroError(this.signal.reason));
  private readonly onLost = (): void => {
    const lost = toLlamaestroError(this.context.lease.lost.reason);
    // A step that never ends may be the request's doing; a frozen process is not.
    const isDead = lost.code === 'host_lost' || lost.details?.['verdict'] === 'stuck';
    const died = isDead ? { hostDied: true as const } : {};
    this.end({ ok: false, error: this.cancelError ?? lost, ...died });
  };

  constructor(
    private readonly context: AttemptContext,
    private readonly signal: AbortSignal,
    private readonly resolve: (outcome: Outcome) => void,
  ) {}

  start(): void {
    const { lease, receiver, gen } = this.context;
    // Nothing was sent: neither side has anything to take back.
    const given = [this.signal, lease.lost].find(({ aborted }) => aborted);
    if (given !== undefined) return this.end({ ok: false, error: toLlamaestroError(given.reason) });
    lease.lost.addEventListener('abort', this.onLost, { once: true });
    this.signal.addEventListener('abort', this.onAbort, { once: true });
    this.stream = receiver.open({
      rid: gen.rid,
      att: gen.att,
      hid: lease.hid,
      creditFrames: gen.creditFrames,
      onFrame: (frame) => this.take(frame),
      onBroken: (error) => this.cancel(error),
    });
    void this.send();
  }

  private get hostDone(): boolean {
    return this.over.signal.aborted;
  }

  private async send(): Promise<void> {
    const { bus, lease, gen, ackMs } = this.context;
    try {
      const subject = subjects.host(lease.hid, 'gen');
      const answer = await bus.request(subject, { ...gen, model: lease.model }, { timeoutMs: ackMs }, this.over.signal);
      const reply = decode(GenReply, answer, 'internal');
      if (!reply.ok) return this.end({ ok: false, error: this.cancelError ?? LlamaestroError.fromWire(reply.error) });
      if (!this.hostDone && this.cancelError === undefined) this.watchSilence();
    } catch (thrown) {
      if (this.hostDone) return;
      const error = toLlamaestroError(thrown);
      if (error.code === 'no_host') this.end({ ok: false, error: this.cancelError ?? error });
      // Frames say more than the answer that was lost. Without them, no answer is not a refusal: the attempt may run, so
      // it is cancelled, and the lease waits for the host's word.
      else if (!this.heard) this.cancel(error);
    }
  }

  private take(frame: Frame): void {
    this.heard = true;
    this.stream?.consumed(1);
    const { cancelError } = this;
    switch (frame.type) {
      case 'final': {
        const { reason, usage, timings } = frame;
        if (cancelError !== undefined) return this.end({ ok: false, error: cancelError, usage, timings });
        return this.end({ ok: true, reason, usage, timings });
      }
      case 'cancelled': {
        const error = cancelError ?? new LlamaestroError('cancelled', 'the host cancelled the attempt');
        return this.end({ ok: false, error, usage: frame.usage, timings: frame.timings });
      }
      case 'error':
        return this.end({ ok: false, error: cancelError ?? LlamaestroError.fromWire(frame.error) });
      default:
        if (this.settled || cancelError !== undefined) return;
        this.sawDelta ||= frame.type === 'delta';
        this.watchSilence();
        this.context.onFrame(frame);
    }
  }

  /** One timer, moved on lazily: frames come far more often than silence. */
  private watchSilence(): void {
    this.heardAtMs = this.context.clock.nowMs();
    this.timer ??= this.lookIn(this.context.silenceMs);
  }

  private lookIn(delayMs: number): Timer {
    const { clock, silenceMs } = this.context;
    const dueMs = clock.nowMs() + delayMs;
    return clock.setTimer(delayMs, () => {
      if (clock.nowMs() > dueMs + SELF_LATE_MS) this.heardAtMs = clock.nowMs();
      const leftMs = this.heardAtMs + silenceMs - clock.nowMs();
      if (leftMs > 0) {
        // At least a millisecond: a remainder lost to rounding must not spin.
        this.timer = this.lookIn(Math.max(1, leftMs));
        return;
      }
      const code = this.sawDelta ? 'token_stall' : 'prefill_stall';
      this.cancel(new LlamaestroError(code, `no word from the host for ${String(silenceMs)} ms`));
    });
  }

  /** Tells the host to stop; its last word, or the end of our patience, settles the outcome. */
  private cancel(error: LlamaestroError): void {
    if (this.hostDone || this.cancelError !== undefined) return;
    this.cancelError = error;
    this.timer?.cancel();
    this.timer = this.context.clock.setTimer(CANCEL_ANSWER_MS, () => this.settle({ ok: false, error }));
    void this.tellToStop(error);
  }

  /** Says it until the host has ended the attempt: a word lost on the way must not keep a slot. */
  private async tellToStop(error: LlamaestroError): Promise<void> {
    const { bus, clock, lease, gen, ackMs } = this.context;
    const command: HostCommand = { op: 'cancel', rid: gen.rid, att: gen.att };
    while (!this.hostDone) {
      try {
        const subject = subjects.host(lease.hid, 'ctl');
        const answer = await bus.request(subject, command, { timeoutMs: ackMs }, this.over.signal);
        const reply = decode(AckReply, answer, 'internal');
        // What does not run there says nothing more.
        if (reply.ok && reply.body.live === false) return this.end({ ok: false, error });
      } catch {
        // A host that cannot be told is gone or stuck: the pool's own watch reports it through `lost`.
      }
      await sleep(clock, CANCEL_AGAIN_MS, this.over.signal).catch(() => undefined);
    }
  }

  /** The host's part is over: the lease goes back and nothing of this attempt stays behind. */
  private end(outcome: Outcome): void {
    if (!this.hostDone) {
      this.over.abort();
      this.timer?.cancel();
      this.stream?.close();
      this.context.lease.lost.removeEventListener('abort', this.onLost);
      this.signal.removeEventListener('abort', this.onAbort);
      this.context.lease.release();
    }
    this.settle(outcome);
  }

  private settle(outcome: Outcome): void {
    if (this.settled) return;
    this.settled = true;
    this.resolve(outcome);
  }
}
