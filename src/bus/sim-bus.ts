/**
 * The bus of the simulator: many connections in one process, on a clock and a randomness one can replay. Without faults
 * it behaves like core NATS on a live connection: small delays, order kept per pair of connections, nothing lost. Faults
 * (drop, duplicate, reorder, partition, kill) are asked for, because core NATS itself does none of the first three.
 */
import { assert } from '../base/assert.js';
import { silentLogger, type Logger } from '../base/log.js';
import type { Clock, Random, Timer } from '../base/ports.js';
import { announce, deliverTo, encodeBody } from './body.js';
import type { Bus, BusMessage, RequestOptions, Subscription } from './bus.js';
import { busClosed, RequestTable } from './request-table.js';
import { patternTokens } from './subject-syntax.js';
import { SubjectTree, type Listener } from './subject-tree.js';

/** Chances are in [0, 1] per message and receiver; delays in milliseconds. */
export interface SimFaults {
  readonly minDelayMs: number;
  readonly maxDelayMs: number;
  readonly drop: number;
  readonly duplicate: number;
  /** Chance that a message may be overtaken; takes up to `reorderMs` longer. */
  readonly reorder: number;
  readonly reorderMs: number;
}

export const NO_FAULTS: SimFaults = {
  minDelayMs: 0.05,
  maxDelayMs: 1,
  drop: 0,
  duplicate: 0,
  reorder: 0,
  reorderMs: 50,
};

/** How long a partition stays unnoticed: two missed pings of five seconds. */
const NOTICE_MS = 10_000;
const DEFAULT_PAYLOAD_BYTES = 1024 * 1024;

export interface SimNetworkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly faults?: Partial<SimFaults>;
  readonly log?: Logger;
  readonly maxPayloadBytes?: number;
}

interface SimMessage {
  readonly from: SimBus;
  readonly subject: string;
  readonly reply: string | undefined;
  readonly json: string;
}

interface SimListener extends Listener {
  readonly bus: SimBus;
  readonly take: (message: SimMessage) => void;
  gone: boolean;
}

export class SimNetwork {
  /** Used by the connections of this file only. */
  readonly tree = new SubjectTree<SimListener>();
  readonly #buses = new Map<string, SimBus>();
  readonly #lastArrivalMs = new Map<string, number>();
  readonly #faults: SimFaults;
  readonly #linkFaults = new Map<string, SimFaults>();
  /** What happened to messages so far. */
  readonly counts = { published: 0, delivered: 0, dropped: 0, duplicated: 0, reordered: 0 };

  constructor(readonly options: SimNetworkOptions) {
    this.#faults = { ...NO_FAULTS, ...options.faults };
  }

