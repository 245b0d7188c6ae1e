/**
 * A whole server in one process, on one fake clock and one seed: gateways that live one after the other over one journal,
 * their hosts, the network, the weather. Knows no clients and judges nothing.
 */
import { toLlamaestroError } from '../../src/base/errors.js';
import type { Logger, LogFields } from '../../src/base/log.js';
import type { Random } from '../../src/base/ports.js';
import { SimNetwork } from '../../src/bus/sim-bus.js';
import { MemoryJournal } from '../../src/journal/memory-journal.js';
import { FakeClock, seededRandom } from '../support/fake-clock.js';
import { estateOf, type Estate } from './estate.js';
import { SimGateway, type Sabotage } from './gateway.js';
import type { LeaseNote } from './history.js';
import { LiveRules } from './live-rules.js';
import { MachineMemory } from './machine-memory.js';
import { engineFaults, isSwitching, kindOf, weatherOf, type Kind, type Trouble, type Weather } from './weather.js';

const COMMIT_MS = 2;
/** How long clients come and things go wrong. */
export const WORK_MS = 15_000;
/** Lines a failing seed shows. */
const TRACE_LINES = 60;

/** What is said of a host that is blamed: nobody may be for the sleep of the machine. */
const A_FAILURE = 'a model failed';
/** Lines of level error that only say what the weather did. */
const EXPECTED_ERRORS = [
  'the end of a run could not be journalled',
  'a device did not return to its ledger: nothing is loaded there',
];

/** By command. */
interface Unload {
  readonly gateway: SimGateway;
  isOver: boolean;
}

export class World {
  readonly clock = new FakeClock();
  readonly network: SimNetwork;
  readonly weather: Weather;
  readonly estate: Estate;
  readonly memory: MachineMemory;
  readonly leases: LeaseNote[] = [];
  readonly noticed: string[] = [];
  readonly complaints: string[] = [];
  readonly troubledHosts = new Set<string>();
  private readonly unloads: Unload[] = [];
  /** That were begun and have no end yet. */
  switches = 0;
  /** Every life of the gateway so far. */
  readonly gateways: SimGateway[] = [];
  /** Undefined while it is down. */
  gateway: SimGateway | undefined;
  private readonly trace: string[] = [];
  private readonly fate: Random;
  private isStormOver = false;
  /** How long the machine slept, all in all. */
  sleptMs = 0;

  constructor(
    readonly seed: number,
    readonly kind: Kind = kindOf(seed),
    private readonly sabotage: Sabotage = {},
  ) {
    this.fate = this.random('fate');
    this.weather = weatherOf(kind, this.random('weather'), WORK_MS);
    this.estate = estateOf(this.random('estate'));
    const { clock, weather, estate, gateways } = this;
    const onViolation = (message: string): unknown => this.noticed.push(message);
    this.memory = new MachineMemory({ clock, random: this.random('memory'), devices: estate.devices, onViolation });
    const rules = new LiveRules({
      nowMs: () => clock.nowMs() - this.sleptMs,
      memory: this.memory,
      gateways,
      onViolation,
    });
    clock.onStep = () => rules.look();
    const log = this.logger('network');
    this.network = new SimNetwork({ clock, random: this.random('network'), faults: weather.network, log });
  }

  /** A source of numbers of its own for each purpose, so that a change in one part does not reshuffle the others. */
  random(purpose: string): Random {
    let mixed = this.seed;
    for (const character of purpose) mixed = Math.imul(mixed ^ character.charCodeAt(0), 0x01000193);
    return seededRandom(mixed);
  }

  /** Remembers what happened, for the seed that fails. */
  note(line: string): void {
    this.trace.push(`${this.clock.nowMs().toFixed(1).padStart(9)} ${line}`);
  }

  get lastLines(): string {
    return this.trace.slice(-TRACE_LINES).join('\n');
  }

  /** The whole trace: equal for equal seeds. */
  get story(): string {
    return this.trace.join('\n');
  }

