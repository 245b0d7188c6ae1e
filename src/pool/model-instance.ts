/**
 * Drives the life of one model, or of several that share a process: feeds events to the pure machine, carries its effects out,
 * keeps one timer, and is the only writer of their state. Knows queues and host; where bytes come from is the placer's affair.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Random, Timer } from '../base/ports.js';
import type { GroupMember, HostEvent } from '../schema/bus-messages.js';
import type { MemoryPlan } from '../schema/load.js';
import { Bidding } from './bidding.js';
import { Checkup, type CheckupParts, type Phase } from './checkup.js';
import type { Around } from './condition.js';
import type { HolderStanding } from './eviction.js';
import { Desks } from './desks.js';
import { describeExit, hostLost } from './failure.js';
import { FailureRecord, type FailureRecordParts } from './failure-record.js';
import { killHost, loadHost, spawnHost, type HostOrdersParts, type Tell } from './host-orders.js';
import { HostRecord, type MemberRecord } from './host-record.js';
import {
  hidOf,
  wakeAtMs,
  type InstanceContext,
  type InstanceEffect,
  type InstanceEvent,
  type InstanceState,
} from './instance.js';
import { unitStatus } from './instance-status.js';
import type { DeviceBytes } from './ledger.js';
import type { HostExit } from './node-client.js';
import { Occupancy, type OccupancyParts } from './occupancy.js';
import type { Placer, Tenant } from './placer.js';
import type { PoolPolicies } from './policies.js';
import type { ModelStatus } from './pool.js';
import type { Watched } from './vigil.js';
import { standingOf } from './standing.js';
import { loadsOf, type Unit } from './unit.js';
import { lineOf, type Line } from './watchdog.js';
import { COLD, costOfLosing, heatAt, idleUntilMs, leastUntilMs, reloadMsOf, warmed } from './worth.js';

export interface InstanceParts
  extends OccupancyParts, HostOrdersParts, Omit<CheckupParts, 'around'>, FailureRecordParts {
  readonly around: (one: Watched) => Around;
  readonly random: Random;
  readonly policies: Pick<PoolPolicies, 'transition'>;
  readonly placer: Placer;
  /** Shared by all CPU hosts of the machine; absent: none. */
  readonly stepLock: string | undefined;
  readonly loadMs: () => number;
  readonly onBegin: () => void;
  /** The state's name, leases or waiters changed. */
  readonly onChange: (instance: ModelInstance) => void;
}

const BYTES_PER_GIB = 2 ** 30;

export class ModelInstance implements Tenant, Watched {
  readonly desk: Desks;
  /** What is wanted of it beyond its queue. */
  readonly bidding = new Bidding({
    state: () => this.state,
    desk: () => this.desk,
    departure: () => (this.hid === undefined ? undefined : this.occupancy.departure),
    tell: (event) => this.dispatch(event),
  });
  private state: InstanceState;
  private readonly pending: InstanceEvent[] = [];
  private readonly tell: Tell = (event) => this.dispatch(event);
  private isDispatching = false;
  private timer: Timer | undefined;
  private use = COLD;
  private countedGrants = 0;
  private loadStartedAtMs = 0;
  private spawnedAtMs = 0;
  private readonly record: HostRecord;
  /** How its host is. */
  readonly checkup: Checkup;
  /** How it failed of late. */
  readonly failures: FailureRecord;
  private readonly occupancy: Occupancy;
  /** Aborts when the present host ends or is given up. */
  private hostEnd = new AbortController();

