/**
 * Finds bytes for loads, one round at a time: asks for plans, corrects them, reads free memory, lets the pure policy decide,
 * books, and asks tenants to leave. Knows no processes and no queues; a tenant tells its standing and what losing it costs.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Timer } from '../base/ports.js';
import type { LoadOptions, MemoryPlan } from '../schema/load.js';
import { sumOfPlans } from '../schema/plan-sum.js';
import type { Account } from './account.js';
import type { HolderStanding, Needs, Placement, PlacementQuestion } from './eviction.js';
import { bytesOf, type DeviceBytes } from './ledger.js';
import type { PoolLimits } from './limits.js';
import type { MemoryBook } from './memory-book.js';
import type { NodeAgent } from './node-client.js';
import type { PoolPolicies } from './policies.js';
import type { Quarantine, ReleaseWatch } from './release-watch.js';

/** A model instance as far as memory is concerned. */
export interface Tenant {
  readonly name: string;
  /** The process whose bytes are booked, if there is one. */
  readonly hid: string | undefined;
  readonly standing: HolderStanding;
  /** Names what decides its bytes: file and options. */
  readonly configHash: string;
  /** What losing it now would cost, milliseconds of probable waiting. */
  readonly cost: number;
  /** Until when it may not be unloaded to make room. */
  readonly staysUntilMs: number;
  /** One for each model that is to be in the process. */
  loads(): readonly { readonly load: LoadOptions }[];
  /** Bytes are reserved for this process to come. */
  placed(hid: string, plans: readonly MemoryPlan[], extra: DeviceBytes): void;
  refused(error: LlamaestroError): void;
  /** Leave: if idle at once, if in use after what runs. */
  evict(): void;
  /** Nobody needs its bytes any more: if it is still there because of what runs, it may stay. */
  reprieve(): void;
}

export interface PlacerParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: PoolLimits;
  readonly policies: Pick<PoolPolicies, 'decidePlacement'>;
  readonly node: NodeAgent;
  readonly account: Account;
  readonly releases: ReleaseWatch;
  readonly book: MemoryBook;
  readonly tenants: () => readonly Tenant[];
  /** Id of the next host. */
  readonly nextHid: () => string;
}

/** One that waits for bytes. */
interface Waiting {
  readonly tenant: Tenant;
  readonly sinceMs: number;
  /** Once it is known: what is to be booked for it. */
  load?: { readonly plan: MemoryPlan; readonly plans: readonly MemoryPlan[]; readonly extra: DeviceBytes };
}

export class Placer {
  /** First come, first placed. */
  private line: readonly Waiting[] = [];
  private isRunning = false;
  private isDue = false;
  private timer: Timer | undefined;

  constructor(private readonly parts: PlacerParts) {}

  /** Puts a tenant in line; it hears `placed` or `refused` unless it withdraws. */
  request(tenant: Tenant): void {
    assert(!this.knows(tenant), `${tenant.name} asks for bytes twice`);
    this.line = [...this.line, { tenant, sinceMs: this.parts.clock.nowMs() }];
    this.poke();
  }

  /** It waits for bytes. */
  knows(tenant: Tenant): boolean {
    return this.line.some((other) => other.tenant === tenant);
  }

  withdraw(tenant: Tenant): void {
    this.line = this.line.filter((other) => other.tenant !== tenant);
    this.poke();
  }

  /** Something changed that may make room. */
  poke(): void {
    this.isDue = true;
    if (!this.isRunning) void this.run();
  }

  close(): void {
    this.line = [];
    this.timer?.cancel();
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    while (this.isDue && this.line.length > 0) {
      this.isDue = false;
      await this.round();
    }
    this.isRunning = false;
    if (this.line.length === 0) for (const tenant of this.parts.tenants()) tenant.reprieve();
  }

  private async round(): Promise<void> {
    for (const waiting of this.line) await this.plan(waiting);
    try {
      await this.parts.account.look();
    } catch (thrown) {
      for (const { tenant } of this.line) this.refuse(tenant, loadError(thrown));
      return;
    }
    // From here on nothing waits, so what is decided holds.
    const claims: Needs[] = [];
    const decided: { readonly placement: Placement; readonly isOverdue: boolean }[] = [];
    for (const waiting of this.line) {
      if (waiting.load === undefined) {
        this.isDue = true; // it came while the devices were read
        continue;
      }
      const { plan, extra } = waiting.load;
      const needs = this.parts.account.needsOf({ planned: bytesOf(plan), extra });
      const isOverdue = this.parts.clock.nowMs() >= waiting.sinceMs + this.parts.limits.overdueMs;
      const placement = this.decide({ needs, claims, isOverdue });
      decided.push({ placement, isOverdue });
      if (!this.settle(waiting, placement)) claims.push(needs);
    }
    this.rescue(decided);
  }

