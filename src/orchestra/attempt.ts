/**
 * One attempt of one run on one leased host: sends `gen`, follows its frames to the single terminal one, and hands the
 * lease back when the host says the attempt is over. Knows the timers of an attempt (acknowledgement, silence, patience
 * after a cancel) and no retries.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Clock, Timer } from '../base/ports.js';
import type { Bus } from '../bus/bus.js';
import type { FrameReceiver } from '../bus/frame-receiver.js';
import { subjects } from '../bus/subjects.js';
import type { Lease } from '../pool/pool.js';
import {
  GenAckCodec,
  replyOf,
  type Frame,
  type Gen,
  type SequenceTimings,
  type Usage,
} from '../schema/bus-messages.js';
import { decode } from '../schema/decode.js';

/** How long a cancelled attempt may take to say so before its run ends without it; the lease waits on. */
export const CANCEL_ANSWER_MS = 2000;

export type ProgressFrame = Extract<Frame, { type: 'started' | 'progress' | 'delta' }>;

/** How an attempt ended. A failed one carries counts when the host could still tell them. */
export type Outcome =
  | { readonly ok: true; readonly reason: 'stop' | 'length'; readonly usage: Usage; readonly timings: SequenceTimings }
  | { readonly ok: false; readonly error: LlamaestroError; readonly usage?: Usage; readonly timings?: SequenceTimings };

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

/**
 * Resolves exactly once and never rejects. An abort of `signal` cancels on the host and resolves with the signal's reason
 * once the host confirmed, or after `CANCEL_ANSWER_MS`. The lease is released exactly once, at the host's terminal word,
 * at its refusal, or when it is lost; that may be later than the outcome.
 */
export function runAttempt(context: AttemptContext, signal: AbortSignal): Promise<Outcome> {
  return new Promise((resolve) => new AttemptDriver(context, signal, resolve).start());
}

class AttemptDriver {
  /** Why we cancelled; the first reason stays. */
  private cancelError: LlamaestroError | undefined;
  private settled = false;
  private hostDone = false;
  private timer: Timer | undefined;
  private stream: { consumed(frames: number): void; close(): void } | undefined;
  private sawDelta = false;
  private readonly onAbort = (): void => this.cancel(toLlamaestroError(this.signal.reason));
  private readonly onLost = (): void =>
    this.end({ ok: false, error: this.cancelError ?? toLlamaestroError(this.context.lease.lost.reason) });

  constructor(
    private readonly context: AttemptContext,
    private readonly signal: AbortSignal,
    private readonly resolve: (outcome: Outcome) => void,
  ) {}

  start(): void {
    const { lease, receiver, gen } = this.context;
    if (lease.lost.aborted) return this.onLost();
    lease.lost.addEventListener('abort', this.onLost, { once: true });
    this.stream = receiver.open({
      rid: gen.rid,
      att: gen.att,
      hid: lease.hid,
      onFrame: (frame) => this.take(frame),
      onBroken: (error) => this.cancel(error),
    });
    this.signal.addEventListener('abort', this.onAbort, { once: true });
    void this.send();
  }

  private async send(): Promise<void> {
    const { bus, lease, gen, ackMs } = this.context;
    try {
      const reply = decode(GenReply, await bus.request(subjects.host(lease.hid, 'gen'), gen, { timeoutMs: ackMs }));
      if (!reply.ok) throw LlamaestroError.fromWire(reply.error);
      if (this.signal.aborted) this.onAbort();
      else if (!this.hostDone && this.cancelError === undefined) this.watchSilence();
    } catch (thrown) {
      const error = toLlamaestroError(thrown);
      // No answer is not a refusal: the attempt may run. It is cancelled, and the lease waits for the host's word.
      if (error.code === 'ack_timeout') this.cancel(error);
      else this.end({ ok: false, error: this.cancelError ?? error });
    }
  }

  private take(frame: Frame): void {
    this.stream?.consumed(1);
    switch (frame.type) {
      case 'final':
        return this.end({ ok: true, reason: frame.reason, usage: frame.usage, timings: frame.timings });
      case 'cancelled': {
        const error = this.cancelError ?? new LlamaestroError('cancelled', 'the host cancelled the attempt');
        return this.end({ ok: false, error, usage: frame.usage, timings: frame.timings });
      }
      case 'error':
        return this.end({ ok: false, error: this.cancelError ?? LlamaestroError.fromWire(frame.error) });
      default:
        this.sawDelta ||= frame.type === 'delta';
        if (this.settled || this.cancelError !== undefined) return;
        this.watchSilence();
        this.context.onFrame(frame);
    }
  }

  private watchSilence(): void {
    const { clock, silenceMs } = this.context;
    this.timer?.cancel();
    this.timer = clock.setTimer(silenceMs, () => {
      const code = this.sawDelta ? 'token_stall' : 'prefill_stall';
      this.cancel(new LlamaestroError(code, `no word from the host for ${String(silenceMs)} ms`));
    });
  }

  /** Tells the host to stop; its `cancelled` frame, or the end of our patience, settles the outcome. */
  private cancel(error: LlamaestroError): void {
    if (this.hostDone || this.cancelError !== undefined) return;
    this.cancelError = error;
    const { bus, clock, lease, gen, ackMs } = this.context;
    this.timer?.cancel();
    this.timer = clock.setTimer(CANCEL_ANSWER_MS, () => this.settle({ ok: false, error }));
    const command = { op: 'cancel', rid: gen.rid, att: gen.att };
    // A host that cannot be told is gone or stuck: the pool's own watch reports it through `lost`.
    bus.request(subjects.host(lease.hid, 'ctl'), command, { timeoutMs: ackMs }).catch(() => undefined);
  }

  /** The host's part is over: the lease goes back and nothing of this attempt stays behind. */
  private end(outcome: Outcome): void {
    if (!this.hostDone) {
      this.hostDone = true;
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
