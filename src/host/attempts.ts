/**
 * The attempts that run on this host: each is one sequence of the engine, one stream of frames, one deadline, and one
 * lease that its gateway renews. Every attempt ends with exactly one terminal frame. Knows no load and no drain: whoever
 * calls `take` decided that work is welcome.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Timer } from '../base/ports.js';
import type { Bus } from '../bus/bus.js';
import { FrameSender, type AttemptName } from '../bus/frame-sender.js';
import {
  MAX_WAITING_SEQUENCES,
  type Engine,
  type Sequence,
  type SequenceEvent,
  type SequenceRequest,
} from '../engine/engine.js';
import type { Gen, HostCommand } from '../schema/bus-messages.js';
import { HOST_LIMITS } from '../schema/config.js';
import type { Prompt } from '../schema/load.js';
import { samplingOf } from '../schema/sampling.js';
import { Fence } from './fence.js';
import { frameOf, type StopCause } from './frame-of.js';

export interface AttemptsParts {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hid: string;
}

interface Attempt extends AttemptName {
  readonly gid: string;
  readonly sequence: Sequence;
  readonly deadline: Timer;
  renewedMs: number;
  cause: StopCause | undefined;
}

/** A long prompt that is being tokenised: not yet an attempt, but what is said to the attempt holds for it. */
interface Coming extends AttemptName {
  error: LlamaestroError | undefined;
}

type CommandOf<Op extends HostCommand['op']> = Extract<HostCommand, { op: Op }>;

export class Attempts {
  private readonly clock: Clock;
  private readonly sender: FrameSender;
  private readonly fence = new Fence(HOST_LIMITS.fencedRuns);
  /** Sequences under way, by run: the fence lets one attempt of a run in at a time. */
  private readonly running = new Map<string, Attempt>();
  /** At most one of a run: the fence lets in what is newer, and then the older one is told. */
  private readonly coming = new Map<string, Coming>();
  private readonly watched = new WeakSet<Engine>();
  private isFlushPending = false;
  private lastLookMs: number;

  constructor(parts: AttemptsParts) {
    this.clock = parts.clock;
    this.lastLookMs = parts.clock.nowMs();
    this.sender = new FrameSender({
      ...parts,
      onOverflow: (rid, att) =>
        this.stop(rid, att, new LlamaestroError('client_too_slow', 'the stream was not read fast enough')),
    });
  }

  /**
   * Starts an attempt; gives how many sequences wait before it, at once for a short prompt. A long one is tokenised first,
   * beside the event loop: frames of others go on meanwhile. So is one that says something about reasoning, since an engine
   * leaves the answer to token ids in one piece, and frames carry text alone. `serving` names the engine or throws. Errors: those of
   * `submit`, `tokenize`, `serving`, and of the fence; `cancelled` and `deadline` while a prompt is tokenised.
   */
  take(gen: Gen, serving: () => Engine): number | Promise<number> {
    this.refuseStale(gen.rid, gen.att);
    if (gen.ttlMs <= 0) throw new LlamaestroError('deadline', 'the time of the request was over when it came here');
    const engine = serving();
    if (isTokenisedFirst(gen.prompt)) return this.takeLong(gen, engine, serving);
    return this.begin(gen, engine);
  }

  private async takeLong(gen: Gen, engine: Engine, serving: () => Engine): Promise<number> {
    const { rid, att } = gen;
    if (this.coming.size >= MAX_WAITING_SEQUENCES) {
      throw new LlamaestroError('queue_full', `${MAX_WAITING_SEQUENCES} prompts are being tokenised already`);
    }
    const askedMs = this.clock.nowMs();
    const coming: Coming = { rid, att, error: undefined };
    // From here on the same attempt is a repetition, as if it ran.
    this.fence.raise(rid, att);
    this.giveUp(this.coming.get(rid), asCancelled());
    this.coming.set(rid, coming);
    try {
      const tokens = await engine.tokenize(gen.prompt);
      if (coming.error !== undefined) throw coming.error;
      const ttlMs = gen.ttlMs - (this.clock.nowMs() - askedMs);
      if (ttlMs <= 0) throw pastDeadline(gen.ttlMs);
      return this.begin({ ...gen, ttlMs, prompt: { kind: 'tokens', tokens: Array.from(tokens) } }, serving());
    } finally {
      if (this.coming.get(rid) === coming) this.coming.delete(rid);
    }
  }

  private begin(gen: Gen, engine: Engine): number {
    const { rid, att, gid, creditFrames } = gen;
    this.watch(engine);
    const { waiting } = engine.stats();
    const sequence = engine.submit(requestOf(gen), (event) => this.onEvent(attempt, event));
    const attempt: Attempt = {
      rid,
      att,
      gid,
      sequence,
      deadline: this.clock.setTimer(gen.ttlMs, () => this.stop(rid, att, pastDeadline(gen.ttlMs))),
      renewedMs: this.clock.nowMs(),
      cause: undefined,
    };
    this.fence.raise(rid, att);
    this.giveUp(this.coming.get(rid), asCancelled());
    this.supersede(this.running.get(rid));
    this.running.set(rid, attempt);
    this.sender.open({ rid, att, gid, creditFrames });
    return waiting;
  }

  /** Ends an attempt with `cancelled`. False when it does not run here; then it will not start any more either. */
  cancel({ rid, att }: AttemptName): boolean {
    this.fence.raise(rid, att);
    const coming = this.coming.get(rid);
    if (coming?.att === att) this.giveUp(coming, asCancelled());
    this.stop(rid, att, 'asked');
    return this.list().some((name) => name.rid === rid && name.att === att);
  }

