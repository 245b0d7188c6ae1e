/**
 * One life of a simulated gateway, put together as `src/gateway.ts` does without the doors: real node agent, pool, receiver
 * and orchestra on a journal in memory and simulated hosts. It can crash as a process does, or stop as it should.
 */
import type { Logger } from '../../src/base/log.js';
import type { Clock, Random } from '../../src/base/ports.js';
import type { Bus } from '../../src/bus/bus.js';
import { FrameReceiver } from '../../src/bus/frame-receiver.js';
import type { SimFaults, SimNetwork } from '../../src/bus/sim-bus.js';
import type { FakeFault, FakeScript } from '../../src/engine/fake-script.js';
import type { MemoryJournal } from '../../src/journal/memory-journal.js';
import { machineProbe } from '../../src/node/device-probe.js';
import { NodeAgent } from '../../src/node/node-agent.js';
import { createOrchestra } from '../../src/orchestra/local-orchestra.js';
import type { Orchestra } from '../../src/orchestra/orchestra.js';
import { CrashBook } from '../../src/pool/crash-book.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';
import { nodeClient } from '../../src/pool/node-client.js';
import { createPool } from '../../src/pool/pool-driver.js';
import type { Pool } from '../../src/pool/pool.js';
import type { Profile } from '../../src/schema/profile.js';
import type { LeaseNote } from './history.js';
import { watchLeases } from './lease-watch.js';
import { ProcessClock } from './process-clock.js';
import { SimSpawner } from './sim-hosts.js';

/** Ways to break a part on purpose, to see that the invariants notice. */
export interface Sabotage {
  readonly pool?: (pool: Pool) => Pool;
  readonly orchestra?: (orchestra: Orchestra) => Orchestra;
  readonly journal?: (journal: MemoryJournal) => MemoryJournal;
}

export interface GatewayParts {
  /** Counts lives from 1. */
  readonly life: number;
  readonly clock: Clock;
  readonly network: SimNetwork;
  readonly random: Random;
  readonly journal: MemoryJournal;
  readonly profile: Profile;
  readonly script: FakeScript;
  readonly log: Logger;
  /** How the lines from hosts misbehave. */
  readonly lineFaults: Partial<SimFaults>;
  readonly deviceBytes: number;
  readonly leases: LeaseNote[];
  readonly faultsOf: (label: string) => readonly FakeFault[];
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
  private readonly bus: Bus;
  private readonly agent: NodeAgent;
  private readonly crashes: CrashBook;
  private readonly death = new AbortController();

  constructor(private readonly parts: GatewayParts) {
    const { life, network, random, log, profile, leases, sabotage } = parts;
    this.life = life;
    this.name = `gateway ${String(life)}`;
    const clock = new ProcessClock(parts.clock);
    this.clock = clock;
    this.requestClock = new ProcessClock(clock);
    const [gid, nid] = [random.id('gw'), random.id('node')];
    const bus = network.connect(this.name);
    this.bus = bus;
    const { script, faultsOf, onViolation } = parts;
    // Processes have a life of their own, so the spawner is on the world's clock.
    this.spawner = new SimSpawner({
      ...{ clock: parts.clock, network, random, nid, script, log, faultsOf, onViolation },
      ...{ gateway: this.name, lineFaults: parts.lineFaults },
    });
    const deviceProbe = machineProbe({}, () => parts.deviceBytes);
    const identify = (file: string): Promise<string> => Promise.resolve(file);
    const shared = { bus, clock, random, log };
    this.agent = new NodeAgent({ ...shared, nid, spawner: this.spawner, deviceProbe, identify });
    const node = nodeClient(bus, nid, DEFAULT_LIMITS);
    // All bytes of the simulated device are the models'.
    const limits = { maxWaiting: 6, cpuHeadroomBytes: 0, cpuOverheadBytes: 0 };
    this.crashes = new CrashBook({ keeper: parts.journal, clock, log });
    const pool = createPool({ ...shared, gid, node, journal: parts.journal, crashes: this.crashes, limits });
    this.pool = watchLeases(sabotage.pool?.(pool) ?? pool, { clock, gateway: life, leases });
    this.receiver = new FrameReceiver({ bus, clock: this.requestClock, log, gid });
    const { journal } = parts;
    const orchestra = createOrchestra({
      ...shared,
      ...{ receiver: this.receiver, gid, journal, clock: this.requestClock },
      pool: this.pool,
      profile: () => profile,
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
    this.pool.apply(this.parts.profile);
  }

  /** kill -9: nothing of it runs any more, its hosts end with it, `keepQueued` says whether queued commits had reached the disk. */
  crash(keepQueued: boolean): void {
    this.clock.die();
    this.parts.network.kill(this.name);
    this.journal.crash(keepQueued);
    this.spawner.abandon();
    this.death.abort();
  }

  /** The orderly end. */
  async stop(): Promise<void> {
    await this.orchestra.drain();
    await this.pool.close();
    await this.agent.close();
    this.receiver.close();
    await this.bus.close();
    await this.journal.close();
  }
}
