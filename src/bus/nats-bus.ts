/**
 * The bus over the core NATS protocol, to the embedded broker or to a nats-server: the only file that knows the `nats`
 * client. Adds what the client leaves open: requests on our own clock, a payload limit checked before anything is sent,
 * handlers that may throw, and a connection that never gives up.
 */
import {
  connect,
  NatsError,
  type ErrorCode,
  type Msg,
  type NatsConnection,
  type Subscription as NatsSubscription,
} from 'nats';
import { assert } from '../base/assert.js';
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import { sleep, type Clock, type Random } from '../base/ports.js';
import { announce, decodeBody, deliverTo, encodeBody } from './body.js';
import type { Bus, BusMessage, RequestOptions, Subscription } from './bus.js';
import { parseNatsServers, type NatsServers } from './nats-servers.js';
import { busClosed, RequestTable } from './request-table.js';
import { patternTokens, subjectTokens } from './subject-syntax.js';

const RECONNECT_MS = 250;
const RECONNECT_JITTER_MS = 100;
/** Two unanswered pings in a row are a lost connection. */
const PING_MS = 5000;
const PINGS_UNANSWERED = 2;
const DIAL_MS = 5000;
/** Longest wait for what is under way when the bus closes. */
const DRAIN_MS = 5000;
/** After the connection is back, "nobody listens" is not believed for so long: other clients dial again as we did. */
const RETURN_MS = 2000;
/** Requests made while the connection is lost; they leave when it is back. */
const MAX_HELD_REQUESTS = 1024;

export interface NatsBusOptions {
  /** `nats://[user:pass@]host[:port]`, several separated by commas or as a list; `tls://` for an encrypted connection. */
  readonly servers: string | readonly string[];
  readonly token?: string;
  readonly user?: string;
  readonly pass?: string;
  /** Shown in the server's list of connections and in its log. */
  readonly name: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * Connects; rejects with `no_host` when nothing answers and `unauthorized` when the credentials are refused. Afterwards
 * a lost connection is dialled again without end: what is published meanwhile is lost, requests wait for the connection
 * within their own time, subscriptions come back by themselves.
 */
export async function connectNats(options: NatsBusOptions): Promise<Bus> {
  const servers = parseNatsServers(options.servers);
  const token = options.token ?? servers.token;
  const user = options.user ?? servers.user;
  const pass = options.pass ?? servers.pass;
  try {
    const connection = await connect({
      servers: [...servers.addresses],
      ...(token === undefined ? {} : { token }),
      ...(user === undefined ? {} : { user }),
      ...(pass === undefined ? {} : { pass }),
      ...(servers.tls ? { tls: {} } : {}),
      name: options.name,
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_MS,
      reconnectJitter: RECONNECT_JITTER_MS,
      reconnectJitterTLS: RECONNECT_JITTER_MS,
      ignoreAuthErrorAbort: true,
      pingInterval: PING_MS,
      maxPingOut: PINGS_UNANSWERED,
      timeout: DIAL_MS,
    });
    return new NatsBus(connection, options);
  } catch (error) {
    throw connectError(error, servers);
  }
}

function connectError(thrown: unknown, servers: NatsServers): LlamaestroError {
  const where = servers.addresses.join(', ');
  if (thrown instanceof NatsError && thrown.isAuthError()) {
    const remedy = 'Check the token, or the user and password, of the bus.';
    return new LlamaestroError('unauthorized', `the bus at ${where} refused our credentials`, {
      remedy,
      cause: thrown,
    });
  }
  const why = thrown instanceof Error ? thrown.message : String(thrown);
  const remedy = 'Check NATS_URL and that the server there is running.';
  return new LlamaestroError('no_host', `no bus at ${where}: ${why}`, { remedy, cause: thrown });
}

class NatsBus implements Bus {
  #maxPayloadBytes: number;
  #state: 'live' | 'lost' | 'closing' | 'closed' = 'live';
  #closing: Promise<void> | undefined;
  readonly #inbox: string;
  readonly #requests: RequestTable;
  /** Tokens of requests that leave when the connection is back. */
  readonly #held = new Set<string>();
  #backSinceMs = -Infinity;
  readonly #listeners = new Set<(status: 'lost' | 'back') => void>();