  async start(): Promise<void> {
    const journal = new MemoryJournal({ clock: this.clock, commitMs: COMMIT_MS, keepFacts: true });
    this.beginLife(this.sabotage.journal?.(journal) ?? journal);
    await this.clock.runUntil(() => this.gateway !== undefined);
    for (const trouble of this.weather.troubles) {
      this.clock.setTimer(trouble.atMs, () => !this.isStormOver && this.strike(trouble));
    }
  }

  /** Unloads by command that have no answer although their gateway lived. */
  get unloading(): number {
    return this.unloads.filter(({ gateway, isOver }) => !isOver && !gateway.dead.aborted).length;
  }

  /** Nothing goes wrong from now on, except for what went wrong already. */
  calmDown(): void {
    this.isStormOver = true;
    this.note('-- the weather clears up');
  }

  /** Starts once more over the journal of a gateway that stopped. */
  async startAgain(stopped: SimGateway): Promise<SimGateway> {
    this.gateway = undefined;
    this.beginLife(stopped.journal.clone());
    await this.clock.runUntil(() => this.gateway !== undefined);
    const gateway = this.gateways.at(-1);
    if (gateway === undefined) throw new Error('no gateway began');
    return gateway;
  }

  private beginLife(journal: MemoryJournal): void {
    const life = this.gateways.length + 1;
    const gateway = new SimGateway({
      ...{ life, journal, clock: this.clock, network: this.network, leases: this.leases, sabotage: this.sabotage },
      ...{ estate: this.estate, memory: this.memory, isSwitching: isSwitching(this.kind) },
      lineFaults: this.weather.fromHosts,
      random: this.random(`gateway ${String(life)}`),
      log: this.logger(`gateway ${String(life)}`),
      faultsOf: (label) => this.faultsOf(label),
      onTrouble: (hid) => void this.troubledHosts.add(hid),
      onViolation: (message) => void this.noticed.push(message),
    });
    this.gateways.push(gateway);
    void gateway.boot().then(() => {
      this.gateway = gateway;
      this.note(`${gateway.name} is up`);
    });
  }

  private faultsOf(label: string): ReturnType<typeof engineFaults> {
    const faults = engineFaults(this.isStormOver ? 0 : this.weather.engineFaults, this.fate);
    if (faults.length > 0) this.note(`the next ${label} has ${JSON.stringify(faults)}`);
    return faults;
  }

  private strike(trouble: Trouble): void {
    const { gateway } = this;
    if (gateway === undefined) return;
    this.note(`-- ${JSON.stringify(trouble)}`);
    const { hosts } = gateway.spawner;
    const host = hosts[Math.floor(this.fate.next() * hosts.length)];
    switch (trouble.what) {
      case 'kill-host':
        return host?.end({ exitCode: null, signal: 'SIGKILL' });
      case 'freeze-host':
        host?.freeze();
        return void this.clock.setTimer(trouble.forMs, () => host?.thaw());
      case 'cut-gateway':
        this.network.partition(gateway.name);
        return void this.clock.setTimer(trouble.forMs, () => this.network.heal(gateway.name));
      case 'disk-full':
        gateway.journal.failing = true;
        return void this.clock.setTimer(trouble.forMs, () => (gateway.journal.failing = false));
      case 'suspend':
        this.sleptMs += trouble.forMs;
        return this.clock.jump(trouble.forMs);
      case 'unload':
        return void this.unload(gateway, trouble.drainMs);
      case 'switch':
        return void this.change(gateway, trouble);
      case 'borrow': {
        const { devices } = this.estate;
        const device = devices[Math.floor(this.fate.next() * devices.length)]!;
        return void this.clock.setTimer(trouble.forMs, this.memory.borrow(device.id, trouble.share));
      }
      case 'crash-gateway': {
        this.gateway = undefined;
        gateway.crash(trouble.keepQueued);
        const disk = gateway.journal.clone();
        return void this.clock.setTimer(trouble.downMs, () => this.beginLife(disk));
      }
    }
  }

