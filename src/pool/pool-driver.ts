/**
 * The pool: the models of the applied profile, each driven by its own instance, one placer for their bytes, one ear for
 * what hosts say. It decides nothing itself: policies are pure, instances write their own state, and a lost lease is
 * reported to its holder, never retried.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Random } from '../base/ports.js';
import type { Bus } from '../bus/bus.js';
import { subjects } from '../bus/subjects.js';
import { HostEventCodec, type HostEvent } from '../schema/bus-messages.js';
import { decode } from '../schema/decode.js';
import type { Prompt } from '../schema/load.js';
import { findModel, type ModelSpec, type Profile } from '../schema/profile.js';
import { Account } from './account.js';
import { carryOver } from './carry-over.js';
import { hostClient, type HostClient } from './host-client.js';
import type { DeviceBytes } from './ledger.js';
import { DEFAULT_LIMITS, type PoolLimits } from './limits.js';
import { MemoryBook, type NoteKeeper } from './memory-book.js';
import { ModelInstance } from './model-instance.js';
import type { NodeAgent } from './node-client.js';
import { Placer } from './placer.js';
import type { Lease, LeaseClaim, LeaseRequest, Patience, Pool, PoolStatus } from './pool.js';
import { ReleaseWatch } from './release-watch.js';
import { Renewals } from './renewals.js';
import { SpareHost, spareUse } from './spare-host.js';
import { unloadModel, type UnloadReport } from './unload.js';
import { Vigil } from './vigil.js';

export interface PoolOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  /** This gateway; hosts cancel what it does not renew. */
  readonly gid: string;
  readonly node: NodeAgent;
  readonly log: Logger;
  /** Where predictions and measurements of memory are kept. */
  readonly journal: NoteKeeper;
  /** File shared by all CPU hosts of the machine; goes into each load that names none. */
  readonly stepLock?: string;
  readonly limits?: Partial<PoolLimits>;
}

/** A pool without models until `apply`. Listens at once; `close` ends that. */
export function createPool(options: PoolOptions): Pool {
  return new PoolDriver(options);
}

class PoolDriver implements Pool {
  private readonly limits: PoolLimits;
  private readonly hosts: HostClient;
  private readonly account: Account;
  private readonly releases: ReleaseWatch;
  private readonly book: MemoryBook;
  private readonly placer: Placer;
  private readonly spare: SpareHost;
  private readonly renewals: Renewals;
  private readonly vigil: Vigil;
  private readonly deaf: (() => void)[];
  private profile: Profile | undefined;
  private instances: readonly ModelInstance[] = [];
  /** No longer of the profile, not yet gone. */
  private leaving: readonly ModelInstance[] = [];
  private draining = false;
  private closing: Promise<void> | undefined;
  private readonly onChanged = new Set<() => void>();

  constructor(private readonly options: PoolOptions) {
    const { bus, clock, random, gid, node, log } = options;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.hosts = hostClient(bus, gid, this.limits.hostCommandMs);
    const { limits } = this;
    const budgets = (): DeviceBytes => this.profile?.budgets ?? {};
    const headrooms = (): DeviceBytes => this.profile?.headrooms ?? {};
    this.account = new Account({ clock, log, limits, node, budgets, headrooms });
    const { account } = this;
    this.releases = new ReleaseWatch({ clock, log, limits, account, onChange: () => this.changed() });
    this.book = new MemoryBook(options.journal, log);
    const { releases, book } = this;
    const tenants = (): readonly ModelInstance[] => this.everybody;
    this.spare = new SpareHost({ clock, random, log, limits, node });
    const nextHid = (): string => this.spare.nextHid();
    this.placer = new Placer({ clock, log, limits, node, account, releases, book, tenants, nextHid });
    this.renewals = new Renewals(clock, this.limits.renewMs, this.hosts, () =>
      this.everybody.map(({ hid, desk: { attempts } }) => ({ hid, attempts })),
    );
    this.vigil = new Vigil({ clock, bus, node, limits, watched: tenants });
    const events = bus.subscribe(subjects.allHostEvents, ({ body }) => this.hear(body));
    this.deaf = [
      () => events.unsubscribe(),
      node.onExit((exit) => {
        this.spare.exited(exit.hid);
        this.byHost(exit.hid)?.exited(exit);
      }),
      () => this.vigil.close(),
    ];
  }

  apply(profile: Profile): void {
    const old = this.instances.map((instance) => {
      const { name, configHash } = instance.spec;
      return { name, configHash, instance };
    });
    this.profile = profile;
    const kept = carryOver(old, profile.models);
    this.instances = profile.models.map((spec, index) => kept[index]?.instance ?? this.makeInstance(spec));
    const gone = old.filter((entry) => !kept.includes(entry)).map(({ instance }) => instance);
    this.leaving = [...this.leaving, ...gone];
    profile.models.forEach((spec, index) => this.instances[index]?.adopt(spec));
    for (const instance of gone) this.replace(instance);
    void this.account.glance();
    this.changed();
  }

