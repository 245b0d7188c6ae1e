/**
 * One life of a simulated gateway, put together as `src/gateway.ts` does without the doors: real node agent, pool, receiver
 * and orchestra on a journal in memory and simulated hosts. It can crash as a process does, or stop as it should.
 */
import type { Logger } from '../../src/base/log.js';
import type { Clock, Random } from '../../src/base/ports.js';
import type { Bus } from '../../src/bus/bus.js';
import { FrameReceiver } from '../../src/bus/frame-receiver.js';
import type { SimFaults, SimNetwork } from '../../src/bus/sim-bus.js';
import type { FakeFault } from '../../src/engine/fake-script.js';
import type { MemoryJournal } from '../../src/journal/memory-journal.js';
import { NodeAgent } from '../../src/node/node-agent.js';
import { createOrchestra } from '../../src/orchestra/local-orchestra.js';
import type { Orchestra } from '../../src/orchestra/orchestra.js';
import { CrashBook } from '../../src/pool/crash-book.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';
import { nodeClient } from '../../src/pool/node-client.js';
import { createPool } from '../../src/pool/pool-driver.js';
import type { PoolPolicies } from '../../src/pool/policies.js';
import type { Pool } from '../../src/pool/pool.js';
import type { Estate } from './estate.js';
import type { LeaseNote } from './history.js';
import { watchLeases } from './lease-watch.js';
import type { MachineMemory } from './machine-memory.js';
import { ProcessClock } from './process-clock.js';
import { SimSpawner } from './sim-hosts.js';

/** Ways to break a part on purpose, to see that the invariants notice. */
export interface Sabotage {
  readonly pool?: (pool: Pool) => Pool;
  /** Other decisions in place of the pool's own, made anew for each gateway. */
  readonly policies?: () => Partial<PoolPolicies>;
  readonly orchestra?: (orchestra: Orchestra) => Orchestra;
  readonly journal?: (journal: MemoryJournal) => MemoryJournal;
}

/** All bytes of the simulated devices are the models', but for what a process takes beyond its plan. */
const OVERHEAD_BYTES = 8 * 2 ** 20;
const LIMITS = {
  maxWaiting: 6,
  cpuHeadroomBytes: 0,
  gpuHeadroomBytes: 0,
  cpuOverheadBytes: OVERHEAD_BYTES,
  gpuOverheadBytes: OVERHEAD_BYTES,
};

export interface GatewayParts {
  /** Counts lives from 1. */
  readonly life: number;
  readonly clock: Clock;
  readonly network: SimNetwork;
  readonly random: Random;
  readonly journal: MemoryJournal;
  readonly estate: Estate;
  readonly memory: MachineMemory;
  readonly log: Logger;
  /** How the lines from hosts misbehave. */
  readonly lineFaults: Partial<SimFaults>;
  readonly leases: LeaseNote[];
  readonly faultsOf: (label: string) => readonly FakeFault[];
  readonly onTrouble: (hid: string) => void;
  readonly onViolation: (message: string) => void;
  readonly sabotage: Sabotage;
}

export class SimGateway {
  readonly life: number;
  readonly clock: ProcessClock;
  /** The same clock, for those whose timers belong to requests: orchestra and receiver. */
  readonly requestClock: ProcessClock;
  readonly name: string;
  readonly orchestra: Orchestra;
  readonly pool: Pool;
  readonly receiver: FrameReceiver;
  readonly spawner: SimSpawner;
  /** Leases that are out now, by model, as the orchestra has them. */
  readonly leasesOut = new Map<string, number>();
  /** Booted, and neither dead nor stopped. */
  isUp = false;
  private readonly bus: Bus;
  private readonly agent: NodeAgent;
  private readonly crashes: CrashBook;
  private readonly death = new AbortController();

  constructor(private readonly parts: GatewayParts) {
    const { life, network, random, log, estate, memory, leases, sabotage } = parts;
    this.life = life;
    this.name = `gateway ${String(life)}`;
    const clock = new ProcessClock(parts.clock);
    this.clock = clock;
    this.requestClock = new ProcessClock(clock);
    const [gid, nid] = [random.id('gw'), random.id('node')];
    const bus = network.connect(this.name);
    this.bus = bus;
    const { faultsOf, onTrouble, onViolation } = parts;
    // Processes have a life of their own, so the spawner is on the world's clock.
    this.spawner = new SimSpawner({
      ...{ clock: parts.clock, network, random, nid, estate, memory, log, faultsOf, onTrouble, onViolation },
      ...{ gateway: this.name, lineFaults: parts.lineFaults },
    });
    const deviceProbe = { devices: () => Promise.resolve(memory.devices()) };
    const identify = (file: string): Promise<string> => Promise.resolve(file);
    const shared = { bus, clock, random, log };
    const cpuPressure = (): Promise<number> => Promise.resolve(0);
    this.agent = new NodeAgent({ ...shared, nid, spawner: this.spawner, deviceProbe, cpuPressure, identify });
    const node = nodeClient(bus, nid, DEFAULT_LIMITS);
    this.crashes = new CrashBook({ keeper: parts.journal, clock, log });
    const kept = { journal: parts.journal, crashes: this.crashes };
    const policies = sabotage.policies?.() ?? {};
    const pool = createPool({ ...shared, gid, node, ...kept, limits: LIMITS, policies });
    this.pool = watchLeases(sabotage.pool?.(pool) ?? pool, { clock, gateway: life, leases, out: this.leasesOut });
    this.receiver = new FrameReceiver({ bus, clock: this.requestClock, log, gid });
    const { journal } = parts;
    const orchestra = createOrchestra({
      ...shared,
      ...{ receiver: this.receiver, gid, journal, clock: this.requestClock },
      pool: this.pool,
      profile: () => estate.profile,
      crossing: () => undefined,
    });
    this.orchestra = sabotage.orchestra?.(orchestra) ?? orchestra;
  }

  /** Aborts when the process is gone. */
  get dead(): AbortSignal {
    return this.death.signal;
  }

  get journal(): MemoryJournal {
    return this.parts.journal;
  }

  /** Opens the journal, ends what a former life left, begins to serve. */
  async boot(): Promise<void> {
    await this.journal.open();
    await this.crashes.open();
    this.agent.start();
    await this.orchestra.recover();
    this.pool.apply(this.parts.estate.profile);
    this.isUp = true;
  }

  /** kill -9: nothing of it runs any more, its hosts end with it, `keepQueued` says whether queued commits had reached the disk. */
  crash(keepQueued: boolean): void {
    this.isUp = false;
    this.clock.die();
    this.parts.network.kill(this.name);
    this.journal.crash(keepQueued);
    this.spawner.abandon();
    this.death.abort();
  }

  /** The orderly end. */
  async stop(): Promise<void> {
    await this.orchestra.drain();
    this.isUp = false;
    await this.pool.close();
    await this.agent.close();
    this.receiver.close();
    await this.bus.close();
    await this.journal.close();
  }
}
