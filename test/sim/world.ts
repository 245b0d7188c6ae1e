/**
 * A whole server in one process, on one fake clock and one seed: gateways that live one after the other over one journal,
 * their hosts, the network, the weather. Knows no clients and judges nothing.
 */
import type { Logger, LogFields } from '../../src/base/log.js';
import type { Random } from '../../src/base/ports.js';
import { SimNetwork } from '../../src/bus/sim-bus.js';
import type { FakeScript } from '../../src/engine/fake-script.js';
import { MemoryJournal } from '../../src/journal/memory-journal.js';
import type { ModelSpec, Profile } from '../../src/schema/profile.js';
import { FakeClock, seededRandom } from '../support/fake-clock.js';
import { modelSpec, profileOf } from '../support/profiles.js';
import { SimGateway, type Sabotage } from './gateway.js';
import type { LeaseNote } from './history.js';
import { engineFaults, kindOf, weatherOf, type Kind, type Trouble, type Weather } from './weather.js';

const MIB = 2 ** 20;
const COMMIT_MS = 2;
/** How long clients come and things go wrong. */
export const WORK_MS = 15_000;
/** Room for the resident model and either all small ones or the big one. */
const DEVICE_BYTES = 520 * MIB;
export const TTL_MS = 8000;
/** The model that fits only when nothing but the resident one is loaded. */
export const BIGGEST = 'big';
/** Lines a failing seed shows. */
const TRACE_LINES = 60;

function model(name: string, slots: number, more: Partial<ModelSpec> = {}): ModelSpec {
  const file = `/models/${name}.gguf`;
  // Small chunks: a long prompt takes many steps, so that some are cut short before their first token.
  const load = { file, purpose: 'generate', contextTokens: slots * 1024, slots, chunkTokens: 32 } as const;
  return modelSpec(name, { load, ttlMs: TTL_MS, ...more });
}

const MODELS: readonly ModelSpec[] = [
  model('fast', 3, { residency: 'resident' }),
  model('general', 2),
  model('coder', 1),
  model(BIGGEST, 1),
  model('vectors', 1, {
    load: { file: '/models/vectors.gguf', purpose: 'embed', contextTokens: 512, slots: 1 },
  }),
];

const SIZES: Readonly<Record<string, number>> = { fast: 64, general: 128, coder: 128, [BIGGEST]: 400, vectors: 16 };

/** What each model says to everything. */
export const ANSWERS: Readonly<Record<string, string>> = Object.fromEntries(
  MODELS.map(({ name }) => [name, `I am ${name}: naïve owls – a violin 🎻.`]),
);

export const PROFILE: Profile = profileOf(MODELS, {
  defaultModel: 'general',
  routes: [
    { kind: 'code', model: 'coder' },
    { complexity: 'simple', model: 'fast' },
  ],
  timeouts: { queueMs: 10_000, requestMs: 40_000, loadMs: 20_000, ackMs: 1000, tokenMs: 5000 },
});

const SCRIPT: FakeScript = {
  devices: [{ id: 'cpu', kind: 'cpu', description: 'simulated', totalBytes: DEVICE_BYTES, freeBytes: DEVICE_BYTES }],
  models: Object.fromEntries(
    MODELS.map(({ name, load }, index) => [
      load.file,
      {
        fileBytes: (SIZES[name] ?? 0) * MIB,
        answer: ANSWERS[name] ?? '',
        loadMs: 100 + 200 * index,
        stepMs: 5 + index,
      },
    ]),
  ),
};

/** Lines of level error that only say what the weather did. */
const EXPECTED_ERRORS = ['the end of a run could not be journalled'];

export class World {
  readonly clock = new FakeClock();
  readonly network: SimNetwork;
  readonly weather: Weather;
  readonly leases: LeaseNote[] = [];
  readonly noticed: string[] = [];
  readonly complaints: string[] = [];
  /** Every life of the gateway so far. */
  readonly gateways: SimGateway[] = [];
  /** Undefined while it is down. */
  gateway: SimGateway | undefined;
  private readonly trace: string[] = [];
  private readonly fate: Random;
  private isStormOver = false;

  constructor(
    readonly seed: number,
    readonly kind: Kind = kindOf(seed),
    private readonly sabotage: Sabotage = {},
  ) {
    this.fate = this.random('fate');
    this.weather = weatherOf(kind, this.random('weather'), WORK_MS);
    const { clock, weather } = this;
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
      ...{ profile: PROFILE, script: SCRIPT, deviceBytes: DEVICE_BYTES },
      lineFaults: this.weather.fromHosts,
      random: this.random(`gateway ${String(life)}`),
      log: this.logger(`gateway ${String(life)}`),
      faultsOf: (label) => this.faultsOf(label),
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
      case 'crash-gateway': {
        this.gateway = undefined;
        gateway.crash(trouble.keepQueued);
        const disk = gateway.journal.clone();
        return void this.clock.setTimer(trouble.downMs, () => this.beginLife(disk));
      }
    }
  }

  private logger(who: string): Logger {
    const line = (level: string) => (message: string, fields?: LogFields) => {
      const text = `${who}: ${message} ${JSON.stringify(fields ?? {}, plain)}`;
      this.note(`${level} ${text}`);
      const serious = level === 'error' || (level === 'warn' && this.kind === 'calm');
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