  async lease(request: LeaseRequest, signal: AbortSignal): Promise<Lease> {
    const instance = this.named(request.model);
    if (this.draining) throw new LlamaestroError('draining', 'the server takes no new work');
    refuseUnavailable(instance.spec);
    return instance.desk.ask(request, signal);
  }

  refusal(claim: LeaseClaim, patience: Patience): LlamaestroError | undefined {
    return this.named(claim.model).desk.refusal(claim, patience);
  }

  async count(
    model: string,
    prompt: Prompt,
    signal?: AbortSignal,
  ): Promise<{ tokens: number; contextTokensPerSlot: number }> {
    const instance = this.named(model);
    refuseUnavailable(instance.spec);
    const contextTokensPerSlot = await this.contextOf(instance);
    return { tokens: await this.tokensOf(instance, prompt, signal), contextTokensPerSlot };
  }

  contextTokensPerSlot(model: string): number | undefined {
    const instance = this.find(model);
    return instance?.isReady === true ? instance.info?.contextTokensPerSlot : undefined;
  }

  embed(model: string, inputs: readonly string[], signal: AbortSignal): Promise<readonly (readonly number[])[]> {
    return this.work(model, signal, (hid, timeoutMs, lost) => this.hosts.embed(hid, inputs, timeoutMs, lost));
  }

  rerank(model: string, query: string, documents: readonly string[], signal: AbortSignal): Promise<readonly number[]> {
    return this.work(model, signal, (hid, timeoutMs, lost) =>
      this.hosts.rerank(hid, query, documents, timeoutMs, lost),
    );
  }

  async unload(model: string, drainMs?: number): Promise<UnloadReport> {
    return unloadModel(this.named(model), drainMs, { clock: this.options.clock, account: this.account });
  }

  status(): PoolStatus {
    const { nid } = this.options.node;
    return {
      models: this.instances.map((instance) => instance.status()),
      nodes: [
        { nid, devices: this.account.devices, ledger: this.account.rows, quarantines: this.releases.quarantines },
      ],
    };
  }

  drain(signal?: AbortSignal): Promise<void> {
    this.draining = true;
    return this.until(() => this.everybody.every(({ desk }) => desk.leased + desk.waiting === 0), signal);
  }

  close(): Promise<void> {
    this.closing ??= this.endAll();
    return this.closing;
  }

  private get everybody(): readonly ModelInstance[] {
    return [...this.instances, ...this.leaving];
  }

  private find(model: string): ModelInstance | undefined {
    const spec = this.profile === undefined ? undefined : findModel(this.profile, model);
    return this.instances.find(({ name }) => name === spec?.name);
  }

  private named(model: string): ModelInstance {
    const instance = this.find(model);
    if (instance !== undefined) return instance;
    const models = this.instances.map(({ name }) => name);
    throw new LlamaestroError('model_not_found', `there is no model '${model}'`, { details: { models } });
  }

  private byHost(hid: string): ModelInstance | undefined {
    return this.everybody.find((instance) => instance.hid === hid);
  }

  private makeInstance(spec: ModelSpec): ModelInstance {
    const { clock, random, log, node, stepLock } = this.options;
    const { limits, hosts, placer, account, releases, book, spare, vigil } = this;
    return new ModelInstance(spec, {
      ...{ clock, random, log, node, stepLock, limits, hosts, placer, account, releases, book, spare },
      loadMs: () => this.profile?.timeouts.loadMs ?? Infinity,
      awakeMs: () => vigil.awakeMs,
      canHear: () => vigil.canHear,
      onBegin: () => this.renewals.start(),
      onChange: () => this.changed(),
    });
  }

  /** An instance that the new profile does not keep: who waits goes over to the model of that name, if there still is one. */
  private replace(instance: ModelInstance): void {
    const successor = this.find(instance.name);
    if (successor === undefined) {
      const cause = new LlamaestroError('profile_switching', `model '${instance.name}' left the profile`);
      instance.desk.reject(cause);
      return instance.retire(cause);
    }
    instance.desk.moveWaitersTo(successor.desk);
    // Another try finds the successor, so it is not the code that says the model is gone.
    const message = `model '${instance.name}' is loaded anew with the options of another profile`;
    instance.retire(new LlamaestroError('draining', message, { remedy: 'Send the request again.' }));
  }

