/**
 * Finds bytes for loads, one round at a time: asks the node for plans and free memory, lets the pure policy decide, reserves,
 * and asks idle tenants to leave. The only writer of the ledger. Knows no processes and no queues; a tenant tells its standing.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Random, Timer } from '../base/ports.js';
import type { DeviceInfo, LoadOptions, MemoryPlan } from '../schema/load.js';
import { decidePlacement, type DeviceRoom, type Holder, type HolderStanding, type Placement } from './eviction.js';
import * as ledgers from './ledger.js';
import type { PoolLimits } from './limits.js';
import type { NodeAgent } from './node-client.js';

/** A model instance as far as memory is concerned. */
export interface Tenant {
  readonly name: string;
  /** The process whose bytes are booked, if there is one. */
  readonly hid: string | undefined;
  readonly standing: HolderStanding;
  heat(nowMs: number): number;
  loadOptions(): LoadOptions;
  /** Bytes are reserved for this process to come. */
  placed(hid: string, plan: MemoryPlan): void;
  refused(error: LlamaestroError): void;
  /** Leave, if idle. */
  evict(): void;
}

export interface PlacerParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly limits: PoolLimits;
  readonly node: NodeAgent;
  /** The profile's budgets. */
  readonly budgets: () => ledgers.DeviceBytes;
  /** What the profile keeps free for others, where it says so. */
  readonly headrooms: () => ledgers.DeviceBytes;
  readonly tenants: () => readonly Tenant[];
}

export class Placer {
  private ledger = ledgers.EMPTY_LEDGER;
  /** First come, first placed. */
  private waiting: Tenant[] = [];
  private readonly plans = new Map<Tenant, MemoryPlan>();
  private seen: readonly DeviceInfo[] = [];
  private isRunning = false;
  private isDue = false;
  private settledAtMs = 0;
  private poll: Timer | undefined;

  constructor(private readonly parts: PlacerParts) {}

  /** Devices as they were at the last look. */
  get devices(): readonly DeviceInfo[] {
    return this.seen;
  }

  /** Bytes that hosts hold, by device. */
  get bookedBytes(): ledgers.DeviceBytes {
    return Object.fromEntries(this.seen.map(({ id }) => [id, ledgers.heldBytes(this.ledger, id)]));
  }

  /** Puts a tenant in line; it hears `placed` or `refused` unless it withdraws. */
  request(tenant: Tenant): void {
    assert(!this.waiting.includes(tenant), `${tenant.name} asks for bytes twice`);
    this.waiting.push(tenant);
    this.poke();
  }

  withdraw(tenant: Tenant): void {
    this.waiting = this.waiting.filter((other) => other !== tenant);
    this.plans.delete(tenant);
    this.poke();
  }

  /** What was really allocated replaces the reservation. */
  commit(hid: string, allocated: MemoryPlan | undefined): void {
    const bytes = allocated === undefined ? this.ledger[hid]?.bytes : ledgers.bytesOf(allocated);
    this.ledger = ledgers.commit(this.ledger, hid, bytes ?? {});
    this.poke();
  }

  /** The process is gone; what it held may take a moment to show as free. */
  release(hid: string): void {
    this.ledger = ledgers.release(this.ledger, hid);
    this.settledAtMs = this.parts.clock.nowMs() + this.parts.limits.settleMs;
    this.poke();
  }

  /** Something changed that may make room. */
  poke(): void {
    this.isDue = true;
    if (!this.isRunning) void this.run();
  }

  /** Looks at the devices although nobody waits; a failed look keeps the last one. */
  async look(): Promise<void> {
    try {
      this.seen = await this.parts.node.devices();
    } catch (error) {
      this.parts.log.warn('the devices of the node could not be read', { nid: this.parts.node.nid, error });
    }
  }

  close(): void {
    this.waiting = [];
    this.plans.clear();
    this.poll?.cancel();
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    while (this.isDue && this.waiting.length > 0) {
      this.isDue = false;
      await this.round();
    }
    this.isRunning = false;
  }

  private async round(): Promise<void> {
    for (const tenant of [...this.waiting]) await this.plan(tenant);
    try {
      this.seen = await this.parts.node.devices();
    } catch (thrown) {
      for (const tenant of [...this.waiting]) this.refuse(tenant, loadError(thrown));
      return;
    }
    // From here on nothing waits, so what is decided holds.
    const claims: ledgers.DeviceBytes[] = [];
    for (const tenant of [...this.waiting]) {
      const plan = this.plans.get(tenant);
      if (plan === undefined) {
        this.isDue = true; // it came while the devices were read
        continue;
      }
      const needs = ledgers.bytesOf(plan);
      if (!this.settle(tenant, plan, this.decide(needs, claims))) claims.push(needs);
    }
  }

