/** A gateway's end of the bus and one host with a fake engine, on a clock that moves when told. */
import { expect } from 'chai';
import { silentLogger } from '../../src/base/log.js';
import type { Clock } from '../../src/base/ports.js';
import type { Bus } from '../../src/bus/bus.js';
import { SimNetwork } from '../../src/bus/sim-bus.js';
import { subjects, type Verb } from '../../src/bus/subjects.js';
import { createFakeDriver } from '../../src/engine/fake-driver.js';
import type { FakeScript } from '../../src/engine/fake-script.js';
import type { EngineDriver } from '../../src/engine/engine.js';
import type { PrefixKeeper } from '../../src/host/engines.js';
import { HostServer } from '../../src/host/host-server.js';
import {
  BundleCodec,
  HostEventCodec,
  type Bundle,
  type Frame,
  type Gen,
  type HostCommand,
  type HostEvent,
} from '../../src/schema/bus-messages.js';
import { decode } from '../../src/schema/decode.js';
import type { LoadOptions } from '../../src/schema/load.js';
import { FakeClock, seededRandom } from '../support/fake-clock.js';
import type { LooseReply } from '../support/loose-reply.js';

export const MODEL = '/models/fake.gguf';
export const ANSWER = 'one two three';

export class World {
  readonly clock = new FakeClock();
  readonly network = new SimNetwork({ clock: this.clock, random: seededRandom(7) });
  readonly gateway: Bus = this.network.connect('gateway');
  readonly server: HostServer;
  readonly events: HostEvent[] = [];
  readonly bundles: Bundle[] = [];
  readonly exits: number[] = [];
  readonly driver: EngineDriver;
  /** Milliseconds that passed for the host between two of its turns: what a process that stood still sees. */
  lostMs = 0;

  constructor(script: FakeScript = {}, prefixes?: PrefixKeeper) {
    const { clock, network } = this;
    const models = { [MODEL]: { answer: ANSWER, trainedContextTokens: 65_536 }, ...script.models };
    this.driver = createFakeDriver({ clock, random: seededRandom(8), script: { ...script, models } });
    const log = silentLogger;
    const exit = (code: number): void => void this.exits.push(code);
    const bus = network.connect('host');
    const hostClock: Clock = {
      nowMs: () => clock.nowMs() + this.lostMs,
      wallMs: () => clock.wallMs(),
      setTimer: (delayMs, fn) => clock.setTimer(delayMs, fn),
    };
    this.server = new HostServer({
      ...{ bus, clock: hostClock, driver: this.driver, hid: 'h1', nid: 'n1', log, exit },
      ...(prefixes === undefined ? {} : { prefixes }),
    });
    this.gateway.subscribe(subjects.hostEvents('h1'), ({ body }) => this.events.push(decode(HostEventCodec, body)));
    this.gateway.subscribe(subjects.out('g1'), ({ body }) => this.bundles.push(decode(BundleCodec, body)));
    this.server.start();
  }

  /** Sends one request and lets time go on until it is answered. */
  async ask(verb: Verb, body: unknown): Promise<LooseReply> {
    let outcome: unknown;
    const asking = this.gateway.request(subjects.host('h1', verb), body, { timeoutMs: 60_000 });
    asking.then(
      (reply) => (outcome = reply),
      (error: unknown) => (outcome = { ok: false, error }),
    );
    await this.clock.runUntil(() => outcome !== undefined);
    return outcome as LooseReply;
  }

  command(command: HostCommand): Promise<LooseReply> {
    return this.ask('ctl', command);
  }

  gen(fields: Partial<Gen> = {}): Promise<LooseReply> {
    const prompt = { kind: 'text', text: 'hello' } as const;
    const gen: Gen = { rid: 'run_a', att: 1, gid: 'g1', ttlMs: 60_000, creditFrames: 256, prompt, ...fields };
    return this.ask('gen', gen);
  }

  /** Loads the model and waits until the host is ready. */
  async load(options: Partial<LoadOptions> = {}): Promise<void> {
    const load: LoadOptions = { file: MODEL, purpose: 'generate', ...options };
    expect(await this.command({ op: 'load', load })).to.deep.equal({ ok: true, body: {} });
    await this.clock.runUntil(() => this.lastEvent.state === 'ready');
  }

  get lastEvent(): HostEvent {
    const event = this.events.at(-1);
    if (event === undefined) throw new Error('the host has said nothing yet');
    return event;
  }

  /** Frames of one attempt so far, in order of arrival. */
  frames(rid = 'run_a', att = 1): readonly Frame[] {
    return this.bundles.flatMap(({ frames }) => frames).filter((frame) => frame.rid === rid && frame.att === att);
  }

  /** Lets time go on until an attempt has its terminal frame; returns that. */
  async terminal(rid = 'run_a', att = 1, limitMs = 120_000): Promise<Frame> {
    const isTerminal = ({ type }: Frame): boolean => ['final', 'error', 'cancelled'].includes(type);
    await this.clock.runUntil(() => this.frames(rid, att).some(isTerminal), limitMs);
    const frame = this.frames(rid, att).find(isTerminal);
    if (frame === undefined) throw new Error('no terminal frame');
    return frame;
  }

  text(rid = 'run_a', att = 1): string {
    return this.frames(rid, att)
      .map((frame) => (frame.type === 'delta' ? frame.text : ''))
      .join('');
  }
}

/** A prompt of so many tokens for the fake engine, which has one per byte. */
export function longPrompt(tokens: number): Gen['prompt'] {
  return { kind: 'text', text: 'x'.repeat(tokens) };
}

/** The code of an error frame, or the type of any other. */
export function wordOf(frame: Frame): string {
  return frame.type === 'error' ? frame.error.code : frame.type;
}