  constructor(
    private currentUnit: Unit,
    private readonly parts: InstanceParts,
  ) {
    const { clock, limits, onBegin } = parts;
    this.checkup = new Checkup({ ...parts, around: () => parts.around(this) });
    this.record = new HostRecord(currentUnit.members.length);
    this.failures = new FailureRecord(() => this.currentUnit, parts);
    this.state = this.failures.beginning();
    this.occupancy = new Occupancy(this.record, () => this.currentUnit, parts);
    this.desk = new Desks(() => this.currentUnit.members, {
      clock,
      maxWaiting: limits.maxWaiting,
      unlistedMs: limits.unlistedMs,
      onBegin,
      onChange: ({ waiting }) => {
        if (waiting > 0) this.bidding.asked();
        this.dispatch({ type: 'demand' });
      },
    });
  }

  get unit(): Unit {
    return this.currentUnit;
  }
  get name(): string {
    return this.currentUnit.name;
  }
  get hid(): string | undefined {
    return hidOf(this.state);
  }
  get isReady(): boolean {
    return this.state.name === 'ready';
  }
  /** Aborts, with `host_lost`, when the host that is there now ends or is told to: nobody need wait for its answers. */
  get ended(): AbortSignal {
    return this.hostEnd.signal;
  }
  get memoryPlan(): MemoryPlan | undefined {
    return this.record.plan;
  }
  get configHash(): string {
    return this.currentUnit.configHash;
  }
  get standing(): HolderStanding {
    const { isKept, desk } = this;
    const isProtected = this.parts.clock.nowMs() < this.staysUntilMs;
    const use = { isWaitedFor: desk.waiting > 0, isIdle: desk.idleSinceMs !== undefined };
    return standingOf(this.state, { isKept, isProtected, ...use });
  }
  get cost(): number {
    const heat = heatAt(this.use, this.parts.clock.nowMs(), this.parts.limits.heatHalfLifeMs);
    return costOfLosing({ reloadMs: this.reloadMs, heat, priority: this.currentUnit.priority });
  }
  get staysUntilMs(): number {
    const { state } = this;
    return state.name === 'ready' ? leastUntilMs(state.sinceMs, this.reloadMs, this.parts.limits.leastStayMs) : 0;
  }

  /** Where this model is among those of the unit; -1: nowhere. */
  placeOf(model: string): number {
    return this.currentUnit.members.findIndex(({ name }) => name === model);
  }

  deskOf(model: string): ReturnType<Desks['at']> {
    return this.desk.at(this.placeOf(model));
  }

  memberOf(model: string): MemberRecord {
    return this.record.member(this.placeOf(model));
  }

  /** The same process serves this unit from now on: its load options are equal. */
  adopt(unit: Unit): void {
    this.currentUnit = unit;
    this.desk.rename(unit.members);
    this.dispatch({ type: 'demand' });
  }

  /** As the watchdog sees it. */
  get line(): Line {
    const { name: model, state, desk, parts } = this;
    const [isInLine, isHeld] = [parts.placer.knows(this), this.bidding.isHeld];
    return lineOf({ model, state, desk: desk.worst, isInLine, isHeld, nowMs: parts.clock.nowMs() });
  }

  /** Looks again at everything there may be to do; harmless at any time. */
  rouse(): void {
    const { isPlacing, isInLine } = this.line;
    if (isPlacing && !isInLine) this.parts.placer.request(this);
    this.desk.serve();
    this.dispatch({ type: 'demand' });
  }

  /** Takes the timer back; the instance is not used any more. */
  forget(): void {
    this.timer?.cancel();
  }

  evict(): void {
    this.dispatch({ type: 'evict' });
  }

  reprieve(): void {
    if (this.state.name === 'draining') this.dispatch({ type: 'reprieve' });
  }

  placed(hid: string, plans: readonly MemoryPlan[], extra: DeviceBytes): void {
    this.record.placed(plans, extra);
    this.checkup.renew();
    this.dispatch({ type: 'placed', hid });
  }

  refused(error: LlamaestroError): void {
    this.dispatch({ type: 'placement-failed', error });
  }

