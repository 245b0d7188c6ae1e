/**
 * One client of the embedded bus: carries out what its parser reads and writes what the router delivers. Owns its socket
 * and its subscriptions; a client that breaks a rule or does not read is cut here.
 */
import { timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Logger } from '../../base/log.js';
import type { Clock, Timer } from '../../base/ports.js';
import { patternTokens } from '../subject-syntax.js';
import type { BrokerLimits } from './limits.js';
import { ProtocolParser, type ConnectOptions, type Operation } from './protocol-parser.js';
import { errorLine, messageBytes, OK, PONG } from './protocol-writer.js';
import type { Message, Peer, Router, Subscriber } from './router.js';

/** Writes of one turn up to this size leave as one buffer. */
const JOIN_BYTES = 64 * 1024;

export interface ConnectionContext {
  readonly id: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: BrokerLimits;
  readonly router: Router;
  readonly token: string;
  /** Called once, when the connection is gone. */
  readonly onGone: (connection: Connection) => void;
}

interface Subscription extends Subscriber {
  readonly peer: Connection;
  /** Messages after which it ends by itself. */
  max: number | undefined;
  delivered: number;
}

function sameToken(given: string, wanted: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(wanted)];
  return left.length === right.length && timingSafeEqual(left, right);
}

export class Connection implements Peer {
  echo = true;
  noResponders = false;
  #client: ConnectOptions | undefined;
  #gone = false;
  #out: Buffer[] = [];
  #outBytes = 0;
  readonly #parser: ProtocolParser;
  readonly #subscriptions = new Map<string, Subscription>();
  /** For a client that does not say who it is, later for one that does not take its last bytes. */
  #timer: Timer;

  /** Takes over `socket`. `greeting` is the INFO line. */
  constructor(
    private readonly socket: Socket,
    greeting: Buffer,
    private readonly context: ConnectionContext,
  ) {
    this.#parser = new ProtocolParser(context.limits, (operation) => this.#carryOut(operation));
    this.#timer = context.clock.setTimer(context.limits.authMs, () => this.#refuse('Authentication Timeout'));
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      const violation = this.#parser.push(chunk);
      if (violation !== undefined) this.#refuse(violation);
    });
    socket.on('error', () => this.cut());
    socket.on('close', () => this.cut());
    this.#write(greeting);
  }

  deliver(subscriber: Subscriber, message: Message): void {
    const subscription = this.#subscriptions.get(subscriber.sid);
    if (this.#gone || subscription === undefined) return;
    const plain = message.headerBytes > 0 && this.#client?.headers !== true;
    const payload = plain ? message.payload.subarray(message.headerBytes) : message.payload;
    const headerBytes = plain ? 0 : message.headerBytes;
    const { subject, reply } = message;
    this.#write(messageBytes({ subject, sid: subscriber.sid, reply, headerBytes, payload }));
    subscription.delivered++;
    if (subscription.max !== undefined && subscription.delivered >= subscription.max) this.#end(subscription);
  }

  /** Says what is left to say and closes; cut when the client does not take it within `closeMs`. */
  close(): void {
    if (this.#gone) return;
    this.#flush();
    this.socket.end();
    this.#timer.cancel();
    this.#timer = this.context.clock.setTimer(this.context.limits.closeMs, () => this.cut());
  }

  /** Ends the connection at once. Idempotent. */
  cut(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#parser.stop();
    this.#timer.cancel();
    for (const subscription of this.#subscriptions.values()) this.context.router.remove(subscription);
    this.#subscriptions.clear();
    this.#out = [];
    this.socket.destroy();
    this.context.onGone(this);
  }

  #refuse(reason: string): void {
    if (this.#gone) return;
    this.context.log.warn('a bus connection was refused', { ...this.#who(), reason });
    this.#parser.stop();
    this.#write(errorLine(reason));
    this.close();
  }

  #who(): { connection: number; client: string } {
    return { connection: this.context.id, client: this.#client?.name ?? '' };
  }

  #carryOut(operation: Operation): void {
    if (operation.op === 'connect') return this.#connect(operation.options);
    if (this.#client === undefined) return this.#refuse('Authorization Violation');
    switch (operation.op) {
      case 'ping':
        return this.#write(PONG);
      case 'pong':
        return;
      case 'sub':
        return this.#subscribe(operation.subject, operation.queue, operation.sid);
      case 'unsub':
        return this.#unsubscribe(operation.sid, operation.max);
      case 'pub':
        if (!this.context.router.publish(this, operation)) return this.#write(errorLine('Invalid Publish Subject'));
        return this.#confirm();
    }
  }

  #connect(options: ConnectOptions): void {
    if (!sameToken(options.token, this.context.token)) return this.#refuse('Authorization Violation');
    this.#timer.cancel();
    this.#client = options;
    this.echo = options.echo;
    this.noResponders = options.noResponders;
    this.#confirm();
  }

  #confirm(): void {
    if (this.#client?.verbose === true) this.#write(OK);
  }

  #subscribe(pattern: string, queue: string | undefined, sid: string): void {
    if (patternTokens(pattern) === undefined) return this.#write(errorLine('Invalid Subject'));
    if (this.#subscriptions.size >= this.context.limits.subscriptionsPerConnection) {
      this.context.log.warn('a bus connection has too many subscriptions', this.#who());
      return this.#write(errorLine('maximum subscriptions exceeded'));
    }
    const former = this.#subscriptions.get(sid);
    if (former === undefined) {
      const subscription: Subscription = { pattern, queue, sid, peer: this, max: undefined, delivered: 0 };
      this.#subscriptions.set(sid, subscription);
      this.context.router.add(subscription);
    }
    this.#confirm();
  }

  #unsubscribe(sid: string, max: number | undefined): void {
    const subscription = this.#subscriptions.get(sid);
    if (subscription !== undefined) {
      if (max === undefined || subscription.delivered >= max) this.#end(subscription);
      else subscription.max = max;
    }
    this.#confirm();
  }

  #end(subscription: Subscription): void {
    this.#subscriptions.delete(subscription.sid);
    this.context.router.remove(subscription);
  }

  /** Joins what one turn of the event loop writes; a client that lets too much pile up is cut. */
  #write(bytes: Buffer): void {
    if (this.#gone) return;
    const pendingBytes = this.socket.writableLength + this.#outBytes + bytes.length;
    if (pendingBytes > this.context.limits.pendingBytes) {
      this.context.log.warn('a slow bus connection was cut', { ...this.#who(), pendingBytes });
      return this.cut();
    }
    if (this.#out.push(bytes) === 1) process.nextTick(() => this.#flush());
    this.#outBytes += bytes.length;
  }

  #flush(): void {
    if (this.#gone || this.#out.length === 0) return;
    const [out, bytes] = [this.#out, this.#outBytes];
    this.#out = [];
    this.#outBytes = 0;
    if (bytes <= JOIN_BYTES) {
      this.socket.write(out.length === 1 && out[0] !== undefined ? out[0] : Buffer.concat(out, bytes));
      return;
    }
    this.socket.cork();
    for (const piece of out) this.socket.write(piece);
    this.socket.uncork();
  }
}
