import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import type { Logger } from '../../src/base/log.js';
import { systemClock, systemRandom } from '../../src/base/system-ports.js';
import { startBroker, type Broker, type BrokerOptions } from '../../src/bus/broker/broker.js';
import { connectNats } from '../../src/bus/nats-bus.js';
import { FakeClock } from '../support/fake-clock.js';
import { rejection } from './conformance.js';

const HELLO = { verbose: false, headers: true, no_responders: true };

/** A client that speaks the protocol by hand. */
class RawClient {
  #heard = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  closed = false;

  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#heard = Buffer.concat([this.#heard, chunk]);
      this.#wake?.();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.#wake?.();
    });
  }

  /** With null it says nothing of itself. */
  static async dial(broker: Broker, hello: object | null): Promise<RawClient> {
    const client = new RawClient(connect(broker.port, '127.0.0.1'));
    await client.hear('\r\n');
    if (hello !== null) client.say(`CONNECT ${JSON.stringify({ auth_token: broker.token, ...hello })}\r\n`);
    return client;
  }

  say(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Everything up to and with `end`, which it waits for; what was heard before the connection closed otherwise. */
  async hear(end: string): Promise<string> {
    for (;;) {
      const at = this.#heard.indexOf(end);
      if (at !== -1 || this.closed) {
        const upTo = at === -1 ? this.#heard.length : at + Buffer.byteLength(end);
        const text = this.#heard.subarray(0, upTo).toString('utf8');
        this.#heard = this.#heard.subarray(upTo);
        return text;
      }
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** What comes before the answer to a ping: everything the bus had to say so far. */
  async sayAndHear(text: string): Promise<string> {
    this.say(`${text}PING\r\n`);
    return (await this.hear('PONG\r\n')).replace('PONG\r\n', '');
  }
}

/** Waits until the broker has noticed who left. */
async function leftWith(broker: Broker, connections: number): Promise<void> {
  while (broker.connections() > connections) await new Promise((resolve) => setImmediate(resolve));
  expect(broker.connections()).to.equal(connections);
}

/** A log that can be read. */
function readableLog(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const note = (message: string, fields?: object): void =>
    void lines.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const log: Logger = { debug: note, info: note, warn: note, error: note, child: () => log };
  return { log, lines };
}

describe('the embedded broker', () => {
  const brokers: Broker[] = [];
  const clients: RawClient[] = [];
  let lines: string[];

  async function start(options: Partial<BrokerOptions> = {}): Promise<Broker> {
    const read = readableLog();
    lines = read.lines;
    const broker = await startBroker({ clock: systemClock, random: systemRandom, log: read.log, ...options });
    brokers.push(broker);
    return broker;
  }
  async function dial(broker: Broker, hello: object | null = HELLO): Promise<RawClient> {
    const client = await RawClient.dial(broker, hello);
    clients.push(client);
    return client;
  }
  afterEach(async () => {
    for (const client of clients.splice(0)) client.socket.destroy();
    await Promise.all(brokers.splice(0).map((broker) => broker.close()));
  });

  it('greets with what it is and what it takes, on the loopback interface only', async () => {
    const broker = await start();
    const socket = connect(broker.port, '127.0.0.1');
    const [greeting] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    const info = JSON.parse(greeting.toString().replace('INFO ', '')) as Record<string, unknown>;
    expect(info).to.include({ auth_required: true, headers: true, max_payload: 1024 * 1024, host: '127.0.0.1' });
    expect(info['server_name']).to.equal('embedded bus (core NATS protocol subset)');
    expect(greeting.toString()).to.not.include(broker.token);
    expect(broker.token).to.match(/^bus_[0-9A-Za-z]{22}$/);
    expect(broker.url).to.equal(`nats://127.0.0.1:${String(broker.port)}`);
  });

  it('refuses a wrong token, no token, and anything said before one', async () => {
    const broker = await start();
    for (const first of [
      'CONNECT {"auth_token":"guess"}\r\n',
      'CONNECT {}\r\n',
      `CONNECT {"user":"${broker.token}"}\r\n`,
      'SUB > 1\r\n',
      'PUB a 0\r\n\r\n',
      'PING\r\n',
    ]) {
      const client = await dial(broker, null);
      client.say(`${first}SUB > 1\r\n`);
      expect(await client.hear('\r\n'), first).to.equal("-ERR 'Authorization Violation'\r\n");
      await client.hear('never');
      expect(client.closed).to.equal(true);
    }
    await leftWith(broker, 0);
    expect(lines.join()).to.not.include(broker.token);
    const options = { servers: broker.url, token: 'guess', name: 'x', clock: systemClock, random: systemRandom };
    const error = await rejection(connectNats({ ...options, log: readableLog().log }));
    expect(error.code).to.equal('unauthorized');
  });

  it('says who is not there', async () => {
    const broker = await start();
    await broker.close();
    const options = { servers: broker.url, name: 'x', clock: systemClock, random: systemRandom };
    expect((await rejection(connectNats({ ...options, log: readableLog().log }))).code).to.equal('no_host');
  });

  it('closes a connection that does not say who it is', async () => {
    const clock = new FakeClock();
    const broker = await start({ clock });
    const client = await dial(broker, null);
    clock.advance(1999);
    expect(broker.connections()).to.equal(1);
    clock.advance(1);
    expect(await client.hear('\r\n')).to.equal("-ERR 'Authentication Timeout'\r\n");
    await client.hear('never');
    expect(client.closed).to.equal(true);
  });

  it('understands one byte at a time, and many messages in one write', async () => {
    const broker = await start();
    const client = await dial(broker);
    for (const byte of Buffer.from('SUB a.* 7\r\nPUB a.b 5\r\nh\r\nlo\r\n')) {
      client.say(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await client.sayAndHear('')).to.equal('MSG a.b 7 5\r\nh\r\nlo\r\n');
    const many = await client.sayAndHear('PUB a.b 1\r\nx\r\n'.repeat(2000));
    expect(many).to.equal('MSG a.b 7 1\r\nx\r\n'.repeat(2000));
  });

  it('passes headers to those who take them and the body alone to the others', async () => {
    const broker = await start();
    const modern = await dial(broker);
    const plain = await dial(broker, { headers: false });
    await modern.sayAndHear('SUB a 1\r\n');
    await plain.sayAndHear('SUB a 1\r\n');
    const headers = 'NATS/1.0\r\nk: v\r\n\r\n';
    const total = headers.length + 4;
    const heard = await modern.sayAndHear(`HPUB a r ${String(headers.length)} ${String(total)}\r\n${headers}body\r\n`);
    expect(heard).to.equal(`HMSG a 1 r ${String(headers.length)} ${String(total)}\r\n${headers}body\r\n`);
    expect(await plain.sayAndHear('')).to.equal('MSG a 1 r 4\r\nbody\r\n');
  });

  it('tells a requester, and only one who asked for it, that nobody listens', async () => {
    const broker = await start();
    const client = await dial(broker);
    await client.sayAndHear('SUB inbox.* 9\r\n');
    expect(await client.sayAndHear('PUB nobody inbox.1 0\r\n\r\n')).to.equal(
      'HMSG inbox.1 9 16 16\r\nNATS/1.0 503\r\n\r\n\r\n',
    );
    expect(await client.sayAndHear('PUB nobody 0\r\n\r\n')).to.equal('');
    const other = await dial(broker, { no_responders: false });
    await other.sayAndHear('SUB inbox.* 9\r\n');
    expect(await other.sayAndHear('PUB nobody inbox.1 0\r\n\r\n')).to.equal('');
    expect(await client.sayAndHear(''), 'what the other asked').to.equal('');
  });

  it('ends a subscription after the number of messages it was given', async () => {
    const broker = await start();
    const client = await dial(broker);
    const heard = await client.sayAndHear(`SUB a 1\r\nUNSUB 1 3\r\n${'PUB a 0\r\n\r\n'.repeat(5)}`);
    expect(heard).to.equal('MSG a 1 0\r\n\r\n'.repeat(3));
    await client.sayAndHear('SUB a 2\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\nUNSUB 2 2\r\n');
    expect(await client.sayAndHear('PUB a 0\r\n\r\n'), 'the number was reached before it was given').to.equal('');
    await client.sayAndHear('SUB a 3\r\nUNSUB 3\r\nUNSUB 3\r\nUNSUB nobody\r\n');
    expect(await client.sayAndHear('PUB a 0\r\n\r\n')).to.equal('');
  });

  it('keeps the own messages from a client that wants no echo, in groups too', async () => {
    const broker = await start();
    const deaf = await dial(broker, { echo: false });
    const other = await dial(broker);
    await other.sayAndHear('SUB a q 5\r\n');
    expect(await deaf.sayAndHear(`SUB a 1\r\nSUB a q 2\r\n${'PUB a 0\r\n\r\n'.repeat(8)}`)).to.equal('');
    expect(await other.sayAndHear('')).to.equal('MSG a 5 0\r\n\r\n'.repeat(8));
  });

  it('confirms each step to a verbose client', async () => {
    const broker = await start();
    const client = await dial(broker, { verbose: true });
    expect(await client.sayAndHear('SUB b 1\r\nUNSUB 1\r\nPUB b 0\r\n\r\n')).to.equal('+OK\r\n'.repeat(4));
  });

  it('complains about a wrong subject and stays', async () => {
    const broker = await start();
    const client = await dial(broker);
    expect(await client.sayAndHear('SUB a..b 1\r\n')).to.equal("-ERR 'Invalid Subject'\r\n");
    expect(await client.sayAndHear('PUB a.* 0\r\n\r\n')).to.equal("-ERR 'Invalid Publish Subject'\r\n");
    expect(client.closed).to.equal(false);
  });

  it('closes on garbage, and goes on serving the others', async () => {
    const broker = await start();
    const good = await dial(broker);
    await good.sayAndHear('SUB a 1\r\n');
    for (const [text, reason] of [
      ['GET / HTTP/1.1\r\n', 'Unknown Protocol Operation'],
      [`PUB a ${String(1024 * 1024 + 1)}\r\n`, 'Maximum Payload Violation'],
      ['x'.repeat(5000), 'Maximum Control Line Exceeded'],
      [String.fromCharCode(0, 255, 10), 'Unknown Protocol Operation'],
    ] as const) {
      const bad = await dial(broker);
      bad.say(Buffer.from(text, 'latin1'));
      expect(await bad.hear('never')).to.equal(`-ERR '${reason}'\r\n`);
    }
    expect(await good.sayAndHear('PUB a 2\r\nok\r\n')).to.equal('MSG a 1 2\r\nok\r\n');
    await leftWith(broker, 1);
  });

  it('bounds subscriptions and connections', async () => {
    const broker = await start({ limits: { subscriptionsPerConnection: 3, connections: 2 } });
    const client = await dial(broker);
    const heard = await client.sayAndHear([1, 2, 3, 4].map((sid) => `SUB s${String(sid)} ${String(sid)}\r\n`).join(''));
    expect(heard).to.equal("-ERR 'maximum subscriptions exceeded'\r\n");
    expect(await client.sayAndHear('UNSUB 1\r\nSUB s4 4\r\nPUB s4 0\r\n\r\n')).to.equal('MSG s4 4 0\r\n\r\n');
    await dial(broker);
    const third = connect(broker.port, '127.0.0.1');
    const [refusal] = (await once(third, 'data')) as [Buffer];
    expect(refusal.toString()).to.equal("-ERR 'maximum connections exceeded'\r\n");
    await once(third, 'close');
    expect(broker.connections()).to.equal(2);
  });

  it('cuts a client that does not read, with bounded memory, and nobody else', async () => {
    const broker = await start({ limits: { pendingBytes: 256 * 1024 } });
    const slow = await dial(broker);
    await slow.sayAndHear('SUB flood 1\r\n');
    slow.socket.pause();
    const fast = await dial(broker);
    await fast.sayAndHear('SUB small 1\r\n');
    const body = 'x'.repeat(64 * 1024);
    for (let n = 0; n < 400 && broker.connections() === 2; n++) {
      await fast.sayAndHear(`PUB flood ${String(body.length)}\r\n${body}\r\n`);
    }
    expect(broker.connections()).to.equal(1);
    expect(lines.join()).to.include('a slow bus connection was cut');
    expect(await fast.sayAndHear('PUB small 0\r\n\r\nPUB flood 0\r\n\r\n')).to.equal('MSG small 1 0\r\n\r\n');
  });

  it('forgets the subscriptions of a client that vanished', async () => {
    const broker = await start();
    const asker = await dial(broker);
    await asker.sayAndHear('SUB inbox.* 9\r\n');
    const answerer = await dial(broker);
    await answerer.sayAndHear('SUB ask 1\r\n');
    answerer.socket.destroy();
    await leftWith(broker, 1);
    expect(await asker.sayAndHear('PUB ask inbox.1 0\r\n\r\n')).to.include('503');
  });

  it('frees its port and closes its clients when it closes', async () => {
    const broker = await start();
    const client = await dial(broker);
    await Promise.all([broker.close(), broker.close(), client.hear('never')]);
    expect(client.closed).to.equal(true);
    const again = await start({ port: broker.port, token: broker.token });
    expect(again.port).to.equal(broker.port);
    const error = await startBroker({
      clock: systemClock,
      random: systemRandom,
      log: readableLog().log,
      port: again.port,
    })
      .then(() => undefined)
      .catch((thrown: { code: string }) => thrown.code);
    expect(error).to.equal('EADDRINUSE');
  });
});