  /** What this instance's host says about itself. */
  heard(event: HostEvent): void {
    const { hid, state: host, loadFraction = 0 } = event;
    this.record.word = event;
    this.checkup.heard(event);
    if (this.isReady) this.occupancy.heard(hid, event);
    this.desk.listed(event.attempts);
    const error = event.error === undefined ? {} : { error: LlamaestroError.fromWire(event.error) };
    this.dispatch({ type: 'heard', hid, host, loadFraction, ...error });
  }

  exited({ hid, exitCode, signal, lastWords }: HostExit): void {
    const how = describeExit(exitCode, signal, lastWords);
    this.occupancy.ended(how.split(';')[0] ?? how);
    this.dispatch({ type: 'exited', hid, how, asTold: exitCode === 0 });
  }

  look(): void {
    const { hid, phase, state } = this;
    if (hid === undefined || phase === undefined) return;
    const accusation = this.checkup.accusation(phase);
    if (accusation !== undefined) return this.dispatch({ type: 'suspected', hid, ...accusation });
    if (state.name !== 'ready') return;
    this.failures.stoodSince(state.sinceMs);
    const { held, bounds } = this.occupancy.weights(hid);
    this.checkup.condition.weigh(held, bounds);
  }

  /** Goes on in the place of another instance of the same model. */
  takeOver(other: ModelInstance): void {
    this.record.takeOver(other.record);
    this.checkup.condition.takeOver(other.checkup.condition);
    this.failures.crashes += other.failures.crashes;
    this.use = other.use;
  }

  /** After an interruption of the bus: every host gets a fresh period. */
  listenAnew(): void {
    this.checkup.listenAnew();
    this.dispatch({ type: 'tick', lateMs: Infinity });
  }

  /** The options its models are planned and loaded with. */
  loads(): readonly GroupMember[] {
    return loadsOf(this.currentUnit, this.parts.stepLock);
  }

  /** Of each of its models. */
  status(): readonly ModelStatus[] {
    const { currentUnit: unit, state, record, desk, phase } = this;
    const { crashes, lastError } = this.failures;
    const health = phase === undefined ? undefined : this.checkup.health(phase);
    return unitStatus({ unit, state, record, desk, crashes, health, lastError, nowMs: this.parts.clock.nowMs() });
  }

  /** What the host is at, as far as its signs of life mean something. */
  private get phase(): Phase | undefined {
    const { name } = this.state;
    if (name !== 'loading' && name !== 'ready' && name !== 'draining') return undefined;
    return { isLoading: name === 'loading', isLeased: this.desk.leased > 0 };
  }

  private get isKept(): boolean {
    return !this.bidding.isRetired && (this.currentUnit.residency === 'resident' || this.currentUnit.pinned);
  }

  private get reloadMs(): number {
    const { loadMs, plan } = this.record;
    return reloadMsOf(loadMs, plan?.totalBytes ?? 0);
  }

  private context(): InstanceContext {
    const { clock, random, limits, loadMs } = this.parts;
    const { residency, available, ttlMs } = this.currentUnit;
    const { leased, idleSinceMs } = this.desk;
    const waiting = this.desk.waiting + this.bidding.calls;
    const plannedGib = (this.record.plan?.totalBytes ?? 0) / BYTES_PER_GIB;
    return {
      nowMs: clock.nowMs(),
      jitter: random.next(),
      wanted: this.bidding.wants(residency === 'resident' && available, waiting),
      waiting,
      leased,
      idleUntilMs: idleUntilMs({ isKept: this.isKept, idleSinceMs, ttlMs }),
      loadTimeoutMs: loadMs() + plannedGib * limits.loadPerGibMs,
      limits,
    };
  }

  /** One event at a time, each to its end: an effect that causes an event finds the state settled. */
  private dispatch(event: InstanceEvent): void {
    this.pending.push(event);
    if (this.isDispatching) return;
    this.isDispatching = true;
    let isChanged = false;
    try {
      for (let next = this.pending.shift(); next !== undefined; next = this.pending.shift()) {
        isChanged = this.step(next) || isChanged;
      }
    } finally {
      this.isDispatching = false;
    }
    this.arm();
    if (isChanged) this.parts.onChange(this);
  }

