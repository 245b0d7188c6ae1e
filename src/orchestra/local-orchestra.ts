/**
 * The orchestra of one gateway: admission, the set of runs, drain and recovery. Each run's own life is `run-driver`'s.
 * Everything known before the first token is decided here, so that a door can answer with a real status.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Profile } from '../schema/profile.js';
import type { RunRequest } from '../schema/run.js';
import { Admission } from './admission.js';
import { atCrossing } from './at-crossing.js';
import { chooseRoute, fallbackFrom } from './choose-route.js';
import { classify } from './classifier.js';
import type { Destination } from './itinerary.js';
import type { OrchestraParts } from './orchestra-parts.js';
import type { Orchestra, OrchestraStatus, Run } from './orchestra.js';
import { promptHash, RunDriver } from './run-driver.js';
import { roundedMs } from './run-times.js';

/** Runs that are accepted and not yet ended, and requests on the way there. */
export const MAX_RUNS = 4096;

export function createOrchestra(parts: OrchestraParts): Orchestra {
  return new LocalOrchestra(parts);
}

function closed(): LlamaestroError {
  return new LlamaestroError('draining', 'the server is stopping and takes no new runs');
}

/** Nothing can reach a model: refused at once, because nobody knows when the bus comes back. */
function noBus(): LlamaestroError {
  return new LlamaestroError('no_host', 'the connection to the bus is lost');
}

class LocalOrchestra implements Orchestra {
  private accepting = true;
  private interrupting = false;
  /** Requests that are neither accepted nor refused yet. */
  private readonly admissions = new Set<Admission>();
  private readonly running = new Map<string, RunDriver>();
  private busLost = false;
  private counts = { accepted: 0, completed: 0, failed: 0, cancelled: 0 };
  private whenEmpty: (() => void)[] = [];

  constructor(private readonly parts: OrchestraParts) {
    parts.bus.onStatus((status) => {
      this.busLost = status === 'lost';
      if (this.busLost) for (const admission of this.admissions) admission.refuse(noBus());
    });
  }

  async submit(request: RunRequest, signal?: AbortSignal): Promise<Run> {
    this.refuseWhenClosed();
    const admission = new Admission(this.parts, request, this.parts.profile(), signal);
    this.admissions.add(admission);
    try {
      return await this.accept(request, admission);
    } finally {
      admission.end();
      this.admissions.delete(admission);
      this.wakeWhenEmpty();
    }
  }

  private async accept(request: RunRequest, admission: Admission): Promise<Run> {
    const { clock, journal, random, gid } = this.parts;
    const { profile, ...destination } = await this.destination(request, admission);
    const id = random.id('run');
    const accepted = journal.accept({
      id,
      gid,
      profile: profile.name,
      model: request.model,
      door: request.door,
      promptHash: promptHash(request.prompt),
      acceptedAtMs: clock.wallMs(),
    });
    const admitted = { id, request, profile, ...destination, askedAtMs: admission.askedAtMs };
    const run = new RunDriver(this.parts, admitted, accepted);
    void run.start();
    await accepted;
    this.keep(run);
    return run;
  }

  /** By the profile that is served at the end of it: one that changes meanwhile is asked anew. */
  private async destination(
    request: RunRequest,
    admission: Admission,
  ): Promise<Destination & { readonly profile: Profile }> {
    for (;;) {
      const crossing = this.parts.crossing();
      if (atCrossing(crossing, request.model) === 'wait') {
        await admission.wait(crossing?.over);
        continue;
      }
      const profile = this.parts.profile();
      try {
        return { profile, ...(await this.route(request, profile, admission)) };
      } catch (thrown) {
        if (profile === this.parts.profile() || toLlamaestroError(thrown).code !== 'model_not_found') throw thrown;
      }
    }
  }

  private async route(request: RunRequest, profile: Profile, admission: Admission): Promise<Destination> {
    const choice = chooseRoute(profile, request.model, classify(request.prompt, profile.rules));
    const chosen = { ...choice.route, ms: roundedMs(this.parts.clock.nowMs() - admission.askedAtMs) };
    const { seat, rest, refusal } = await admission.check(choice.specs);
    if (refusal === undefined) return { seat, rest, route: chosen };
    const route = { ...chosen, model: seat.spec.name, ...fallbackFrom(chosen.model, refusal.message) };
    return { seat, rest, route };
  }

  private refuseWhenClosed(): void {
    if (!this.accepting) throw closed();
    if (this.busLost) throw noBus();
    if (this.running.size + this.admissions.size < MAX_RUNS) return;
    throw new LlamaestroError('queue_full', `${String(MAX_RUNS)} runs are under way`);
  }

  private keep(run: RunDriver): void {
    this.running.set(run.id, run);
    this.counts.accepted++;
    // Its acceptance was on the way to the journal when the rest were interrupted.
    if (this.interrupting) run.interrupt();
    void run.result.then((result) => {
      this.counts[result.status]++;
      this.running.delete(run.id);
      this.wakeWhenEmpty();
    });
  }

  private get isEmpty(): boolean {
    return this.running.size + this.admissions.size === 0;
  }

  private wakeWhenEmpty(): void {
    if (this.isEmpty) for (const wake of this.whenEmpty.splice(0)) wake();
  }

  status(): OrchestraStatus {
    return {
      accepting: this.accepting && !this.busLost,
      admitting: this.admissions.size,
      running: this.running.size,
      ...this.counts,
    };
  }

  async drain(signal?: AbortSignal): Promise<void> {
    this.accepting = false;
    for (const admission of this.admissions) admission.refuse(closed());
    const interrupt = (): void => {
      this.interrupting = true;
      for (const run of this.running.values()) run.interrupt();
    };
    if (signal?.aborted) interrupt();
    signal?.addEventListener('abort', interrupt, { once: true });
    if (!this.isEmpty) await new Promise<void>((resolve) => this.whenEmpty.push(resolve));
    signal?.removeEventListener('abort', interrupt);
  }

  async recover(): Promise<number> {
    const { journal, clock } = this.parts;
    const left = await journal.unfinished();
    const error = new LlamaestroError('interrupted', 'the gateway ended while this ran').toWire();
    for (const run of left) await journal.finish(run.id, { status: 'interrupted', atMs: clock.wallMs(), error });
    return left.length;
  }
}