  grant({ rid, att, frames }: CommandOf<'credit'>): void {
    this.sender.grant(rid, att, frames);
  }

  /** Throws `stream_gap` when what is asked for is no longer kept. */
  resend({ rid, att, fromSeq }: CommandOf<'resend'>): void {
    if (this.sender.resend(rid, att, fromSeq)) return;
    throw new LlamaestroError('stream_gap', `frames of attempt ${att} from ${fromSeq} on are no longer kept`);
  }

  renew({ gid, attempts }: CommandOf<'renew'>): void {
    for (const { rid, att } of attempts) {
      const attempt = this.running.get(rid);
      if (attempt?.att === att && attempt.gid === gid) attempt.renewedMs = this.clock.nowMs();
    }
  }

  /** Ends what was not renewed for too long. Call it every second or two; `waitedMs` is how long the caller meant to wait since. */
  expire(waitedMs: number): void {
    const nowMs = this.clock.nowMs();
    // When this process itself stood still, renewals wait unread: nobody is to blame for that time.
    const lateMs = nowMs - this.lastLookMs - waitedMs;
    this.lastLookMs = nowMs;
    for (const attempt of this.running.values()) {
      if (lateMs > HOST_LIMITS.beatMs) attempt.renewedMs += lateMs;
      if (nowMs - attempt.renewedMs > HOST_LIMITS.leaseMs) this.stop(attempt.rid, attempt.att, notRenewed());
    }
  }

  /** True while prompts of attempts to come are tokenised. */
  get isPreparing(): boolean {
    return this.coming.size > 0;
  }

  /** Attempts whose terminal frame has not left. */
  list(): readonly AttemptName[] {
    return this.sender.live();
  }

  flush(): void {
    this.sender.flush();
  }

  /** Lets go of everything without a word: what comes from the engine later is dropped. */
  close(): void {
    for (const attempt of this.running.values()) attempt.deadline.cancel();
    for (const coming of this.coming.values()) this.giveUp(coming, asCancelled());
    this.running.clear();
    this.sender.close();
  }

  private refuseStale(rid: string, att: number): void {
    const verdict = this.fence.judge(rid, att);
    if (verdict === 'fresh') return;
    const why = verdict === 'repeated' ? 'was taken or cancelled before' : 'is older than one that was taken before';
    throw new LlamaestroError('invalid_request', `attempt ${att} of ${rid} ${why}`, { param: 'att' });
  }

  /** The gateway gave the older attempt up when it numbered a new one. */
  private supersede(older: Attempt | undefined): void {
    if (older !== undefined) this.stop(older.rid, older.att, 'asked');
  }

  private giveUp(coming: Coming | undefined, error: LlamaestroError): void {
    if (coming !== undefined) coming.error ??= error;
  }

  /** The first cause counts; the terminal frame follows when the engine has let go. */
  private stop(rid: string, att: number, cause: StopCause): void {
    const attempt = this.running.get(rid);
    if (attempt?.att !== att || attempt.cause !== undefined) return;
    attempt.cause = cause;
    attempt.sequence.cancel();
  }

  private onEvent(attempt: Attempt, event: SequenceEvent): void {
    const { rid, att } = attempt;
    if (event.type === 'finished') {
      attempt.deadline.cancel();
      if (this.running.get(rid) === attempt) this.running.delete(rid);
    }
    this.sender.send(rid, att, frameOf(event, attempt.cause));
    this.flushSoon();
  }

  private watch(engine: Engine): void {
    if (this.watched.has(engine)) return;
    this.watched.add(engine);
    engine.onStep(() => this.sender.flush());
  }

  /** Events outside a step (the end of a sequence that never ran) leave too, once the engine's turn is over. */
  private flushSoon(): void {
    if (this.isFlushPending) return;
    this.isFlushPending = true;
    queueMicrotask(() => {
      this.isFlushPending = false;
      this.sender.flush();
    });
  }
}

/** What the engine has to know of a `gen`, and nothing that a newer gateway may have added. */
function requestOf(gen: Gen): SequenceRequest {
  const { prompt, maxTokens, stop, ignoreEos, priority, lora } = gen;
  return {
    prompt,
    ...samplingOf(gen),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(stop === undefined ? {} : { stop }),
    ...(ignoreEos === undefined ? {} : { ignoreEos }),
    ...(priority === undefined ? {} : { priority }),
    ...(lora === undefined ? {} : { lora }),
  };
}

function isTokenisedFirst(prompt: Prompt): boolean {
  const saysReasoning = prompt.kind === 'messages' && prompt.thinking !== undefined;
  return saysReasoning || textUnits(prompt) > HOST_LIMITS.inlinePromptUnits;
}

/** UTF-16 units of the text that has to be tokenised. */
function textUnits(prompt: Prompt): number {
  if (prompt.kind === 'text') return prompt.text.length;
  if (prompt.kind === 'messages') return prompt.messages.reduce((sum, { content }) => sum + content.length, 0);
  return 0;
}

function asCancelled(): LlamaestroError {
  return new LlamaestroError('cancelled', 'the attempt was cancelled before it began');
}

function pastDeadline(ttlMs: number): LlamaestroError {
  return new LlamaestroError('deadline', `the request had ${Math.round(ttlMs)} ms left when it came here`);
}

function notRenewed(): LlamaestroError {
  const seconds = HOST_LIMITS.leaseMs / 1000;
  return new LlamaestroError('interrupted', `the gateway did not renew the attempt for ${seconds} s`);
}