  private hear(body: unknown): void {
    let event: HostEvent;
    try {
      event = decode(HostEventCodec, body);
    } catch (thrown) {
      this.options.log.warn('a host event could not be read', { field: toLlamaestroError(thrown).param });
      return;
    }
    this.spare.heard(event);
    this.byHost(event.hid)?.heard(event);
  }

  private changed(): void {
    this.leaving = this.leaving.filter((instance) => instance.hid !== undefined);
    if (!this.draining) this.spare.tend(spareUse(this.instances.map((instance) => instance.status())));
    this.placer.poke();
    for (const listener of [...this.onChanged]) listener();
  }

  private async contextOf(instance: ModelInstance): Promise<number> {
    const { contextTokens, slots = 1 } = instance.spec.load;
    const known = instance.info?.contextTokensPerSlot;
    if (known !== undefined) return known;
    if (contextTokens !== undefined) return Math.floor(contextTokens / slots);
    const plan = instance.memoryPlan ?? (await this.options.node.plan(instance.loadOptions()));
    return plan.contextTokensPerSlot;
  }

  /** By the loaded model; by its vocabulary alone when it is not loaded or went away just now. */
  private async tokensOf(instance: ModelInstance, prompt: Prompt, signal: AbortSignal | undefined): Promise<number> {
    const { hid, ended } = instance;
    if (instance.isReady && hid !== undefined) {
      const either = linked(ended, signal);
      try {
        return await this.hosts.count(hid, prompt, either.signal);
      } catch (thrown) {
        const { code } = toLlamaestroError(thrown);
        if (signal?.aborted === true || !(ended.aborted || code === 'no_host' || code === 'ack_timeout')) throw thrown;
      } finally {
        either.end();
      }
    }
    return this.options.node.count(instance.spec.load.file, prompt, signal);
  }

  /** One request under a lease. A caller who leaves is answered at once; the slot comes back when the host has finished. */
  private async work<T>(
    model: string,
    signal: AbortSignal,
    ask: (hid: string, timeoutMs: number, lost: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const timeoutMs = this.profile?.timeouts.requestMs ?? this.limits.hostCommandMs;
    const lease = await this.lease({ model, rid: this.options.random.id('work') }, signal);
    const answer = ask(lease.hid, timeoutMs, lease.lost).finally(() => lease.release());
    return orAborted(answer, signal);
  }

  private async endAll(): Promise<void> {
    this.draining = true;
    const error = new LlamaestroError('draining', 'the server is stopping');
    this.placer.close();
    this.spare.close();
    for (const instance of this.everybody) instance.shutDown(error);
    const { signal, end } = deadline(this.options.clock, this.limits.closeMs);
    await this.until(() => this.everybody.every(({ hid }) => hid === undefined), signal).catch(() =>
      this.options.log.warn('some model hosts did not end in time'),
    );
    end();
    this.renewals.stop();
    this.releases.close();
    for (const stop of this.deaf) stop();
    for (const instance of this.everybody) instance.forget();
  }

  /** Resolves when `done` holds, looked at after each change; rejects with the signal's reason. */
  private until(done: () => boolean, signal?: AbortSignal): Promise<void> {
    return orAborted(
      new Promise((resolve) => {
        const look = (): void => {
          if (!done()) return;
          this.onChanged.delete(look);
          resolve();
        };
        this.onChanged.add(look);
        signal?.addEventListener('abort', () => this.onChanged.delete(look), { once: true });
        look();
      }),
      signal,
    );
  }
}

function refuseUnavailable({ name, available, load }: ModelSpec): void {
  if (available) return;
  throw new LlamaestroError('model_unusable', `the file of model '${name}' is missing`, {
    details: { model: name, file: load.file },
  });
}

/** A signal that aborts after `ms`; `end` takes the timer back. */
function deadline(clock: Clock, ms: number): { readonly signal: AbortSignal; readonly end: () => void } {
  const controller = new AbortController();
  const timer = clock.setTimer(ms, () => controller.abort(new LlamaestroError('deadline', `not done after ${ms} ms`)));
  return { signal: controller.signal, end: () => timer.cancel() };
}

/** A signal that aborts with the first of two; `end` takes the listeners back. */
function linked(one: AbortSignal, other?: AbortSignal): { readonly signal: AbortSignal; readonly end: () => void } {
  const controller = new AbortController();
  const listeners = [one, ...(other === undefined ? [] : [other])].map((signal) => {
    const forward = (): void => controller.abort(signal.reason);
    if (signal.aborted) forward();
    signal.addEventListener('abort', forward, { once: true });
    return { signal, forward };
  });
  const end = (): void => {
    for (const { signal, forward } of listeners) signal.removeEventListener('abort', forward);
  };
  return { signal: controller.signal, end };
}

/** `promise`, or the signal's reason if that comes first. */
function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
