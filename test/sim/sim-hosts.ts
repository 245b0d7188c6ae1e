/**
 * Host processes of the simulator: a spawner whose processes are real `HostServer`s with the fake engine, each with a clock,
 * a connection and faults of its own. They can be killed, frozen and abandoned. Knows no gateway beyond its callbacks.
 */
import type { Logger } from '../../src/base/log.js';
import type { Clock, Random, Timer } from '../../src/base/ports.js';
import type { SimFaults, SimNetwork } from '../../src/bus/sim-bus.js';
import type { Engine, EngineStats } from '../../src/engine/engine.js';
import { createFakeDriver } from '../../src/engine/fake-driver.js';
import type { FakeFault } from '../../src/engine/fake-script.js';
import { HostServer } from '../../src/host/host-server.js';
import type { HostExit, HostProcess, SpawnRequest, Spawner } from '../../src/node/spawner.js';
import type { Estate } from './estate.js';
import type { MachineMemory } from './machine-memory.js';
import { ProcessClock } from './process-clock.js';
import { simDriver } from './sim-driver.js';

export interface SimHostsParts {
  readonly clock: Clock;
  readonly network: SimNetwork;
  readonly random: Random;
  readonly nid: string;
  /** The connection of its gateway, and how the line to it misbehaves. */
  readonly gateway: string;
  readonly lineFaults: Partial<SimFaults>;
  readonly estate: Pick<Estate, 'script' | 'places'>;
  readonly memory: MachineMemory;
  readonly log: Logger;
  /** The faults of the process about to start. */
  readonly faultsOf: (label: string) => readonly FakeFault[];
  /** A process gets into trouble that it may not answer in. */
  readonly onTrouble: (hid: string) => void;
  /** Called with each broken rule. */
  readonly onViolation: (message: string) => void;
}

const MAX_SPAWN_MS = 300;
const MAX_REAP_MS = 5;
/** From the last act of a process to its end: pages are given back, drivers let go. */
const MAX_EXIT_MS = 200;
const HEARTBEAT_MS = 1000;

/** One simulated host process. */
export class SimHost implements HostProcess {
  readonly hid: string;
  label: string;
  private readonly clock: ProcessClock;
  private readonly server: HostServer;
  private readonly engines: Engine[] = [];
  private beat: Timer | undefined;
  private isGone = false;
  private beats = 0;
  private terms = 0;

  constructor(
    readonly pid: number,
    private readonly parts: SimHostsParts,
    private readonly request: SpawnRequest,
    private readonly onGone: (host: SimHost) => void,
  ) {
    const { clock, network, random, nid, estate, memory, log, faultsOf } = parts;
    this.hid = request.hid;
    this.label = request.label;
    this.clock = new ProcessClock(clock);
    network.setLinkFaults(this.name, parts.gateway, parts.lineFaults);
    const faults = faultsOf(request.label);
    if (faults.length > 0) parts.onTrouble(request.hid);
    const driver = createFakeDriver({
      clock: this.clock,
      random,
      script: { ...estate.script, faults },
      onCrash: () => this.end({ exitCode: null, signal: 'SIGABRT' }),
    });
    this.server = new HostServer({
      bus: network.connect(this.name),
      clock: this.clock,
      driver: simDriver(driver, {
        ...{ memory, owner: request.hid, places: estate.places, isAlive: () => !this.isGone },
        onEngine: (engine) => void this.engines.push(engine),
        onViolation: (message) => parts.onViolation(`${this.label} (${request.hid}): ${message}`),
      }),
      hid: request.hid,
      nid,
      log,
      exit: (exitCode) => void clock.setTimer(random.next() * MAX_EXIT_MS, () => this.end({ exitCode, signal: null })),
      residentBytes: () => 1,
    });
    this.server.start();
    this.heartbeat();
  }

  /** Its connection to the bus. */
  get name(): string {
    return `host ${this.request.hid}`;
  }

  relabel(label: string): void {
    this.label = label;
  }

  signal(name: 'SIGTERM' | 'SIGKILL'): void {
    if (name === 'SIGKILL') return this.end({ exitCode: null, signal: name });
    // A frozen process takes no notice of a signal it has a handler for; a second one does not wait.
    this.clock.setTimer(0, () => {
      this.terms++;
      if (this.terms > 1) return this.server.end();
      void this.server.drain().then(() => this.server.end());
    });
  }

  /** Its event loop stands still; the heartbeat of its native thread goes on. */
  freeze(): void {
    this.clock.freeze();
    this.parts.onTrouble(this.hid);
    this.parts.network.partition(this.name);
  }

  thaw(): void {
    this.clock.thaw();
    this.parts.network.heal(this.name);
  }

  /** The process ends here and now; its parent hears of it a moment later, unless it is gone too. */
  end(exit: { exitCode: number | null; signal: string | null }, reaped = true): void {
    if (this.isGone) return;
    this.isGone = true;
    this.beat?.cancel();
    this.server.halt();
    this.clock.die();
    this.parts.network.kill(this.name);
    this.parts.memory.release(this.hid);
    this.onGone(this);
    if (!reaped) return;
    const told: HostExit = { ...exit, lastWords: '' };
    this.parts.clock.setTimer(this.parts.random.next() * MAX_REAP_MS, () => this.request.onExit(told));
  }

  private heartbeat(): void {
    this.beat = this.parts.clock.setTimer(HEARTBEAT_MS, () => {
      const all = this.engines.map((engine) => engine.stats());
      const sum = (of: (one: EngineStats) => number): number => all.reduce((total, one) => total + of(one), 0);
      this.request.onHeartbeat({
        number: this.beats++,
        engines: all.length,
        steps: sum(({ steps }) => steps),
        promptTokens: sum(({ promptTokens }) => promptTokens),
        generatedTokens: sum(({ generatedTokens }) => generatedTokens),
        running: sum(({ running }) => running),
        waiting: sum(({ waiting }) => waiting),
        stalledMs: Math.max(0, ...all.map(({ stalledMs }) => stalledMs)),
      });
      this.heartbeat();
    });
  }
}

export class SimSpawner implements Spawner {
  private readonly alive = new Set<SimHost>();
  private isAbandoned = false;
  private nextPid = 1000;

  constructor(private readonly parts: SimHostsParts) {}

  /** Processes that exist, oldest first. */
  get hosts(): readonly SimHost[] {
    return [...this.alive];
  }

  async spawn(request: SpawnRequest): Promise<HostProcess> {
    const { clock, random } = this.parts;
    await new Promise<void>((resolve) => void clock.setTimer(random.next() * MAX_SPAWN_MS, resolve));
    // The parent died meanwhile: its lifeline ends the child before it does anything.
    if (this.isAbandoned) return new Promise(() => undefined);
    const host = new SimHost(this.nextPid++, this.parts, request, (gone) => this.alive.delete(gone));
    this.alive.add(host);
    return host;
  }

  /** The parent died: every host ends, and nobody hears of it. */
  abandon(): void {
    this.isAbandoned = true;
    for (const host of this.hosts) host.end({ exitCode: 75, signal: null }, false);
  }
}