  /** A new connection; `name` is free to use again after `kill` or `close`. */
  connect(name: string): Bus {
    assert(!this.#buses.has(name), `'${name}' is connected already`);
    const bus = new SimBus(name, this);
    this.#buses.set(name, bus);
    return bus;
  }

  /** Replaces the faults of messages from one connection to another; undefined goes back to those of the network. */
  setLinkFaults(from: string, to: string, faults: Partial<SimFaults> | undefined): void {
    const key = `${from} ${to}`;
    if (faults === undefined) this.#linkFaults.delete(key);
    else this.#linkFaults.set(key, { ...NO_FAULTS, ...faults });
  }

  /**
   * Cuts the line of one connection. What is under way waits, as in TCP; unless healed within ten seconds both ends
   * notice: 'lost', subscriptions gone at the broker, what waited is dropped.
   */
  partition(name: string): void {
    this.#buses.get(name)?.partition();
  }

  /** Repairs the line: what waited arrives, or the connection is 'back' with its subscriptions. */
  heal(name: string): void {
    this.#buses.get(name)?.heal();
  }

  /** The process died: nothing is published or delivered any more, its promises never settle, its timers are gone. */
  kill(name: string): void {
    this.#buses.get(name)?.die();
    this.#buses.delete(name);
  }

  /** Used by the connections of this file only. */
  forget(name: string): void {
    this.#buses.delete(name);
  }

  /** Routes a message at the broker; false when nobody listens. */
  route(message: SimMessage): boolean {
    this.counts.published++;
    const matches = this.tree.match(message.subject);
    assert(matches !== undefined, `'${message.subject}' is not a subject`);
    const receivers = [...matches.each];
    for (const group of matches.groups.values()) {
      const member = group[Math.floor(this.options.random.next() * group.length)];
      if (member !== undefined) receivers.push(member);
    }
    for (const receiver of receivers) this.#carry(message, receiver);
    return receivers.length > 0;
  }

  /** When a message sent now arrives; keeps order on the link unless this one may be overtaken. */
  arrivalMs(from: string, to: string, faults: SimFaults, overtaken: boolean): number {
    const { clock, random } = this.options;
    const delayMs = faults.minDelayMs + random.next() * (faults.maxDelayMs - faults.minDelayMs);
    if (overtaken) return clock.nowMs() + delayMs + random.next() * faults.reorderMs;
    const key = `${from} ${to}`;
    const arrivalMs = Math.max(clock.nowMs() + delayMs, this.#lastArrivalMs.get(key) ?? 0);
    this.#lastArrivalMs.set(key, arrivalMs);
    return arrivalMs;
  }

  faultsOf(from: string, to: string): SimFaults {
    return this.#linkFaults.get(`${from} ${to}`) ?? this.#faults;
  }

  #carry(message: SimMessage, receiver: SimListener): void {
    const [from, to] = [message.from.name, receiver.bus.name];
    const faults = this.faultsOf(from, to);
    const happens = (chance: number): boolean => chance > 0 && this.options.random.next() < chance;
    if (happens(faults.drop)) {
      this.counts.dropped++;
      return;
    }
    const copies = happens(faults.duplicate) ? 2 : 1;
    this.counts.duplicated += copies - 1;
    for (let copy = 0; copy < copies; copy++) {
      const overtaken = happens(faults.reorder);
      if (overtaken) this.counts.reordered++;
      receiver.bus.expect(this.arrivalMs(from, to, faults, overtaken), () => {
        if (receiver.gone) return;
        this.counts.delivered++;
        receiver.take(message);
      });
    }
  }
}

class SimBus implements Bus {
  readonly maxPayloadBytes: number;
  #state: 'live' | 'cut' | 'lost' | 'closing' | 'closed' | 'dead' = 'live';
  #notice: Timer | undefined;
  #lastArrivalMs = 0;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #inbox: string;
  readonly #requests: RequestTable;
  readonly #listeners = new Set<SimListener>();
  readonly #statusListeners = new Set<(status: 'lost' | 'back') => void>();
  /** What waits while the line is cut, in order, both directions. */
  #waiting: (() => void)[] = [];

  constructor(
    readonly name: string,
    private readonly network: SimNetwork,
  ) {
    const { clock, random, log, maxPayloadBytes } = network.options;
    this.maxPayloadBytes = maxPayloadBytes ?? DEFAULT_PAYLOAD_BYTES;
    this.#log = log ?? silentLogger;
    this.#clock = clock;
    this.#inbox = `_INBOX.${random.id('in')}`;
    this.#requests = new RequestTable(clock);
    this.#listen(`${this.#inbox}.*`, undefined, (message) => {
      const token = message.subject.slice(this.#inbox.length + 1);
      this.#requests.resolve(token, JSON.parse(message.json));
    });
  }

  publish(subject: string, body: unknown): void {
    this.#send(subject, body, undefined);
  }

  request(subject: string, body: unknown, { timeoutMs }: RequestOptions, signal?: AbortSignal): Promise<unknown> {
    if (this.#state === 'dead') return new Promise(() => undefined);
    return this.#requests.open(subject, timeoutMs, signal, (token) => {
      if (this.#state === 'closing' || this.#state === 'closed') throw busClosed();
      this.#send(subject, body, token);
    });
  }

