/**
 * What orchestra tests stand on: a simulated bus, a real frame receiver, a journal in memory, a pool whose leases the test
 * grants and takes away, and a host that says exactly what the test tells it to.
 */
import { LlamaestroError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/log.js';
import type { Bus, BusMessage } from '../../src/bus/bus.js';
import { FrameReceiver } from '../../src/bus/frame-receiver.js';
import { SimNetwork } from '../../src/bus/sim-bus.js';
import { subjects } from '../../src/bus/subjects.js';
import { MemoryJournal } from '../../src/journal/memory-journal.js';
import { createOrchestra } from '../../src/orchestra/local-orchestra.js';
import type { Orchestra, Run } from '../../src/orchestra/orchestra.js';
import type {
  Lease,
  LeaseClaim,
  LeaseProgress,
  LeaseRequest,
  Patience,
  Pool,
  PoolStatus,
} from '../../src/pool/pool.js';
import type { Bundle, Frame, FrameBody, Gen, HostCommand } from '../../src/schema/bus-messages.js';
import type { Crossing } from '../../src/profile/profile-switch.js';
import type { Profile } from '../../src/schema/profile.js';
import type { RunEvent, RunRequest } from '../../src/schema/run.js';
import { FakeClock, seededRandom } from '../support/fake-clock.js';
import { modelSpec, profileOf } from '../support/profiles.js';

export const GID = 'gw_test';
export const USAGE = { promptTokens: 3, cachedTokens: 0, completionTokens: 0 };
export const TIMINGS = { queueMs: 1, prefillMs: 2, decodeMs: 3 };
export const FINAL = final(0);
export const CANCELLED = cancelled(0);
export const STARTED: FrameBody = { type: 'started', promptTokens: 3, cachedTokens: 0 };

/** The end of an answer of so many tokens. */
export function final(completionTokens: number): FrameBody {
  return { type: 'final', reason: 'stop', usage: { ...USAGE, completionTokens }, timings: TIMINGS };
}

/** The end of an attempt that was cancelled after so many tokens. */
export function cancelled(completionTokens: number): FrameBody {
  return { type: 'cancelled', usage: { ...USAGE, completionTokens }, timings: TIMINGS };
}

/** A delta of one token per character. */
export function delta(firstIndex: number, text: string): FrameBody {
  return { type: 'delta', firstIndex, ids: [...text].map((character) => character.charCodeAt(0)), text };
}

/** A host at the end of the bus that only does what the test says. */
export class ScriptedHost {
  readonly gens: Gen[] = [];
  readonly cancels: { readonly rid: string; readonly att: number }[] = [];
  /** What `gen` and each command are answered with; undefined: never. */
  answerGen: (gen: Gen) => unknown = () => ({ ok: true, body: { waiting: 0 } });
  answerCommand: (command: HostCommand) => unknown = () => ({ ok: true, body: {} });
  /** Called after a `gen` was answered, and after a cancel. */
  onGen: (gen: Gen) => void = () => undefined;
  onCancel: (att: number) => void = () => undefined;
  private readonly seqs = new Map<string, number>();

  constructor(
    private readonly bus: Bus,
    readonly hid: string,
  ) {
    const reply = (message: BusMessage, answer: unknown): void =>
      answer === undefined ? undefined : message.respond(answer);
    bus.subscribe(subjects.host(hid, 'gen'), (message) => {
      const gen = message.body as Gen;
      this.gens.push(gen);
      reply(message, this.answerGen(gen));
      this.onGen(gen);
    });
    bus.subscribe(subjects.host(hid, 'ctl'), (message) => {
      const command = message.body as HostCommand;
      if (command.op === 'cancel') this.cancels.push({ rid: command.rid, att: command.att });
      reply(message, this.answerCommand(command));
      if (command.op === 'cancel') this.onCancel(command.att);
    });
  }

  /** Sends frames of the newest attempt, or of `gen`, in one bundle. */
  say(bodies: readonly FrameBody[], gen: Gen | undefined = this.gens.at(-1)): void {
    if (gen === undefined) throw new Error('nobody asked this host for anything');
    const { rid, att } = gen;
    const key = `${rid}/${String(att)}`;
    const frames = bodies.map((body): Frame => {
      const seq = this.seqs.get(key) ?? 0;
      this.seqs.set(key, seq + 1);
      return { rid, att, seq, ...body };
    });
    const bundle: Bundle = { v: 1, hid: this.hid, frames };
    this.bus.publish(subjects.out(gen.gid), bundle);
  }

  /** Leaves out the next frame of the newest attempt, as if it got lost for good. */
  skip(gen: Gen | undefined = this.gens.at(-1)): void {
    const key = `${gen?.rid ?? ''}/${String(gen?.att ?? 0)}`;
    this.seqs.set(key, (this.seqs.get(key) ?? 0) + 1);
  }
}

/** A lease the test watches. */
export class FakeLease implements Lease {
  readonly queueMs = 5;
  readonly loadMs = 7;
  releases = 0;
  readonly begun: number[] = [];
  private readonly controller = new AbortController();

  constructor(
    readonly model: string,
    readonly hid: string,
  ) {}

  get lost(): AbortSignal {
    return this.controller.signal;
  }
  begin(attempt: number): void {
    this.begun.push(attempt);
  }
  release(): void {
    this.releases++;
  }
  lose(error = new LlamaestroError('host_lost', 'the model host was ended by SIGKILL')): void {
    this.controller.abort(error);
  }
}

export interface Ask {
  readonly request: LeaseRequest;
  readonly signal: AbortSignal;
  tell(progress: LeaseProgress): void;
  grant(hid: string): FakeLease;
  refuse(error: LlamaestroError): void;
}

/** A pool that does what the test says: with `hid` set it grants at once. */
export class FakePool implements Pool {
  readonly asks: Ask[] = [];
  readonly leases: FakeLease[] = [];
  hid: string | undefined;
  /** A switch under way, for whoever asks. */
  crossing: Crossing | undefined;
  /** Why it lets nobody in. */
  refuses: LlamaestroError | undefined;
  readonly questions: { readonly claim: LeaseClaim; readonly patience: Patience }[] = [];
  /** Context per slot as of a loaded model; undefined: it is not loaded. */
  loadedContext: number | undefined;
  counted: () => Promise<{ tokens: number; contextTokensPerSlot: number }> = () =>
    Promise.resolve({ tokens: 3, contextTokensPerSlot: 100 });

  lease(request: LeaseRequest, signal: AbortSignal): Promise<Lease> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      const ask: Ask = {
        request,
        signal,
        tell: (progress) => request.onProgress?.(progress),
        grant: (hid) => {
          const lease = new FakeLease(request.model, hid);
          this.leases.push(lease);
          resolve(lease);
          return lease;
        },
        refuse: reject,
      };
      this.asks.push(ask);
      if (this.hid !== undefined) ask.grant(this.hid);
    });
  }
  refusal(claim: LeaseClaim, patience: Patience): LlamaestroError | undefined {
    this.questions.push({ claim, patience });
    return this.refuses;
  }
  contextTokensPerSlot(): number | undefined {
    return this.loadedContext;
  }
  count(_model: string): Promise<{ tokens: number; contextTokensPerSlot: number }> {
    return this.counted();
  }
  apply(): void {}
  warm(): Promise<void> {
    return Promise.resolve();
  }
  stage(): never {
    throw new Error('not asked for here');
  }
  embed(): Promise<never> {
    return Promise.reject(new Error('not asked for here'));
  }
  rerank(): Promise<never> {
    return Promise.reject(new Error('not asked for here'));
  }
  unload(model: string): ReturnType<Pool['unload']> {
    return Promise.resolve({ model, cutRequests: 0, devices: [], ms: 0 });
  }
  status(): PoolStatus {
    return { models: [], nodes: [], vigil: { eventLoopLagMs: 0, cpuPressure: 0, neglects: [] } };
  }
  drain(): Promise<void> {
    return Promise.resolve();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }

  /** The newest lease; there must be one. */
  get lastLease(): FakeLease {
    const lease = this.leases.at(-1);
    if (lease === undefined) throw new Error('no lease was granted');
    return lease;
  }
  /** The newest request for a lease; there must be one. */
  get lastAsk(): Ask {
    const ask = this.asks.at(-1);
    if (ask === undefined) throw new Error('nobody asked for a lease');
    return ask;
  }
}

