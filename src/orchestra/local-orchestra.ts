/**
 * The orchestra of one gateway: admission, the set of runs, drain and recovery. Each run's own life is `run-driver`'s.
 * Everything known before the first token is decided here, so that a door can answer with a real status.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Random } from '../base/ports.js';
import type { Bus } from '../bus/bus.js';
import type { FrameReceiver } from '../bus/frame-receiver.js';
import type { Journal } from '../journal/journal.js';
import type { Pool } from '../pool/pool.js';
import type { Profile } from '../schema/profile.js';
import type { RunRequest } from '../schema/run.js';
import { chooseRoute, type Choice } from './choose-route.js';
import { classify } from './classifier.js';
import type { Orchestra, OrchestraStatus, Run } from './orchestra.js';
import { promptHash, RunDriver } from './run-driver.js';

/** Runs that are accepted and not yet ended. */
export const MAX_RUNS = 4096;
/** Ended runs that can still be read. */
export const MAX_ENDED_RUNS = 256;

export interface OrchestraParts {
  readonly bus: Bus;
  readonly receiver: FrameReceiver;
  readonly clock: Clock;
  readonly random: Random;
  readonly gid: string;
  readonly pool: Pool;
  readonly journal: Journal;
  readonly log: Logger;
  /** The active profile, asked at each admission. */
  readonly profile: () => Profile;
}

export function createOrchestra(parts: OrchestraParts): Orchestra {
  return new LocalOrchestra(parts);
}

class LocalOrchestra implements Orchestra {
  private accepting = true;
  private readonly running = new Map<string, RunDriver>();
  private readonly ended = new Map<string, RunDriver>();
  private counts = { accepted: 0, completed: 0, failed: 0, cancelled: 0 };
  private whenEmpty: (() => void)[] = [];

  constructor(private readonly parts: OrchestraParts) {}

  async submit(request: RunRequest, signal?: AbortSignal): Promise<Run> {
    this.refuseWhenClosed();
    const { clock, journal, random, gid } = this.parts;
    const profile = this.parts.profile();
    const beganMs = clock.nowMs();
    const { spec, ...choice } = chooseRoute(profile, request.model, classify(request.prompt));
    const route = { ...choice, ms: clock.nowMs() - beganMs };
    const warnings = await this.admit(request, spec, signal);
    const id = random.id('run');
    await journal.accept({
      id,
      gid,
      profile: profile.name,
      model: request.model,
      door: request.door,
      promptHash: promptHash(request.prompt),
      acceptedAtMs: clock.wallMs(),
    });
    const run = new RunDriver(this.parts, { id, request, profile, spec, route, warnings });
    this.keep(run);
    void journal.route(id, route).catch((thrown: unknown) => {
      this.parts.log.warn('the journal did not take a route', { rid: id, error: String(thrown) });
    });
    void run.start();
    return run;
  }

  private refuseWhenClosed(): void {
    if (!this.accepting) throw new LlamaestroError('draining', 'the server is stopping and takes no new runs');
    if (this.running.size < MAX_RUNS) return;
    throw new LlamaestroError('queue_full', `${String(MAX_RUNS)} runs are under way`);
  }

  /** Purpose, exact length, queue. Returns the warnings the answer carries. */
  private async admit(request: RunRequest, spec: Choice['spec'], signal?: AbortSignal): Promise<readonly string[]> {
    if (spec.load.purpose !== 'generate') {
      throw new LlamaestroError('invalid_request', `model '${spec.name}' does not generate text`, {
        param: 'model',
        remedy: `It is there for '${spec.load.purpose}'; choose a generating model.`,
      });
    }
    const { tokens, contextTokensPerSlot } = await this.parts.pool.count(spec.name, request.prompt, signal);
    const room = contextTokensPerSlot - tokens;
    if (room < 1) {
      const text = `the prompt has ${String(tokens)} tokens, model '${spec.name}' holds ${String(contextTokensPerSlot)} per slot and one must be free`;
      throw new LlamaestroError('context_length_exceeded', text, {
        param: request.prompt.kind === 'messages' ? 'messages' : 'prompt',
        details: { promptTokens: tokens, contextTokensPerSlot, model: spec.name },
      });
    }
    if (!this.parts.pool.admits(spec.name)) {
      throw new LlamaestroError('queue_full', `the queue of model '${spec.name}' is full`);
    }
    this.refuseWhenClosed();
    signal?.throwIfAborted();
    if (request.maxTokens === undefined || request.maxTokens <= room) return request.warnings;
    const lowered = `max_tokens ${String(request.maxTokens)} is more than the ${String(room)} tokens that fit after the prompt; the answer ends there`;
    return [...request.warnings, lowered];
  }

  private keep(run: RunDriver): void {
    this.running.set(run.id, run);
    this.counts.accepted++;
    void run.result.then((result) => {
      this.counts[result.status]++;
      this.running.delete(run.id);
      this.ended.set(run.id, run);
      const [oldest] = this.ended.keys();
      if (this.ended.size > MAX_ENDED_RUNS && oldest !== undefined) this.ended.delete(oldest);
      if (this.running.size === 0) for (const wake of this.whenEmpty.splice(0)) wake();
    });
  }

  find(id: string): Run | undefined {
    return this.running.get(id) ?? this.ended.get(id);
  }

  status(): OrchestraStatus {
    return { accepting: this.accepting, running: this.running.size, ...this.counts };
  }

  async drain(signal?: AbortSignal): Promise<void> {
    this.accepting = false;
    const interrupt = (): void => {
      for (const run of this.running.values()) run.interrupt();
    };
    if (signal?.aborted) interrupt();
    signal?.addEventListener('abort', interrupt, { once: true });
    if (this.running.size > 0) await new Promise<void>((resolve) => this.whenEmpty.push(resolve));
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
