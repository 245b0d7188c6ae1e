/**
 * The pool: the models of the applied profile, each driven by its own instance, one placer for their bytes, one ear for
 * what hosts say. It decides nothing itself: policies are pure, instances write their own state, and a lost lease is
 * reported to its holder, never retried.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Random } from '../base/ports.js';
import { deadline, linked, orAborted } from '../base/signals.js';
import type { Bus } from '../bus/bus.js';
import { subjects } from '../bus/subjects.js';
import { HostEventCodec, type HostEvent } from '../schema/bus-messages.js';
import { decode } from '../schema/decode.js';
import type { EngineInfo, Prompt } from '../schema/load.js';
import type { ModelSpec, Profile } from '../schema/profile.js';
import { Account } from './account.js';
import type { CrashBook } from './crash-book.js';
import { hostClient, type HostClient } from './host-client.js';
import type { DeviceBytes } from './ledger.js';
import { DEFAULT_LIMITS, type PoolLimits } from './limits.js';
import { MemoryBook, type NoteKeeper } from './memory-book.js';
import { ModelInstance } from './model-instance.js';
import type { NodeAgent } from './node-client.js';
import { Placer } from './placer.js';
import { POOL_POLICIES, type PoolPolicies } from './policies.js';
import type { Lease, LeaseClaim, LeaseRequest, Patience, Pool, PoolStatus, ModelStatus, Stage } from './pool.js';
import { Recycler } from './recycler.js';
import { ReleaseWatch } from './release-watch.js';
import { Renewals } from './renewals.js';
import { Roster, type Seat } from './roster.js';
import { SpareHost, spareUse } from './spare-host.js';
import { PoolStage } from './stage.js';
import type { Unit } from './unit.js';
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
  /** Opened before: what is remembered of models that failed. */
  readonly crashes: CrashBook;
  /** File shared by all CPU hosts of the machine; goes into each load that names none. */
  readonly stepLock?: string;
  readonly limits?: Partial<PoolLimits>;
  readonly policies?: Partial<PoolPolicies>;
}

/** A pool without models until `apply`. Listens at once; `close` ends that. */
export function createPool(options: PoolOptions): Pool {
  return new PoolDriver(options);
}

class PoolDriver implements Pool {
  private readonly limits: PoolLimits;
  private readonly policies: PoolPolicies;
  private readonly hosts: HostClient;
  private readonly account: Account;
  private readonly releases: ReleaseWatch;
  private readonly book: MemoryBook;
  private readonly placer: Placer;
  private readonly spare: SpareHost;
  private readonly renewals: Renewals;
  private readonly vigil: Vigil;
  private readonly recycler: Recycler;
  private readonly deaf: (() => void)[];
  private readonly roster = new Roster((unit) => this.makeInstance(unit));
  private draining = false;
  private closing: Promise<void> | undefined;
  private readonly onChanged = new Set<() => void>();

  constructor(private readonly options: PoolOptions) {
    const { bus, clock, random, gid, node, log } = options;
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.policies = { ...POOL_POLICIES, ...options.policies };
    this.hosts = hostClient(bus, gid, this.limits.hostCommandMs);
    const { limits } = this;
    const budgets = (): DeviceBytes => this.roster.governing?.budgets ?? {};
    const headrooms = (): DeviceBytes => this.roster.governing?.headrooms ?? {};
    this.spare = new SpareHost({ clock, random, log, limits, node });
    const spare = (): DeviceBytes => this.spare.bytes;
    this.account = new Account({ clock, log, limits, node, budgets, headrooms, spare });
    const { account } = this;
    this.releases = new ReleaseWatch({ clock, log, limits, account, onChange: () => this.changed() });
    this.book = new MemoryBook(options.journal, log);
    const { releases, book, policies } = this;
    const tenants = (): readonly ModelInstance[] => this.roster.everybody;
    const nextHid = (): string => this.spare.nextHid();
    this.placer = new Placer({ clock, log, limits, policies, node, account, releases, book, tenants, nextHid });
    this.renewals = new Renewals(clock, this.limits.renewMs, this.hosts, () =>
      this.roster.everybody.map(({ hid, desk: { attempts } }) => ({ hid, attempts })),
    );
    const onLooked = (): void => void (!this.draining && this.recycler.look());
    this.vigil = new Vigil({ clock, bus, node, limits, log, watched: tenants, onLooked });
    const { roster, vigil } = this;
    const onChange = (): void => this.changed();
    this.recycler = new Recycler({ log, limits, account, roster, awakeMs: () => vigil.awakeMs, onChange });
    const events = bus.subscribe(subjects.allHostEvents, ({ body }) => this.hear(body));
    this.deaf = [
      () => events.unsubscribe(),
      node.onExit((exit) => {
        this.spare.exited(exit.hid);
        this.roster.byHost(exit.hid)?.exited(exit);
      }),
      () => this.vigil.close(),
    ];
  }

