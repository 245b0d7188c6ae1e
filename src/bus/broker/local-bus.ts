/**
 * The bus of the process that carries the broker: a peer of the router without a socket, so that what hosts send is
 * decoded where it arrives and handed over in the same turn of the event loop. Bodies still pass as bytes, so nobody
 * shares an object with anybody. Knows no connection, and is never lost.
 */
import { assert } from '../../base/assert.js';
import { LlamaestroError } from '../../base/errors.js';
import type { Logger } from '../../base/log.js';
import type { Clock, Random } from '../../base/ports.js';
import { decodeBody, deliverTo, encodeBody } from '../body.js';
import type { Bus, BusMessage, RequestOptions, Subscription } from '../bus.js';
import { busClosed, RequestTable } from '../request-table.js';
import { patternTokens, subjectTokens } from '../subject-syntax.js';
import type { Message, Peer, Router, Subscriber } from './router.js';

/** Messages that wait for the end of the turn in which they came; more are dropped. */
export const MAX_QUEUED_MESSAGES = 65_536;

export interface LocalBusOptions {
  readonly router: Router;
  readonly maxPayloadBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

interface LocalSubscription extends Subscriber {
  readonly take: (message: Message) => void;
  gone: boolean;
}

/** The router works on subjects as the protocol reads them: UTF-8 bytes as latin1. */
function toWire(subject: string): string {
  return Buffer.from(subject, 'utf8').toString('latin1');
}

function fromWire(subject: string): string {
  return Buffer.from(subject, 'latin1').toString('utf8');
}

export class LocalBus implements Bus, Peer {
  readonly echo = true;
  readonly noResponders = true;
  readonly #inbox: string;
  readonly #requests: RequestTable;
  readonly #subscriptions = new Map<string, LocalSubscription>();
  #queue: (() => void)[] = [];
  #lastSid = 0;
  #closed = false;

  constructor(private readonly options: LocalBusOptions) {
    this.#inbox = `_INBOX.${options.random.id('in')}`;
    this.#requests = new RequestTable(options.clock);
    this.#listen(`${this.#inbox}.*`, undefined, (message) => this.#takeReply(message));
  }

  get maxPayloadBytes(): number {
    return this.options.maxPayloadBytes;
  }

  publish(subject: string, body: unknown): void {
    this.#send(subject, encodeBody(body, this.maxPayloadBytes), undefined);
  }

  async request(subject: string, body: unknown, options: RequestOptions, signal?: AbortSignal): Promise<unknown> {
    const bytes = encodeBody(body, this.maxPayloadBytes);
    return this.#requests.open(subject, options.timeoutMs, signal, (token) => {
      if (this.#closed) throw busClosed();
      this.#send(subject, bytes, `${this.#inbox}.${token}`);
    });
  }

  subscribe(subject: string, handler: (message: BusMessage) => void, queue?: string): Subscription {
    assert(patternTokens(subject) !== undefined, `'${subject}' is not a subject pattern`);
    if (this.#closed) throw busClosed();
    const subscription = this.#listen(toWire(subject), queue, (message) => this.#hand(subscription, message, handler));
    return { unsubscribe: () => this.#end(subscription) };
  }

  /** The router is called at once, so there is nothing to wait for but what is queued here. */
  async flush(): Promise<void> {
    await Promise.resolve();
  }

  /** Never calls: this bus lives as long as its process. */
  onStatus(): () => void {
    return () => undefined;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#drain();
    this.#closed = true;
    for (const subscription of [...this.#subscriptions.values()]) this.#end(subscription);
    this.#requests.rejectAll(busClosed());
  }

  deliver({ sid }: Subscriber, message: Message): void {
    this.#subscriptions.get(sid)?.take(message);
  }

  #listen(pattern: string, queue: string | undefined, take: (message: Message) => void): LocalSubscription {
    const sid = String(++this.#lastSid);
    const subscription: LocalSubscription = { pattern, queue, sid, peer: this, take, gone: false };
    this.#subscriptions.set(sid, subscription);
    this.options.router.add(subscription);
    return subscription;
  }

  #end(subscription: LocalSubscription): void {
    subscription.gone = true;
    this.#subscriptions.delete(subscription.sid);
    this.options.router.remove(subscription);
  }

  #send(subject: string, payload: Buffer, reply: string | undefined): void {
    assert(subjectTokens(subject) !== undefined, `'${subject}' is not a subject`);
    if (this.#closed) return;
    this.options.router.publish(this, { subject: toWire(subject), reply, headerBytes: 0, payload });
  }

  #hand(subscription: LocalSubscription, message: Message, handler: (message: BusMessage) => void): void {
    const body = this.#bodyOf(message);
    if (body === undefined) return;
    const subject = fromWire(message.subject);
    const { reply } = message;
    const respond = (answer: unknown): void =>
      reply === undefined ? undefined : this.publish(fromWire(reply), answer);
    const received: BusMessage = { subject, body: body.value, respond };
    this.#later(() => {
      if (!subscription.gone) deliverTo(handler, received, this.options.log);
    });
  }

  #takeReply(message: Message): void {
    const token = message.subject.slice(this.#inbox.length + 1);
    if (!this.#requests.has(token)) return;
    const { headerBytes, payload } = message;
    if (headerBytes > 0 && headerBytes === payload.length) {
      return this.#later(() => this.#requests.rejectNobody(token));
    }
    const body = this.#bodyOf(message);
    this.#later(() => {
      if (body !== undefined) return this.#requests.resolve(token, body.value);
      this.#requests.reject(token, new LlamaestroError('internal', 'the answer on the bus is not JSON'));
    });
  }

  /** Decoded at once, because the bytes may share memory with the chunk they came in. */
  #bodyOf({ subject, payload, headerBytes }: Message): { readonly value: unknown } | undefined {
    const bytes = payload.subarray(headerBytes);
    try {
      return { value: decodeBody(bytes) };
    } catch (error) {
      this.options.log.warn('a message that is not JSON was dropped', { subject, bytes: bytes.length, error });
      return undefined;
    }
  }

  /** After the caller's own work, in order: no handler runs inside somebody's `publish`. */
  #later(work: () => void): void {
    if (this.#queue.length >= MAX_QUEUED_MESSAGES) {
      return this.options.log.warn('a message was dropped: too many came at once', { limit: MAX_QUEUED_MESSAGES });
    }
    if (this.#queue.push(work) === 1) queueMicrotask(() => this.#drain());
  }

  #drain(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const work of queue) work();
  }
}