  /** To one of the two profiles; whatever becomes of it, it ends, and one of them is served. */
  private async change(
    { profiles, dead, name }: SimGateway,
    { drainMs, cancelAfterMs }: Extract<Trouble, { what: 'switch' }>,
  ): Promise<void> {
    const { profile, second } = this.estate;
    const to = this.fate.next() < 0.7 ? (profiles.current().name === profile.name ? second : profile) : profile;
    if (cancelAfterMs !== undefined) {
      const cancel = (): void => {
        try {
          profiles.cancel();
        } catch (thrown) {
          this.note(`a cancel came too late: ${toLlamaestroError(thrown).code}`);
        }
      };
      this.clock.setTimer(cancelAfterMs, () => !dead.aborted && cancel());
    }
    this.switches++;
    const onDeath = (): void => void this.switches--;
    dead.addEventListener('abort', onDeath, { once: true });
    try {
      const { over } = await profiles.activate(to.name, drainMs);
      const { from, result, error } = await over;
      this.note(`${name}: switch from ${from} to ${to.name}: ${result} ${error?.code ?? ''} ${error?.message ?? ''}`);
      const isFine = result === 'done' || result === 'cancelled' || this.kind !== 'switches';
      if (!isFine) this.noticed.push(`a switch to ${to.name} failed without a fault: ${error?.message ?? ''}`);
    } catch (thrown) {
      const { code, message } = toLlamaestroError(thrown);
      this.note(`${name}: no switch to ${to.name}: ${code} ${message}`);
      const isFine = ['switch_conflict', 'cancelled'].includes(code) || this.kind !== 'switches';
      if (!isFine) this.noticed.push(`a switch to ${to.name} was refused without a fault: ${message}`);
    }
    dead.removeEventListener('abort', onDeath);
    this.switches--;
  }

  /** Some model, loaded or not; the answer must come, and then its process is gone. */
  private async unload(gateway: SimGateway, drainMs: number): Promise<void> {
    const { models } = isSwitching(this.kind) ? gateway.profiles.current() : this.estate.profile;
    const { name, pinned } = models[Math.floor(this.fate.next() * models.length)]!;
    const unload: Unload = { gateway, isOver: false };
    this.unloads.push(unload);
    const judge = (isRight: boolean, outcome: string): void => {
      unload.isOver = true;
      this.note(`unload of ${name}: ${outcome}`);
      if (!isRight) this.noticed.push(`unload of ${name}${pinned ? ', which is pinned' : ''}: ${outcome}`);
    };
    try {
      const { hid = 'nothing' } = await gateway.pool.unload(name, drainMs);
      const livesOn = gateway.spawner.hosts.some((host) => host.hid === hid);
      judge(!livesOn && !pinned, livesOn ? `${hid} lives on` : `${hid} is gone`);
    } catch (thrown) {
      const { code } = toLlamaestroError(thrown);
      // Another profile may be served by the time it is asked for.
      judge((pinned && code === 'pinned') || code === 'model_not_found', code);
    }
  }

  private logger(who: string): Logger {
    const line = (level: string) => (message: string, fields?: LogFields) => {
      const text = `${who}: ${message} ${JSON.stringify(fields ?? {}, plain)}`;
      this.note(`${level} ${text}`);
      const isWarning = level === 'warn' && (this.kind === 'calm' || (this.kind === 'sleep' && message === A_FAILURE));
      const serious = level === 'error' || isWarning;
      if (serious && !EXPECTED_ERRORS.includes(message)) this.complaints.push(text);
    };
    const logger: Logger = {
      debug: () => undefined,
      info: line('info'),
      warn: line('warn'),
      error: line('error'),
      child: () => logger,
    };
    return logger;
  }
}

/** Errors have no JSON of their own. */
function plain(_key: string, value: unknown): unknown {
  return value instanceof Error ? `${value.name}: ${value.message}` : value;
}
