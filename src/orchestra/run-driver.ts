/**
 * The life of one accepted run: attempts until one ends it, then exactly one terminal record in the journal and exactly
 * one terminal event, in that order. Owns the run's deadline, its cancel signal and its counts; decides nothing that
 * `retry-policy` decides.
 */
import { createHash } from 'node:crypto';
import { LlamaestroError, toLlamaestroError, type ErrorCode, type WireError } from '../base/errors.js';
import { sleep, type Timer } from '../base/ports.js';
import type { Lease, LeaseProgress } from '../pool/pool.js';
import type { Prompt } from '../schema/load.js';
import type { Profile } from '../schema/profile.js';
import type { Attempt, FinishReason, RunEvent, RunEventBody, RunRequest, RunResult } from '../schema/run.js';
import { runAttempt, type Outcome, type ProgressFrame } from './attempt.js';
import { budgetOf, tooLate } from './budget.js';
import { claimOn, engineLevel } from './claim.js';
import { Itinerary, type Destination } from './itinerary.js';
import { waitForLease } from './lease-wait.js';
import type { OrchestraParts } from './orchestra-parts.js';
import type { Run } from './orchestra.js';
import { afterFailure } from './retry-policy.js';
import { RunLog } from './run-log.js';
import { addTimes, NO_TIMES, PhaseWatch, roundedMs } from './run-times.js';

/** Frames a host may send ahead of our consumption, per attempt. */
const CREDIT_FRAMES = 256;

/** An attempt that ends so was cut short by a switch of profiles, and counts as none. */
const MOVED: ErrorCode = 'profile_switching';

/** Everything admission found out about a run. */
export interface Admitted extends Destination {
  readonly id: string;
  /** As the client sent it. */
  readonly request: RunRequest;
  readonly profile: Profile;
  /** When the request came, by the monotonic clock: its deadline counts from here. */
  readonly askedAtMs: number;
}

/** Hex SHA-256 of a prompt: what the journal keeps of it. */
export function promptHash(prompt: Prompt): string {
  return createHash('sha256').update(JSON.stringify(prompt)).digest('hex');
}

function waitingEvent(model: string, progress: LeaseProgress): RunEventBody {
  const { estimatedMs } = progress;
  const estimate = estimatedMs === undefined ? {} : { estimatedMs };
  if (progress.state === 'loading') return { type: 'loading', model, fraction: progress.fraction, ...estimate };
  return { type: 'queued', model, position: progress.position, ...estimate };
}

/**
 * Runs an admitted request to its end; `start` once. `accepted` is the journal's word on its acceptance, which may still be
 * under way, so that one commit takes it and the first attempt. A host may compute meanwhile; whoever submitted gets no
 * run and no event before it, and a refused one ends without a record and without a result.
 */
export class RunDriver implements Run {
  readonly id: string;
  readonly result: Promise<RunResult>;
  private readonly log = new RunLog();
  private readonly stop = new AbortController();
  private readonly startedMs: number;
  private readonly deadline: Timer;
  private readonly deadlineAtMs: number;
  private readonly attempts: Attempt[] = [];
  private readonly way: Itinerary;
  private finish!: (result: RunResult) => void;
  private readonly pieces: string[] = [];
  private usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
  private times = NO_TIMES;
  private ttftMs = 0;
  private crashes = 0;
  /** Tokens that reached the log; never more than the host counted. */
  private deliveredTokens = 0;

  constructor(
    private readonly parts: OrchestraParts,
    admitted: Admitted,
    private readonly accepted: Promise<void>,
  ) {
    const { clock } = parts;
    accepted.catch((thrown: unknown) => this.stop.abort(thrown));
    this.id = admitted.id;
    this.startedMs = clock.nowMs();
    const budgetMs = budgetOf(admitted.request, admitted.profile);
    this.deadlineAtMs = admitted.askedAtMs + budgetMs;
    this.result = new Promise((resolve) => (this.finish = resolve));
    this.deadline = clock.setTimer(Math.max(0, this.leftMs()), () => this.stop.abort(tooLate(budgetMs)));
    const { id, request, profile } = admitted;
    this.way = new Itinerary(parts, admitted, admitted);
    const { warnings, route } = this.way;
    this.log.append({ type: 'accepted', id, profile: profile.name, model: request.model, warnings });
    this.log.append({ type: 'routed', route });
  }