  subscribe(subject: string, handler: (message: BusMessage) => void, queue?: string): Subscription {
    assert(patternTokens(subject) !== undefined, `'${subject}' is not a subject pattern`);
    if (this.#state === 'closing' || this.#state === 'closed') throw busClosed();
    const listener = this.#listen(subject, queue, (message) => {
      const respond = (answer: unknown): void => (message.reply ? this.publish(message.reply, answer) : undefined);
      deliverTo(handler, { subject: message.subject, body: JSON.parse(message.json), respond }, this.#log);
    });
    return {
      unsubscribe: () => {
        listener.gone = true;
        this.#listeners.delete(listener);
        this.network.tree.remove(listener);
      },
    };
  }

  flush(): Promise<void> {
    const { maxDelayMs } = this.network.faultsOf(this.name, this.name);
    return new Promise((resolve) => this.#clock.setTimer(2 * maxDelayMs, resolve));
  }

  onStatus(listener: (status: 'lost' | 'back') => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  async close(): Promise<void> {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.#state = 'closing';
    for (const listener of this.#listeners) this.network.tree.remove(listener);
    const waitMs = this.#lastArrivalMs - this.#clock.nowMs();
    if (waitMs > 0) await new Promise<void>((resolve) => void this.#clock.setTimer(waitMs, resolve));
    this.#end('closed');
    this.#requests.rejectAll(busClosed());
  }

  /** A message is on its way to this connection. */
  expect(arrivalMs: number, arrive: () => void): void {
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, arrivalMs);
    this.#clock.setTimer(arrivalMs - this.#clock.nowMs(), () => this.#onLine(arrive));
  }

  partition(): void {
    if (this.#state !== 'live') return;
    this.#state = 'cut';
    this.#notice = this.#clock.setTimer(NOTICE_MS, () => {
      this.#state = 'lost';
      this.#waiting = [];
      for (const listener of this.#listeners) this.network.tree.remove(listener);
      announce('lost', this.#statusListeners, this.#log);
    });
  }

  heal(): void {
    if (this.#state !== 'cut' && this.#state !== 'lost') return;
    const wasLost = this.#state === 'lost';
    this.#notice?.cancel();
    this.#state = 'live';
    const waiting = this.#waiting;
    this.#waiting = [];
    if (wasLost) for (const listener of this.#listeners) this.network.tree.add(listener);
    for (const pass of waiting) pass();
    if (wasLost) announce('back', this.#statusListeners, this.#log);
  }

  die(): void {
    this.#end('dead');
    this.#requests.abandonAll();
    this.#statusListeners.clear();
  }

  #end(state: 'closed' | 'dead'): void {
    this.#state = state;
    this.#notice?.cancel();
    this.#waiting = [];
    for (const listener of this.#listeners) {
      listener.gone = true;
      this.network.tree.remove(listener);
    }
    this.#listeners.clear();
    this.network.forget(this.name);
  }

  /** Runs `pass` now, after the cut is healed, or never. */
  #onLine(pass: () => void): void {
    if (this.#state === 'cut') this.#waiting.push(pass);
    else if (this.#state === 'live' || this.#state === 'closing') pass();
  }

  #listen(pattern: string, queue: string | undefined, take: (message: SimMessage) => void): SimListener {
    const listener: SimListener = { pattern, queue, bus: this, take, gone: false };
    this.#listeners.add(listener);
    if (this.#state !== 'lost') this.network.tree.add(listener);
    return listener;
  }

  #send(subject: string, body: unknown, token: string | undefined): void {
    const json = encodeBody(body, this.maxPayloadBytes).toString('utf8');
    const reply = token === undefined ? undefined : `${this.#inbox}.${token}`;
    const pass = (): void => {
      if (token !== undefined && !this.#requests.has(token)) return;
      if (this.network.route({ from: this, subject, reply, json }) || token === undefined) return;
      const faults = this.network.faultsOf(this.name, this.name);
      const arrivalMs = this.network.arrivalMs(this.name, this.name, faults, false);
      this.expect(arrivalMs, () => this.#requests.rejectNobody(token));
    };
    if (this.#state === 'lost' && token !== undefined) this.#waiting.push(pass);
    else this.#onLine(pass);
  }
}