  private async plan(tenant: Tenant): Promise<void> {
    if (this.plans.has(tenant)) return;
    try {
      const plan = await this.parts.node.plan(tenant.loadOptions());
      if (this.waiting.includes(tenant)) this.plans.set(tenant, plan);
    } catch (thrown) {
      if (this.waiting.includes(tenant)) this.refuse(tenant, loadError(thrown));
    }
  }

  private decide(needs: ledgers.DeviceBytes, claims: readonly ledgers.DeviceBytes[]): Placement {
    const nowMs = this.parts.clock.nowMs();
    const tenants = this.parts.tenants();
    const holders = Object.entries(this.ledger).map(([id, entry]): Holder => {
      const tenant = tenants.find(({ hid }) => hid === id);
      return { id, ...entry, standing: tenant?.standing ?? 'leaving', heat: tenant?.heat(nowMs) ?? 0 };
    });
    const settling = nowMs < this.settledAtMs;
    return decidePlacement({ needs, devices: this.rooms(), holders, claims, settling });
  }

  private rooms(): readonly DeviceRoom[] {
    const { limits } = this.parts;
    return this.seen.map(({ id, kind, totalBytes, freeBytes }) => {
      const isCpu = kind === 'cpu';
      const usual = isCpu ? limits.cpuHeadroomBytes : limits.gpuHeadroomBytes;
      const headroomBytes = this.parts.headrooms()[id] ?? usual;
      return {
        id,
        ceilingBytes: this.ceiling(id, totalBytes),
        // A device that is free to the last byte is one with an artificial limit: the account alone binds there.
        freeBytes: freeBytes < totalBytes ? freeBytes - headroomBytes : Infinity,
        overheadBytes: isCpu ? limits.cpuOverheadBytes : limits.gpuOverheadBytes,
      };
    });
  }

  private ceiling(device: string, totalBytes: number): number {
    return Math.min(totalBytes, this.parts.budgets()[device] ?? Infinity);
  }

  /** Carries a decision out; true when the tenant is out of the line. */
  private settle(tenant: Tenant, plan: MemoryPlan, placement: Placement): boolean {
    switch (placement.kind) {
      case 'fits': {
        const hid = this.parts.random.id('hid');
        const ceilings = Object.fromEntries(this.seen.map(({ id, totalBytes }) => [id, this.ceiling(id, totalBytes)]));
        const booked = ledgers.reserve(this.ledger, hid, ledgers.bytesOf(plan), ceilings);
        assert('ledger' in booked, 'a load that fits can be booked');
        this.ledger = booked.ledger;
        this.withdraw(tenant);
        tenant.placed(hid, plan);
        return true;
      }
      case 'evict':
        for (const victim of this.parts.tenants()) {
          if (victim.hid !== undefined && placement.victims.includes(victim.hid)) {
            this.parts.log.info('a model makes room', { model: victim.name, for: tenant.name });
            victim.evict();
          }
        }
        return false;
      case 'wait':
        if (this.parts.clock.nowMs() < this.settledAtMs) this.pokeSoon();
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

  private pokeSoon(): void {
    this.poll?.cancel();
    this.poll = this.parts.clock.setTimer(this.parts.limits.settlePollMs, () => this.poke());
  }
}

/** Silence of the node agent is a failed load to whoever waits for it. */
function loadError(thrown: unknown): LlamaestroError {
  const error = toLlamaestroError(thrown);
  if (error.code !== 'ack_timeout') return error;
  return new LlamaestroError('load_failed', 'the node agent did not answer in time', { cause: thrown });
}

function noRoom(
  model: string,
  { code, device, neededBytes, roomBytes }: Extract<Placement, { kind: 'never' }>,
): LlamaestroError {
  const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const where = code === 'does_not_fit' ? 'can be made free for it' : 'are free, other programs hold the rest';
  const message = `model '${model}' needs ${mib(neededBytes)} on ${device}, of which ${mib(roomBytes)} ${where}`;
  return new LlamaestroError(code, message, { details: { model, device, neededBytes, roomBytes } });
}