  events(afterSeq = 0, signal?: AbortSignal): AsyncIterable<RunEvent> {
    return this.log.read(afterSeq, signal);
  }

  cancel(reason: string): void {
    this.stop.abort(new LlamaestroError('cancelled', reason));
  }

  /** Ends the run as `interrupted`: the server stops and cannot wait. */
  interrupt(): void {
    this.stop.abort(new LlamaestroError('interrupted', 'the server is stopping'));
  }

  /** Milliseconds until the deadline. */
  private leftMs(): number {
    return this.deadlineAtMs - this.parts.clock.nowMs();
  }

  /** Milliseconds since acceptance. */
  private elapsedMs(): number {
    return this.parts.clock.nowMs() - this.startedMs;
  }

  /** Never rejects. */
  async start(): Promise<void> {
    this.noteRoute();
    let pauseMs = 0;
    for (;;) {
      const outcome = await this.attempt();
      if (outcome.ok) return this.end('completed', outcome.reason);
      const verdict = afterFailure(
        {
          code: this.codeOf(outcome.error),
          deliveredTokens: this.deliveredTokens,
          attempts: this.attempts.filter(({ model, code }) => model === this.way.seat.spec.name && code !== MOVED)
            .length,
          crashes: this.crashes,
          retries: this.way.profile.retries,
          remainingMs: this.leftMs(),
          lastPauseMs: pauseMs,
        },
        this.parts.random.next(),
      );
      if (verdict.action === 'fail' && (await this.fallBack(outcome.error))) {
        pauseMs = 0;
        continue;
      }
      if (verdict.action === 'reroute') {
        const refusal = await this.startAnew();
        if (refusal !== undefined) return this.fail(refusal, 'fail');
        continue;
      }
      if (verdict.action !== 'retry') return this.fail(outcome.error, verdict.action);
      pauseMs = verdict.pauseMs;
      await sleep(this.parts.clock, pauseMs, this.stop.signal).catch(() => undefined);
      if (this.stop.signal.aborted) return this.fail(toLlamaestroError(this.stop.signal.reason), 'fail');
    }
  }

  /** To the next model of the chain, if there is one and nobody saw a token yet. */
  private async fallBack(error: LlamaestroError): Promise<boolean> {
    if (this.deliveredTokens > 0) return false;
    if (!(await this.way.moveOn(error, () => this.leftMs(), this.stop.signal))) return false;
    this.log.append({ type: 'routed', route: this.way.route });
    this.noteRoute();
    return true;
  }

  /** A name that the pool no longer knows because the profile changed meanwhile is as good as a lease lost to that. */
  private codeOf({ code }: LlamaestroError): ErrorCode {
    return code === 'model_not_found' && this.parts.profile() !== this.way.profile ? MOVED : code;
  }

  /** To where the profile sends it that is served now; returns what that one says against it. */
  private async startAnew(): Promise<LlamaestroError | undefined> {
    try {
      await this.way.startAnew(this.parts.profile(), () => this.leftMs(), this.stop.signal);
    } catch (thrown) {
      return toLlamaestroError(this.stop.signal.aborted ? this.stop.signal.reason : thrown);
    }
    this.log.append({ type: 'routed', route: this.way.route });
    this.noteRoute();
    return undefined;
  }

  private noteRoute(): void {
    this.parts.journal.route(this.id, this.way.route).catch((thrown: unknown) => {
      this.parts.log.warn('the journal did not take a route', { rid: this.id, error: String(thrown) });
    });
  }

  private fail(error: LlamaestroError, action: 'fail' | 'quarantine'): Promise<void> {
    if (action === 'quarantine') {
      const times = `${String(this.crashes)} hosts died while working on this request`;
      return this.end('failed', 'error', new LlamaestroError('poison', times, { cause: error }));
    }
    if (error.code === 'cancelled') return this.end('cancelled', 'cancelled', error);
    return this.end('failed', 'error', error);
  }