  constructor(
    private readonly connection: NatsConnection,
    private readonly options: NatsBusOptions,
  ) {
    this.#maxPayloadBytes = this.#limitOfServer(0);
    this.#inbox = `_INBOX.${options.random.id('in')}`;
    this.#requests = new RequestTable(options.clock);
    connection.subscribe(`${this.#inbox}.*`, { callback: (error, message) => this.#takeReply(error, message) });
    void this.#watch();
  }

  get maxPayloadBytes(): number {
    return this.#maxPayloadBytes;
  }

  publish(subject: string, body: unknown): void {
    this.#send(subject, encodeBody(body, this.#maxPayloadBytes), undefined);
  }

  async request(subject: string, body: unknown, options: RequestOptions, signal?: AbortSignal): Promise<unknown> {
    const bytes = encodeBody(body, this.#maxPayloadBytes);
    return this.#requests.open(subject, options.timeoutMs, signal, (token) => {
      if (this.#state === 'closed' || this.#state === 'closing') throw busClosed();
      if (this.#state === 'live') return this.#send(subject, bytes, `${this.#inbox}.${token}`);
      if (this.#held.size >= MAX_HELD_REQUESTS) throw new LlamaestroError('no_host', 'the bus connection is lost');
      this.#held.add(token);
    });
  }

  subscribe(subject: string, handler: (message: BusMessage) => void, queue?: string): Subscription {
    assert(patternTokens(subject) !== undefined, `'${subject}' is not a subject pattern`);
    if (this.#state === 'closed' || this.#state === 'closing') throw busClosed();
    const { log } = this.options;
    const callback = (error: Error | null, message: Msg): void => {
      if (error !== null) return log.error('a bus subscription ended', { subject, error });
      const received = this.#received(message);
      if (received !== undefined) deliverTo(handler, received, log);
    };
    const inner: NatsSubscription = this.connection.subscribe(
      subject,
      queue === undefined ? { callback } : { callback, queue },
    );
    return {
      unsubscribe: () => {
        if (!this.connection.isClosed() && !inner.isClosed()) inner.unsubscribe();
      },
    };
  }

  async flush(): Promise<void> {
    try {
      await this.connection.flush();
    } catch (cause) {
      throw new LlamaestroError('no_host', 'the bus connection is lost', { cause });
    }
  }

  onStatus(listener: (status: 'lost' | 'back') => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#drain();
    return this.#closing;
  }

  async #drain(): Promise<void> {
    const live = this.#state === 'live';
    this.#state = 'closing';
    const stopWaiting = new AbortController();
    const patience = sleep(this.options.clock, DRAIN_MS, stopWaiting.signal).catch(() => undefined);
    if (live) await Promise.race([this.connection.drain().catch(() => undefined), patience]);
    stopWaiting.abort();
    this.#state = 'closed';
    this.#held.clear();
    this.#requests.rejectAll(busClosed());
    this.#listeners.clear();
    await this.connection.close();
  }

  #send(subject: string, bytes: Uint8Array, reply: string | undefined): void {
    assert(subjectTokens(subject) !== undefined, `'${subject}' is not a subject`);
    if (this.#state === 'lost' || this.#state === 'closed') return;
    try {
      this.connection.publish(subject, bytes, reply === undefined ? undefined : { reply });
    } catch (error) {
      this.options.log.warn('a message was not published', { subject, error });
    }
  }

  #received(message: Msg): BusMessage | undefined {
    const { subject, reply } = message;
    try {
      const body = decodeBody(message.data);
      return { subject, body, respond: (answer) => (reply ? this.publish(reply, answer) : undefined) };
    } catch (error) {
      this.options.log.warn('a message that is not JSON was dropped', { subject, bytes: message.data.length, error });
      return undefined;
    }
  }

  #takeReply(error: NatsError | null, message: Msg): void {
    if (error !== null) return this.options.log.error('the inbox of the bus failed', { error });
    const token = message.subject.slice(this.#inbox.length + 1);
    if (!this.#requests.has(token)) return;
    if (message.data.length === 0 && message.headers?.code === 503) {
      return this.#takeNobody(token);
    }
    const received = this.#received(message);
    if (received !== undefined) return this.#requests.resolve(token, received.body);
    this.#requests.reject(token, new LlamaestroError('internal', 'the answer on the bus is not JSON'));
  }

  /** Right after a restart of the server the others may still be on their way back. */
  #takeNobody(token: string): void {
    const { clock } = this.options;
    if (clock.nowMs() - this.#backSinceMs > RETURN_MS) return this.#requests.rejectNobody(token);
    clock.setTimer(RECONNECT_MS, () => this.#requests.send(token));
  }

  #limitOfServer(otherwise: number): number {
    return this.connection.info?.max_payload ?? otherwise;
  }

  async #watch(): Promise<void> {
    const { log, name } = this.options;
    for await (const { type, data } of this.connection.status()) {
      if (type === 'disconnect') this.#turn('lost');
      else if (type === 'reconnect') this.#turn('back');
      else if (type === 'error') log.warn('the bus server complained', { name, code: data as ErrorCode });
    }
    const error = await this.connection.closed();
    if (this.#closing !== undefined) return;
    log.error('the bus connection ended for good', { name, ...(error instanceof Error ? { error } : {}) });
    this.#turn('lost');
  }

  #turn(status: 'lost' | 'back'): void {
    if (this.#state === 'closing' || this.#state === 'closed') return;
    this.#state = status === 'back' ? 'live' : 'lost';
    this.options.log.warn(`the bus connection is ${status}`, { name: this.options.name });
    if (status === 'back') {
      this.#maxPayloadBytes = this.#limitOfServer(this.#maxPayloadBytes);
      this.#backSinceMs = this.options.clock.nowMs();
      for (const token of this.#held) this.#requests.send(token);
      this.#held.clear();
    }
    announce(status, this.#listeners, this.options.log);
  }
}