  apply(profile: Profile): void {
    this.roster.apply(profile);
    void this.account.glance();
    this.changed();
  }

  warm(model: string): Promise<void> {
    return this.roster.named(model).instance.bidding.call();
  }

  stage(next: Profile): Stage {
    const { roster } = this;
    roster.stage(next);
    return new PoolStage(next, {
      ...{ roster, clock: this.options.clock },
      until: (done, signal) => this.until(done, signal),
      onChange: () => this.changed(),
    });
  }

  async lease(request: LeaseRequest, signal: AbortSignal): Promise<Lease> {
    const { spec, desk } = this.roster.named(request.model);
    if (this.draining) throw new LlamaestroError('draining', 'the server takes no new work');
    refuseUnavailable(spec);
    return desk.ask(request, signal);
  }

  refusal(claim: LeaseClaim, patience: Patience): LlamaestroError | undefined {
    return this.roster.named(claim.model).desk.refusal(claim, patience);
  }

  async count(
    model: string,
    prompt: Prompt,
    signal?: AbortSignal,
  ): Promise<{ tokens: number; contextTokensPerSlot: number }> {
    const seat = this.roster.named(model);
    refuseUnavailable(seat.spec);
    const contextTokensPerSlot = await this.contextOf(seat);
    return { tokens: await this.tokensOf(seat, prompt, signal), contextTokensPerSlot };
  }

  contextTokensPerSlot(model: string): number | undefined {
    const seat = this.roster.find(model);
    return seat?.instance.isReady === true ? infoOf(seat)?.contextTokensPerSlot : undefined;
  }

  embed(model: string, inputs: readonly string[], signal: AbortSignal): Promise<readonly (readonly number[])[]> {
    return this.work(model, signal, (lease, timeoutMs, lost) => this.hosts.embed(lease, inputs, timeoutMs, lost));
  }

  rerank(model: string, query: string, documents: readonly string[], signal: AbortSignal): Promise<readonly number[]> {
    return this.work(model, signal, (lease, timeoutMs, lost) =>
      this.hosts.rerank(lease, query, documents, timeoutMs, lost),
    );
  }

  async unload(model: string, drainMs?: number): Promise<UnloadReport> {
    const { instance } = this.roster.named(model);
    instance.failures.forgive();
    return unloadModel(instance, drainMs, { clock: this.options.clock, account: this.account });
  }

  status(): PoolStatus {
    const { nid } = this.options.node;
    return {
      models: this.statuses,
      nodes: [
        { nid, devices: this.account.devices, ledger: this.account.rows, quarantines: this.releases.quarantines },
      ],
      vigil: this.vigil.status,
    };
  }

  drain(signal?: AbortSignal): Promise<void> {
    this.draining = true;
    return this.until(() => this.roster.everybody.every(({ desk }) => desk.leased + desk.waiting === 0), signal);
  }

  close(): Promise<void> {
    this.closing ??= this.endAll();
    return this.closing;
  }

  /** In the order of the profile. */
  private get statuses(): readonly ModelStatus[] {
    const all = this.roster.instances.flatMap((instance) => instance.status());
    const order = this.roster.profile?.models.map(({ name }) => name) ?? [];
    return all.sort((one, other) => order.indexOf(one.name) - order.indexOf(other.name));
  }