  private async attempt(): Promise<Outcome> {
    const number = this.attempts.length + 1;
    const beganMs = this.parts.clock.nowMs();
    const watch = new PhaseWatch(beganMs);
    let stage: Attempt['stage'] = 'queue';
    let hid = '';
    const record = (outcome: Outcome): Outcome => {
      const ms = roundedMs(this.parts.clock.nowMs() - beganMs);
      const head = { attempt: number, model: this.way.seat.spec.name, hid, ms };
      this.attempts.push(outcome.ok ? { ...head, stage: 'done' } : { ...head, stage, code: outcome.error.code });
      return outcome;
    };
    let lease: Lease;
    try {
      lease = await this.lease((next) => {
        stage = next;
        watch.enter(next, this.parts.clock.nowMs());
      });
      hid = lease.hid;
      this.times = addTimes(this.times, { queueMs: lease.queueMs, loadMs: lease.loadMs });
    } catch (thrown) {
      this.times = addTimes(this.times, watch.take(this.parts.clock.nowMs()));
      return record({ ok: false, error: toLlamaestroError(thrown) });
    }
    stage = 'ack';
    const claimed = this.claim(number, hid);
    // The first attempt computes while the disk writes: nobody outside sees anything of it before the journal has both.
    if (number === 1) claimed.catch((thrown: unknown) => this.stop.abort(thrown));
    else {
      try {
        await claimed;
      } catch (thrown) {
        lease.release();
        return record({ ok: false, error: toLlamaestroError(thrown) });
      }
    }
    watch.take(this.parts.clock.nowMs());
    const outcome = await this.run(lease, number, (frame) => {
      stage = frame.type === 'delta' ? 'decode' : 'prefill';
      watch.enter(stage, this.parts.clock.nowMs());
    });
    if (!outcome.ok && outcome.hostDied === true) this.crashes++;
    this.takeCounts(outcome, watch);
    return record(outcome);
  }

  /** The attempt's record, after that of the acceptance. */
  private async claim(number: number, hid: string): Promise<void> {
    const [won] = await Promise.all([this.parts.journal.dispatch(this.id, number, hid), this.accepted]);
    if (!won) throw new LlamaestroError('internal', `attempt ${String(number)} is fenced off`);
  }

  private async lease(onStage: (stage: 'queue' | 'load') => void): Promise<Lease> {
    const model = this.way.seat.spec.name;
    const lease = await waitForLease(
      this.parts,
      {
        ...claimOn(model, this.way.seat.request),
        rid: this.id,
        onProgress: (progress) => {
          if (this.log.isEnded) return;
          onStage(progress.state === 'loading' ? 'load' : 'queue');
          this.log.append(waitingEvent(model, progress));
        },
      },
      this.way.profile.timeouts.queueMs,
      this.stop.signal,
    );
    if (this.parts.profile() !== this.way.profile) await this.stay(lease);
    return lease;
  }

  /** The lease is on the model as it is under the profile served now, so the request must be shaped for that one. */
  private async stay(lease: Lease): Promise<void> {
    const profile = this.parts.profile();
    const why = await this.way.stay(profile, () => this.leftMs(), this.stop.signal).catch(toLlamaestroError);
    if (why === undefined && this.parts.profile() === profile) return;
    lease.release();
    this.stop.signal.throwIfAborted();
    throw new LlamaestroError(MOVED, `model '${lease.model}' is another one since the profile was switched`, {
      ...(why === undefined ? {} : { cause: why }),
    });
  }

  private run(lease: Lease, number: number, onStage: (frame: ProgressFrame) => void): Promise<Outcome> {
    const { bus, receiver, clock, gid } = this.parts;
    const { profile } = this.way;
    const { request, roomTokens, spec } = this.way.seat;
    lease.begin(number);
    const gen = {
      rid: this.id,
      att: number,
      gid,
      ttlMs: Math.max(1, this.leftMs()),
      creditFrames: CREDIT_FRAMES,
      prompt: request.prompt,
      ...request.sampling,
      // An engine refuses more than its slot holds; admission said so in a warning.
      ...(request.maxTokens === undefined ? {} : { maxTokens: Math.min(request.maxTokens, roomTokens) }),
      stop: request.stop,
      ignoreEos: request.ignoreEos,
      priority: engineLevel(request),
      ...(spec.lora.length === 0 ? {} : { lora: spec.lora }),
    };
    const { ackMs, tokenMs } = profile.timeouts;
    const onFrame = (frame: ProgressFrame): void => {
      onStage(frame);
      this.take(frame);
    };
    return runAttempt({ bus, receiver, clock, lease, gen, ackMs, silenceMs: tokenMs, onFrame }, this.stop.signal);
  }