  /** True when somebody outside may care. */
  private step(event: InstanceEvent): boolean {
    for (; this.countedGrants < this.desk.granted; this.countedGrants++) {
      this.use = warmed(this.use, this.parts.clock.nowMs(), this.parts.limits.heatHalfLifeMs);
    }
    const { state, effects } = this.parts.policies.transition(this.state, event, this.context());
    const isOther = state.name !== this.state.name;
    if (isOther) {
      this.parts.log.debug('a model changed its state', { model: this.name, from: this.state.name, to: state.name });
    }
    const isHostOver = this.hid !== undefined && (hidOf(state) !== this.hid || state.name === 'stopping');
    this.state = state;
    if (isHostOver) this.endHost();
    for (const effect of effects) this.perform(effect);
    return isOther || event.type === 'demand';
  }

  private endHost(): void {
    const { hostEnd } = this;
    this.parts.account.unsettle();
    this.checkup.renew();
    this.hostEnd = new AbortController();
    hostEnd.abort(hostLost('has ended'));
  }

  private arm(): void {
    const { clock, canHear } = this.parts;
    this.timer?.cancel();
    const dueMs = wakeAtMs(this.state, this.context());
    if (dueMs === Infinity) return;
    this.timer = clock.setTimer(Math.max(0, dueMs - clock.nowMs()), () => {
      this.dispatch({ type: 'tick', lateMs: canHear() ? clock.nowMs() - dueMs : Infinity });
    });
  }

  private perform(effect: InstanceEffect): void {
    const { placer, hosts } = this.parts;
    switch (effect.type) {
      case 'place':
        this.loadStartedAtMs = this.parts.clock.nowMs();
        return placer.request(this);
      case 'withdraw':
        return placer.withdraw(this);
      case 'spawn':
        return void this.spawn(effect.hid);
      case 'load':
        return void loadHost(effect.hid, this.record.asDecided(this.loads()), this.parts, this.tell);
      case 'progress':
        return this.desk.progress(effect.fraction, this.loadStartedAtMs);
      case 'open':
        return this.open(effect.hid);
      case 'shut':
        return this.desk.shut();
      case 'resume':
        return this.bidding.isHeld ? undefined : this.desk.resume();
      case 'lose':
        this.occupancy.cut(this.desk.leased);
        return this.desk.lose(effect.error);
      case 'reject':
        return this.bidding.refuse(effect.error);
      case 'leave':
      case 'exit':
        return hosts[effect.type](effect.hid);
      case 'kill':
        return void killHost(effect.hid, this.name, this.parts, this.tell);
      case 'release':
        return this.release(effect.hid);
      case 'failed':
        return this.failures.note(effect.failure, this.hid);
    }
  }

  private async spawn(hid: string): Promise<void> {
    this.spawnedAtMs = this.parts.clock.nowMs();
    const host = await spawnHost(hid, this.name, this.parts, this.tell);
    if (host === undefined || this.hid !== hid) return;
    this.record.pid = host.pid;
    if (host.word !== undefined) this.heard(host.word);
  }

  private open(hid: string): void {
    const { clock, log } = this.parts;
    this.occupancy.opened(hid, clock.nowMs() - this.spawnedAtMs);
    const { pid, loadMs } = this.record;
    const slots = this.status().map((model) => model.slots);
    this.desk.open(hid, slots, this.loadStartedAtMs);
    this.bidding.arrived();
    log.info('a model is ready', { model: this.name, hid, pid, loadMs });
  }

  private release(hid: string): void {
    // A queue that was only shut still has its slots: nothing is out any more, so it ends empty.
    this.desk.lose(new LlamaestroError('host_lost', 'the model host is gone'));
    this.occupancy.released(hid);
  }
}
