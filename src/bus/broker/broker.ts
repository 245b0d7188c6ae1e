/**
 * The embedded bus: the core subset of the NATS protocol on the loopback interface, so that nothing has to be installed.
 * It is not a NATS server: no persistence, no accounts, no TLS, no clusters. Opens the door and counts who is inside;
 * everything else is in `connection`, `router` and `protocol-*`.
 */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Logger } from '../../base/log.js';
import type { Clock, Random } from '../../base/ports.js';
import type { Bus } from '../bus.js';
import { Connection } from './connection.js';
import { DEFAULT_BROKER_LIMITS, type BrokerLimits } from './limits.js';
import { LocalBus } from './local-bus.js';
import { errorLine, infoLine } from './protocol-writer.js';
import { Router } from './router.js';

const LOOPBACK = '127.0.0.1';

export interface BrokerOptions {
  readonly clock: Clock;
  /** Source of the token (128 bits when it is the system's) and of the choice within queue groups. */
  readonly random: Random;
  readonly log: Logger;
  readonly limits?: Partial<BrokerLimits>;
  /** Default 0: any free port. */
  readonly port?: number;
  /** Default: a new one. */
  readonly token?: string;
}

export interface Broker {
  /** `nats://127.0.0.1:PORT`, without the token. */
  readonly url: string;
  /** What a client must show. A secret: passed on in the environment, never in arguments or logs. */
  readonly token: string;
  readonly port: number;
  /** Connections open now; a bus without a socket is none. */
  connections(): number;
  /** A bus for this process itself, without a socket. Close it before the broker. */
  attach(): Bus;
  /** Delivers what is written, closes every connection, frees the port. Idempotent. */
  close(): Promise<void>;
}

/** Opens the bus; rejects when the port cannot be had. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const driver = new BrokerDriver(options);
  await driver.listen(options.port ?? 0);
  const { token, port } = driver;
  return {
    url: `nats://${LOOPBACK}:${String(port)}`,
    token,
    port,
    connections: () => driver.connections,
    attach: () => driver.attach(),
    close: () => driver.close(),
  };
}

class BrokerDriver {
  readonly token: string;
  readonly #limits: BrokerLimits;
  readonly #router: Router;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  #port = 0;
  #lastId = 0;
  #closed: Promise<void> | undefined;

  constructor(private readonly options: BrokerOptions) {
    this.token = options.token ?? options.random.id('bus');
    this.#limits = { ...DEFAULT_BROKER_LIMITS, ...options.limits };
    this.#router = new Router(options.random);
    this.#server = createServer((socket) => this.#admit(socket));
  }

  get port(): number {
    return this.#port;
  }

  get connections(): number {
    return this.#connections.size;
  }

  attach(): Bus {
    const { clock, random, log } = this.options;
    return new LocalBus({ router: this.#router, maxPayloadBytes: this.#limits.payloadBytes, clock, random, log });
  }

  async listen(port: number): Promise<void> {
    this.#server.listen(port, LOOPBACK);
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
    this.#server.on('error', (error) => this.options.log.error('the embedded bus failed', { error }));
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const connection of this.#connections) connection.close();
    });
    return this.#closed;
  }

  #admit(socket: Socket): void {
    if (this.#connections.size >= this.#limits.connections) {
      this.options.log.warn('the embedded bus is full', { connections: this.#connections.size });
      socket.on('error', () => socket.destroy());
      socket.end(errorLine('maximum connections exceeded'), () => socket.destroy());
      return;
    }
    const { clock, log } = this.options;
    const connection = new Connection(socket, this.#greeting(), {
      id: ++this.#lastId,
      clock,
      log,
      limits: this.#limits,
      router: this.#router,
      token: this.token,
      onGone: (gone) => this.#connections.delete(gone),
    });
    this.#connections.add(connection);
  }

  #greeting(): Buffer {
    return infoLine({
      server_id: 'llamaestro',
      server_name: 'embedded bus (core NATS protocol subset)',
      version: '0.1.0',
      proto: 1,
      host: LOOPBACK,
      port: this.#port,
      headers: true,
      auth_required: true,
      max_payload: this.#limits.payloadBytes,
      client_id: this.#lastId,
    });
  }
}