  private take(frame: ProgressFrame): void {
    if (this.log.isEnded) return;
    if (frame.type === 'started') {
      this.usage = { ...this.usage, promptTokens: frame.promptTokens, cachedTokens: frame.cachedTokens };
      const { promptTokens: totalTokens, cachedTokens } = frame;
      this.log.append({ type: 'prefill', doneTokens: cachedTokens, totalTokens, cachedTokens });
    } else if (frame.type === 'progress') {
      const { doneTokens, totalTokens } = frame;
      this.log.append({ type: 'prefill', doneTokens, totalTokens, cachedTokens: this.usage.cachedTokens });
    } else {
      if (this.pieces.length === 0) this.firstTokens();
      this.deliveredTokens = frame.firstIndex + frame.ids.length;
      this.usage = { ...this.usage, completionTokens: this.deliveredTokens };
      this.pieces.push(frame.text);
      const { firstIndex, ids, text } = frame;
      this.log.append({ type: 'delta', choice: 0, firstIndex, ids, text });
    }
  }

  private firstTokens(): void {
    this.ttftMs = this.elapsedMs();
    // Not awaited: an interactive run is never executed again after a restart, so the mark only informs.
    this.parts.journal.delivered(this.id).catch((thrown: unknown) => {
      this.parts.log.warn('the journal did not take a delivery mark', { rid: this.id, error: String(thrown) });
    });
  }

  private takeCounts({ usage, timings }: Outcome, watch: PhaseWatch): void {
    if (usage !== undefined) this.usage = usage;
    this.times = addTimes(this.times, timings ?? watch.take(this.parts.clock.nowMs()));
  }

  private async end(status: RunResult['status'], finishReason: FinishReason, error?: LlamaestroError): Promise<void> {
    this.deadline.cancel();
    if (!(await this.wasAccepted())) return;
    const wire = error?.toWire();
    const recorded = await this.record(status, wire);
    const failed = recorded ?? wire;
    const finalStatus = recorded === undefined ? status : 'failed';
    const result: RunResult = {
      id: this.id,
      status: finalStatus,
      profile: this.way.profile.name,
      route: this.way.route,
      text: this.pieces.join(''),
      finishReason: recorded === undefined ? finishReason : 'error',
      usage: this.usage,
      timings: { ...this.times, ttftMs: this.ttftMs, routeMs: this.way.route.ms, totalMs: this.elapsedMs() },
      attempts: this.attempts,
      warnings: this.way.warnings,
      ...(failed === undefined ? {} : { error: failed }),
    };
    if (failed === undefined) this.log.append({ type: 'completed', result });
    else this.log.append({ type: finalStatus === 'cancelled' ? 'cancelled' : 'failed', result, error: failed });
    this.finish(result);
  }

  private wasAccepted(): Promise<boolean> {
    return this.accepted.then(
      () => true,
      () => false,
    );
  }

  /** The terminal record, before anything is visible. Returns the error that replaces the outcome when it cannot be kept. */
  private async record(status: RunResult['status'], error?: WireError): Promise<WireError | undefined> {
    const { journal, clock, log } = this.parts;
    const kept = error?.code === 'interrupted' ? 'interrupted' : status;
    try {
      const won = await journal.finish(this.id, {
        status: kept,
        atMs: clock.wallMs(),
        usage: this.usage,
        ...(error === undefined ? {} : { error }),
      });
      if (won) return undefined;
      log.error('a run was ended elsewhere; that end stands', { rid: this.id, status: kept });
      return new LlamaestroError('internal', 'the journal holds another end of this run').toWire();
    } catch (thrown) {
      log.error('the end of a run could not be journalled', { rid: this.id, error: String(thrown) });
      return toLlamaestroError(thrown).toWire();
    }
  }
}