  /** Models that were told to finish and are asked for again stay, where the loads they finished for have found others. */
  private rescue(decided: readonly { readonly placement: Placement; readonly isOverdue: boolean }[]): void {
    // A load that goes on waiting may still count on them.
    if (decided.some(({ placement, isOverdue }) => isOverdue && placement.kind === 'wait')) return;
    const victims = decided.flatMap(({ placement }) => (placement.kind === 'evict' ? placement.victims : []));
    for (const tenant of this.parts.tenants()) {
      if (tenant.standing !== 'wanted' || tenant.hid === undefined || victims.includes(tenant.hid)) continue;
      this.parts.log.info('a model stays that was to make room', { model: tenant.name });
      tenant.reprieve();
    }
  }

  private async plan(waiting: Waiting): Promise<void> {
    if (waiting.load !== undefined) return;
    const { node, book } = this.parts;
    const { tenant } = waiting;
    try {
      const plans: MemoryPlan[] = [];
      for (const { load } of tenant.loads()) plans.push(await node.plan(load));
      const plan = sumOfPlans(plans);
      waiting.load = { plan, plans, extra: await book.extraFor(tenant.configHash, plan) };
    } catch (thrown) {
      if (this.line.includes(waiting)) this.refuse(tenant, loadError(thrown));
    }
  }

  private decide(load: Pick<PlacementQuestion, 'needs' | 'claims' | 'isOverdue'>): Placement {
    const { account, policies, releases } = this.parts;
    const tenants = this.parts.tenants();
    const holders = account.holders((hid) => {
      const tenant = tenants.find((other) => other.hid === hid);
      return { standing: tenant?.standing ?? 'leaving', cost: tenant?.cost ?? 0 };
    });
    return policies.decidePlacement({ ...load, devices: account.rooms(), holders, settling: releases.isSettling });
  }

  /** Carries a decision out; true when the tenant is out of the line. */
  private settle(waiting: Waiting, placement: Placement): boolean {
    const { tenant, load } = waiting;
    const { account, releases } = this.parts;
    assert(load !== undefined, 'what is decided was planned');
    const planned = bytesOf(load.plan);
    const barred = releases.quarantines.find(({ device }) => (planned[device] ?? 0) > 0);
    if (barred !== undefined) {
      this.refuse(tenant, quarantined(tenant.name, barred));
      return true;
    }
    switch (placement.kind) {
      case 'fits': {
        const hid = this.parts.nextHid();
        account.reserve(hid, { planned, extra: load.extra });
        this.withdraw(tenant);
        tenant.placed(hid, load.plans, load.extra);
        return true;
      }
      case 'evict':
        for (const victim of this.parts.tenants()) {
          if (victim.hid === undefined || !placement.victims.includes(victim.hid)) continue;
          this.parts.log.info('a model makes room', { model: victim.name, for: tenant.name });
          victim.evict();
        }
        return false;
      case 'wait':
        this.pokeLater(waiting);
        return false;
      case 'never':
        this.refuse(tenant, noRoom(tenant.name, placement));
        return true;
    }
  }

  private refuse(tenant: Tenant, error: LlamaestroError): void {
    this.withdraw(tenant);
    tenant.refused(error);
  }

  /** Time alone may change the answer: when a model's protection ends, and when this one has waited long enough. */
  private pokeLater({ sinceMs }: Waiting): void {
    const { clock, limits } = this.parts;
    const nowMs = clock.nowMs();
    const stays = this.parts.tenants().map(({ staysUntilMs }) => staysUntilMs);
    const nextMs = Math.min(...[sinceMs + limits.overdueMs, ...stays].filter((atMs) => atMs > nowMs));
    this.timer?.cancel();
    // At least a millisecond: a remainder lost to rounding must not spin.
    if (nextMs < Infinity) this.timer = clock.setTimer(Math.max(1, nextMs - nowMs), () => this.poke());
  }
}

/** Silence of the node agent is a failed load to whoever waits for it. */
function loadError(thrown: unknown): LlamaestroError {
  const error = toLlamaestroError(thrown);
  if (error.code !== 'ack_timeout') return error;
  return new LlamaestroError('load_failed', 'the node agent did not answer in time', { cause: thrown });
}

function quarantined(model: string, { device, missingBytes }: Quarantine): LlamaestroError {
  const message = `model '${model}' cannot be loaded: ${device} is under quarantine, ${mib(missingBytes)} did not come back after an unload`;
  return new LlamaestroError('out_of_memory', message, {
    remedy: `Find out who holds the memory of ${device}; the quarantine ends when it is free again.`,
    details: { model, device, missingBytes },
  });
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function noRoom(
  model: string,
  { code, device, neededBytes, roomBytes }: Extract<Placement, { kind: 'never' }>,
): LlamaestroError {
  const where = code === 'does_not_fit' ? 'can be made free for it' : 'are free, other programs hold the rest';
  const message = `model '${model}' needs ${mib(neededBytes)} on ${device}, of which ${mib(roomBytes)} ${where}`;
  return new LlamaestroError(code, message, { details: { model, device, neededBytes, roomBytes } });
}
