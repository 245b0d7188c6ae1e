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
import type { Catalog } from '../../src/profile/catalog.js';
import { createProfileManager, type ProfileManager } from '../../src/profile/profile-manager.js';
import type { SwitchParts } from '../../src/profile/profile-switch.js';
import { createProfilePlanner } from '../../src/profile/profile-planner.js';
import type { Profile } from '../../src/schema/profile.js';
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
  /** Another machine in place of that of the profile switch. */
  readonly transition?: NonNullable<SwitchParts['transition']>;
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
  /** Profiles change; where they never do, nothing of them is written down. */
  readonly isSwitching: boolean;
}

export class SimGateway {
  readonly life: number;
  readonly clock: ProcessClock;
  /** The same clock, for those whose timers belong to requests: orchestra and receiver. */
  readonly requestClock: ProcessClock;
  readonly name: string;
  readonly orchestra: Orchestra;
  readonly pool: Pool;
  readonly profiles: ProfileManager;
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
      profile: () => (parts.isSwitching ? this.profiles.current() : estate.profile),
      crossing: () => (parts.isSwitching ? this.profiles.crossing() : undefined),
    });
    this.profiles = createProfileManager({
      ...{ clock, log, journal, pool: this.pool },
      catalog: catalogOf([estate.profile, estate.second]),
      plan: createProfilePlanner(node, { ...DEFAULT_LIMITS, ...LIMITS }),
      watchFolder: () => () => undefined,
      ...(sabotage.transition === undefined ? {} : { transition: sabotage.transition }),
    });
    this.orchestra = sabotage.orchestra?.(orchestra) ?? orchestra;
  }

  get isSwitching(): boolean {
    return this.parts.isSwitching;
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
    const { profile, second } = this.parts.estate;
    if (!this.parts.isSwitching) {
      this.pool.apply(profile);
      this.isUp = true;
      return;
    }
    const before = await this.profiles.remembered();
    await this.profiles.start(before?.name === second.name ? second : profile);
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
    this.profiles.close();
    await this.pool.close();
    await this.agent.close();
    this.receiver.close();
    await this.bus.close();
    await this.journal.close();
  }
}

/** Profiles that no file holds. */
function catalogOf(profiles: readonly Profile[]): Catalog {
  const named = (name: string): Promise<Profile> => {
    const found = profiles.find((profile) => profile.name === name);
    return found === undefined ? Promise.reject(new Error(`no profile ${name}`)) : Promise.resolve(found);
  };
  const nobody = (): Promise<never> => Promise.reject(new Error('nobody asks for this here'));
  return { inspect: nobody, load: named, named, forFile: nobody, list: () => Promise.resolve([]) };
}