export const PROFILE = profileOf([modelSpec('general'), modelSpec('coder')]);

export interface Stage {
  readonly clock: FakeClock;
  readonly network: SimNetwork;
  readonly bus: Bus;
  readonly receiver: FrameReceiver;
  readonly journal: MemoryJournal;
  readonly pool: FakePool;
  readonly host: ScriptedHost;
  readonly orchestra: Orchestra;
  /** Another profile is served from now on. */
  readonly switchTo: (next: Profile) => void;
  /** Closes what has timers of its own, so that what is left belongs to requests. */
  readonly strike: () => Promise<void>;
}

/** Everything connected, on a new journal unless an open one is given; the pool grants leases on the host `hid_a` at once. */
export async function stage(profile: Profile = PROFILE, opened?: MemoryJournal): Promise<Stage> {
  const clock = new FakeClock();
  const random = seededRandom(7);
  const network = new SimNetwork({ clock, random: seededRandom(8) });
  const bus = network.connect('gateway');
  const receiver = new FrameReceiver({ bus, clock, log: silentLogger, gid: GID });
  const journal = opened ?? new MemoryJournal({ keepFacts: true });
  if (opened === undefined) await journal.open();
  let served = profile;
  const pool = new FakePool();
  pool.hid = 'hid_a';
  const host = new ScriptedHost(network.connect('hid_a'), 'hid_a');
  const orchestra = createOrchestra({
    ...{ bus, receiver, clock, random, pool, journal },
    gid: GID,
    log: silentLogger,
    profile: () => served,
    crossing: () => pool.crossing,
  });
  const switchTo = (next: Profile): void => void (served = next);
  const strike = async (): Promise<void> => {
    receiver.close();
    await clock.run(100);
  };
  return { clock, network, bus, receiver, journal, pool, host, orchestra, switchTo, strike };
}

export function request(more: Partial<RunRequest> = {}): RunRequest {
  return {
    door: 'execute',
    prompt: { kind: 'messages', messages: [{ role: 'user', content: 'Hello' }] },
    promptField: 'task',
    model: 'auto',
    sampling: {},
    stop: [],
    ignoreEos: false,
    onDisconnect: 'cancel',
    warnings: [],
    ...more,
  };
}

/** The events of a run as they come; the array grows. */
export function watch(run: Run): RunEvent[] {
  const seen: RunEvent[] = [];
  void (async () => {
    for await (const event of run.events()) seen.push(event);
  })();
  return seen;
}

/** What a promise rejects with; fails when it does not. */
export async function refusal(promise: Promise<unknown>): Promise<LlamaestroError> {
  try {
    await promise;
  } catch (thrown) {
    if (thrown instanceof LlamaestroError) return thrown;
    throw thrown;
  }
  throw new Error('it was not refused');
}
