/** A pool on fake time over the simulated bus against a fake node, with the few calls its tests share. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/log.js';
import { SimNetwork } from '../../src/bus/sim-bus.js';
import { MemoryJournal } from '../../src/journal/memory-journal.js';
import { CrashBook } from '../../src/pool/crash-book.js';
import { nodeClient } from '../../src/pool/node-client.js';
import { createPool } from '../../src/pool/pool-driver.js';
import type { InstanceStateName, Lease, LeaseProgress, ModelStatus, Pool } from '../../src/pool/pool.js';
import type { PoolLimits } from '../../src/pool/limits.js';
import type { ModelSpec, Profile } from '../../src/schema/profile.js';
import { FakeClock, seededRandom, settle } from '../support/fake-clock.js';
import { profileOf } from '../support/profiles.js';
import { FakeNode } from './fake-node.js';

/** A signal that never aborts. */
export function never(): AbortSignal {
  return new AbortController().signal;
}

export function codeOf(error: unknown): string {
  return error instanceof LlamaestroError ? error.code : 'none';
}

/** A promise whose end can be looked at without waiting for it. */
export interface Asked {
  lease?: Lease;
  error?: unknown;
  readonly progress: LeaseProgress[];
}

export class Bench {
  readonly network: SimNetwork;
  readonly node: FakeNode;
  readonly pool: Pool;
  readonly crashes: CrashBook;
  private requests = 0;

  constructor(
    private readonly limits: Partial<PoolLimits> = {},
    stepLock?: string,
    seed = 1,
    readonly journal = new MemoryJournal(),
    readonly clock = new FakeClock(),
  ) {
    this.crashes = new CrashBook({ keeper: this.journal, clock, log: silentLogger });
    this.network = new SimNetwork({ clock, random: seededRandom(seed) });
    const node = (this.node = new FakeNode(clock, this.network));
    const bus = this.network.connect('gateway');
    void this.journal.open();
    this.pool = createPool({
      ...{ bus, clock, random: seededRandom(seed + 1), gid: 'gw_1', limits: { spareHosts: 0, ...limits } },
      node: nodeClient(bus, node.nid),
      log: silentLogger,
      journal: this.journal,
      crashes: this.crashes,
      ...(stepLock === undefined ? {} : { stepLock }),
    });
  }

  /** Another gateway over what this one wrote, which is gone as if killed, with its hosts. */
  async restarted(): Promise<Bench> {
    await settle();
    const next = new Bench(this.limits, undefined, 7, this.journal.clone(), new FakeClock(this.clock.wallMs()));
    await next.crashes.open();
    return next;
  }

  apply(specs: readonly ModelSpec[], more: Partial<Profile> = {}): void {
    this.pool.apply(profileOf(specs, more));
  }

  ask(model: string, signal: AbortSignal = never()): Asked {
    const asked: Asked = { progress: [] };
    const onProgress = (progress: LeaseProgress): void => void asked.progress.push(progress);
    this.pool.lease({ model, rid: `run_${++this.requests}`, onProgress }, signal).then(
      (lease) => (asked.lease = lease),
      (error: unknown) => (asked.error = error),
    );
    return asked;
  }

  /** A lease, after as much fake time as it takes. */
  async lease(model: string): Promise<Lease> {
    const asked = this.ask(model);
    await this.clock.runUntil(() => asked.lease !== undefined || asked.error !== undefined);
    if (asked.lease === undefined) throw asked.error;
    return asked.lease;
  }

  /** Bytes booked, by device. */
  get held(): Record<string, number> {
    const rows = this.pool.status().nodes[0]?.ledger ?? [];
    return Object.fromEntries(rows.map(({ device, heldBytes }) => [device, heldBytes]));
  }

  model(name: string): ModelStatus {
    const status = this.pool.status().models.find((model) => model.name === name);
    if (status === undefined) throw new Error(`no model ${name}`);
    return status;
  }

  /** `asked` is for b, which needs what a leaves: `bytes` of it come back only when a has been gone for a while. */
  async expectPatience(asked: Asked, device: string, bytes: number): Promise<void> {
    await this.until('a', 'stopping');
    this.node.script.foreign = { [device]: bytes };
    await this.until('a', 'unloaded');
    await this.clock.run(1500);
    expect([asked.error, this.model('b').state]).to.deep.equal([undefined, 'starting']);
    this.node.script.foreign = {};
    await this.clock.run(1000);
    expect(asked.lease?.model).to.equal('b');
  }

  async until(model: string, state: InstanceStateName): Promise<void> {
    await this.clock.runUntil(() => this.model(model).state === state);
  }
}
