/**
 * One model host as the bus sees it: answers the verbs, says at each change and at each beat how it is, and carries out
 * what `host-state.ts` decides. Many can live in one process (the simulator), so nothing here is global; the process
 * around it, its signals and its descriptors are `host-process.ts`.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import { sleep, type Clock, type Timer } from '../base/ports.js';
import { answer } from '../bus/answer.js';
import type { Bus, Subscription } from '../bus/bus.js';
import { subjects, type Verb } from '../bus/subjects.js';
import type { Engine, EngineDriver } from '../engine/engine.js';
import {
  EmbedCodec,
  GenCodec,
  HostCommandCodec,
  PlanCodec,
  RerankCodec,
  TokenizeCodec,
  type HostCommand,
  type HostEvent,
  type Tokenize,
} from '../schema/bus-messages.js';
import { HOST_LIMITS } from '../schema/config.js';
import { decode } from '../schema/decode.js';
import { Attempts } from './attempts.js';
import { Engines, type PrefixKeeper, type Wanted } from './engines.js';
import { hostTransition, wireState, type HostLife, type HostLifeEffect, type HostLifeEvent } from './host-state.js';
import { VocabularyCache } from './vocabulary-cache.js';

export interface HostServerOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly driver: EngineDriver;
  readonly hid: string;
  readonly nid: string;
  readonly log: Logger;
  /** Ends the process, or what stands for it; called at most once, after the last frames have left. */
  readonly exit: (code: number) => void;
  /** Memory of the process in bytes; left out of the events when absent. */
  readonly residentBytes?: () => number;
  /** Keeps the prefixes of models from one host to the next; absent: they end with the host. */
  readonly prefixes?: PrefixKeeper;
}

export class HostServer {
  private readonly log: Logger;
  private readonly attempts: Attempts;
  private readonly vocabularies: VocabularyCache;
  private readonly loading = new AbortController();
  private state: HostLife = { name: 'idle' };
  private wanted: readonly Wanted[] = [];
  private readonly engines: Engines;
  private subscriptions: Subscription[] = [];
  private beat: Timer | undefined;
  private progressDueMs = 0;
  private isEnding = false;
  /** Told to leave: what the models have kept is saved before the end. */
  private isLeaving = false;
  private stopStatus: () => void = () => undefined;

  constructor(private readonly options: HostServerOptions) {
    const { bus, clock, driver, hid } = options;
    this.log = options.log.child({ hid });
    this.attempts = new Attempts({ bus, clock, log: this.log, hid });
    this.engines = new Engines({ ...options, log: this.log });
    this.vocabularies = new VocabularyCache(driver, HOST_LIMITS.vocabularies);
  }

  /** Listens, and says 'idle'. Call once. */
  start(): void {
    this.serve('ctl', (body) => this.command(decode(HostCommandCodec, body)));
    this.serve('gen', (body) => {
      const gen = decode(GenCodec, body);
      const taken = this.attempts.take(gen, () => this.servingEngine(gen.model));
      return typeof taken === 'number' ? { waiting: taken } : taken.then((waiting) => ({ waiting }));
    });
    this.serve('tokenize', (body) => this.tokenize(decode(TokenizeCodec, body)));
    this.serve('embed', async (body) => {
      const { inputs, model } = decode(EmbedCodec, body);
      const vectors = await this.servingEngine(model).embed(inputs);
      return { vectors: vectors.map((vector) => [...vector]) };
    });
    this.serve('rerank', async (body) => {
      const { query, documents, model } = decode(RerankCodec, body);
      return { scores: await this.servingEngine(model).rerank(query, documents) };
    });
    this.serve('plan', async (body) => {
      this.refuseUnlessIdle('plan');
      const { driver } = this.options;
      return { ...(await driver.planMemory(decode(PlanCodec, body).load)), build: driver.build };
    });
    this.stopStatus = this.options.bus.onStatus((status) => status === 'back' && this.publish());
    this.tick();
  }

  /** Refuses new work; resolves when nothing runs any more, or rejects with the signal's reason. */
  async drain(signal?: AbortSignal): Promise<void> {
    this.dispatch({ type: 'drain' });
    while (this.attempts.isPreparing || this.attempts.list().length > 0)
      await sleep(this.options.clock, HOST_LIMITS.drainLookMs, signal);
  }

  /** Ends the host: what runs is told so, and then `options.exit(0)`. Idempotent. */
  end(): void {
    this.dispatch({ type: 'exit' });
  }

  /** Stops everything at once without a word, as SIGKILL would; `options.exit` is not called. For the simulator. */
  halt(): void {
    this.isEnding = true;
    this.goDeaf();
    this.attempts.close();
    this.loading.abort(new LlamaestroError('cancelled', 'the host was halted'));
    void this.engines.close();
    void this.vocabularies.close();
  }

  private serve(verb: Verb, work: (body: unknown) => unknown): void {
    const onFault = (error: unknown): void => this.log.error('a request failed for a fault of ours', { verb, error });
    const subject = subjects.host(this.options.hid, verb);
    this.subscriptions.push(this.options.bus.subscribe(subject, (message) => void answer(message, work, onFault)));
  }

  private command(command: HostCommand): unknown {
    switch (command.op) {
      case 'load':
        return this.load([{ load: command.load }]);
      case 'load-group':
        return this.load(command.members);
      case 'cancel':
        return { live: this.attempts.cancel(command) };
      case 'credit':
        return this.attempts.grant(command);
      case 'resend':
        return this.attempts.resend(command);
      case 'renew':
        return this.attempts.renew(command);
      case 'drain':
        return void this.dispatch({ type: 'drain' });
      case 'devices':
        this.refuseUnlessIdle('devices');
        return { devices: this.options.driver.devices() };
      case 'leave':
      case 'exit':
        this.isLeaving = command.op === 'leave';
        return void this.dispatch({ type: 'exit' });
    }
  }