  private makeInstance(unit: Unit): ModelInstance {
    const { clock, random, log, node, stepLock, crashes } = this.options;
    const { limits, policies, hosts, placer, account, releases, book, spare, vigil } = this;
    return new ModelInstance(unit, {
      ...{ clock, random, log, node, stepLock, crashes, limits, policies, hosts, placer, account, releases, book },
      spare,
      loadMs: () => this.roster.governing?.timeouts.loadMs ?? Infinity,
      awakeMs: () => vigil.awakeMs,
      canHear: () => vigil.canHear,
      around: (one) => vigil.around(one),
      onBegin: () => this.renewals.start(),
      onChange: () => this.changed(),
    });
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
    this.roster.byHost(event.hid)?.heard(event);
  }

  private changed(): void {
    this.roster.sweep();
    if (!this.draining) this.spare.tend(spareUse(this.statuses));
    this.placer.poke();
    for (const listener of [...this.onChanged]) listener();
  }

  private async contextOf(seat: Seat): Promise<number> {
    const { spec, instance } = seat;
    const { contextTokens, slots = 1 } = spec.load;
    const known = infoOf(seat)?.contextTokensPerSlot;
    if (known !== undefined) return known;
    if (contextTokens !== undefined) return Math.floor(contextTokens / slots);
    const planned = instance.memberOf(spec.name).plan?.contextTokensPerSlot;
    if (planned !== undefined) return planned;
    const { load = spec.load } = instance.loads().find(({ model }) => model === spec.name) ?? {};
    return (await this.options.node.plan(load)).contextTokensPerSlot;
  }

  /** By the loaded model; by its vocabulary alone when it is not loaded or went away just now. */
  private async tokensOf({ spec, instance }: Seat, prompt: Prompt, signal: AbortSignal | undefined): Promise<number> {
    const { hid, ended } = instance;
    if (instance.isReady && hid !== undefined) {
      const either = linked(ended, signal);
      try {
        return await this.hosts.count({ hid, model: spec.name }, prompt, either.signal);
      } catch (thrown) {
        const { code } = toLlamaestroError(thrown);
        if (signal?.aborted === true || !(ended.aborted || code === 'no_host' || code === 'ack_timeout')) throw thrown;
      } finally {
        either.end();
      }
    }
    return this.options.node.count(spec.load.file, prompt, signal);
  }

  /** One request under a lease. A caller who leaves is answered at once; the slot comes back when the host has finished. */
  private async work<T>(
    model: string,
    signal: AbortSignal,
    ask: (lease: Lease, timeoutMs: number, lost: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const timeoutMs = this.roster.profile?.timeouts.requestMs ?? this.limits.hostCommandMs;
    const lease = await this.lease({ model, rid: this.options.random.id('work') }, signal);
    const answer = ask(lease, timeoutMs, lease.lost).finally(() => lease.release());
    return orAborted(answer, signal);
  }

  private async endAll(): Promise<void> {
    this.draining = true;
    const error = new LlamaestroError('draining', 'the server is stopping');
    this.placer.close();
    this.spare.close();
    for (const instance of this.roster.everybody) instance.bidding.shutDown(error);
    const { signal, end } = deadline(this.options.clock, this.limits.closeMs);
    await this.until(() => this.roster.everybody.every(({ hid }) => hid === undefined), signal).catch(() =>
      this.options.log.warn('some model hosts did not end in time'),
    );
    end();
    this.renewals.stop();
    this.releases.close();
    for (const stop of this.deaf) stop();
    for (const instance of this.roster.everybody) instance.forget();
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

/** The host's own word about the model, once it is ready. */
function infoOf({ spec, instance }: Seat): EngineInfo | undefined {
  return instance.memberOf(spec.name).info;
}

function refuseUnavailable({ name, available, load }: ModelSpec): void {
  if (available) return;
  throw new LlamaestroError('model_unusable', `the file of model '${name}' is missing`, {
    details: { model: name, file: load.file },
  });
}