  private load(wanted: readonly Wanted[]): void {
    if (wanted.length === 0) throw new LlamaestroError('invalid_request', 'a group has at least one model');
    const before = this.state.name;
    if (before === 'idle') this.wanted = wanted;
    if (!this.dispatch({ type: 'load' })) {
      throw new LlamaestroError('invalid_request', `a host loads once in its life; this one is ${before}`);
    }
  }

  private async tokenize({ prompt, file, wantIds, model }: Tokenize): Promise<unknown> {
    const count = async (engine: Engine): Promise<unknown> => {
      const ids = await engine.tokenize(prompt);
      return { count: ids.length, ...(wantIds === true ? { ids: [...ids] } : {}) };
    };
    const engine = file === undefined ? this.engines.named(model) : this.engines.ofFile(file);
    if (engine !== undefined) return count(engine);
    if (file === undefined) throw new LlamaestroError('invalid_request', 'name a file: no model is loaded here');
    this.refuseUnlessIdle('tokenize');
    return this.vocabularies.use(file, count);
  }

  private servingEngine(model: string | undefined): Engine {
    const engine = this.state.name === 'ready' ? this.engines.named(model) : undefined;
    if (engine !== undefined) return engine;
    if (this.state.name === 'draining') throw new LlamaestroError('draining', 'the model is being unloaded');
    throw new LlamaestroError('no_host', `the model host is ${this.state.name}`);
  }

  /** Work beside a loaded or loading model would disturb it, and its memory figures. */
  private refuseUnlessIdle(what: string): void {
    if (this.state.name === 'idle') return;
    throw new LlamaestroError('invalid_request', `'${what}' is answered by a host without a model only`);
  }

  /** False when the event is not allowed now. */
  private dispatch(event: HostLifeEvent): boolean {
    const { state, effects, isRefused } = hostTransition(this.state, event);
    this.state = state;
    for (const effect of effects) this.perform(effect);
    return isRefused !== true;
  }

  private perform(effect: HostLifeEffect): void {
    switch (effect.type) {
      case 'begin-load':
        return void this.runLoad();
      case 'abort-load':
        return this.loading.abort(new LlamaestroError('cancelled', 'the load is not wanted any more'));
      case 'discard-engine':
        return void this.engines.close();
      case 'publish':
        return this.publish();
      case 'publish-progress':
        if (this.options.clock.nowMs() < this.progressDueMs) return;
        return this.publish();
      case 'end':
        return void this.finish(effect.exitCode);
    }
  }

  private async runLoad(): Promise<void> {
    const progress = (fraction: number): void => void this.dispatch({ type: 'progress', fraction });
    try {
      await this.engines.load(this.wanted, progress, this.loading.signal);
    } catch (thrown) {
      const error = toLlamaestroError(thrown);
      this.log.warn('the load failed', { error });
      this.dispatch({ type: 'load-failed', error: error.toWire() });
      return;
    }
    this.dispatch({ type: 'loaded' });
  }

  /** `waitedMs`: what the timer was set to. */
  private tick(waitedMs = 0): void {
    this.attempts.expire(waitedMs);
    this.publish();
    const beatMs = this.isIdle ? HOST_LIMITS.idleBeatMs : HOST_LIMITS.beatMs;
    this.beat = this.options.clock.setTimer(beatMs, () => this.tick(beatMs));
  }

  /** With a model and without work. Each beat wakes a process here and one there, and most hosts are idle. */
  private get isIdle(): boolean {
    const { running, waiting } = this.engines.counts();
    return this.state.name === 'ready' && running + waiting + this.attempts.list().length === 0;
  }

  private publish(): void {
    const state = wireState(this.state);
    if (state === undefined || this.isEnding) return;
    this.progressDueMs = this.options.clock.nowMs() + HOST_LIMITS.progressMs;
    this.options.bus.publish(subjects.hostEvents(this.options.hid), this.event(state));
  }

  private event(state: HostEvent['state']): HostEvent {
    const { hid, nid, residentBytes } = this.options;
    return {
      v: 1,
      hid,
      nid,
      state,
      ...this.engines.counts(),
      attempts: this.attempts.list(),
      ...(this.state.name === 'loading' ? { loadFraction: this.state.fraction } : {}),
      ...(this.state.name === 'failed' ? { error: this.state.error } : {}),
      // Told with every event, so that a listener that missed one knows all the same a second later.
      ...this.engines.figures(),
      ...(residentBytes === undefined ? {} : { residentBytes: residentBytes() }),
    };
  }

  private async finish(exitCode: number): Promise<void> {
    if (this.isEnding) return;
    this.isEnding = true;
    const { clock, exit } = this.options;
    await sleep(clock, 0); // the answer to the command that ends us leaves first
    this.goDeaf();
    if (this.isLeaving) await this.engines.keepPrefixes();
    const patience = new AbortController();
    const tooLong = sleep(clock, HOST_LIMITS.exitMs, patience.signal).catch(() => undefined);
    await Promise.race([this.closeAll(), tooLong]);
    patience.abort();
    this.attempts.close();
    exit(exitCode);
  }

  private async closeAll(): Promise<void> {
    try {
      await Promise.all([this.engines.close(), this.vocabularies.close()]);
      this.attempts.flush();
      await this.options.bus.flush();
    } catch (error) {
      this.log.warn('the end of the host was not clean', { error });
    }
  }

  private goDeaf(): void {
    this.beat?.cancel();
    this.stopStatus();
    for (const subscription of this.subscriptions) subscription.unsubscribe();
    this.subscriptions = [];
  }
}
