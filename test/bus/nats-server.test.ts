import { expect } from 'chai';
import { silentLogger } from '../../src/base/log.js';
import { systemClock, systemRandom } from '../../src/base/system-ports.js';
import { connectNats } from '../../src/bus/nats-bus.js';
import { busConformance, rejection } from './conformance.js';
import { findNatsServer, sayNoNatsServer, startNatsServer, type NatsServer } from './nats-server.js';
import { realWorld } from './real-world.js';

const binary = findNatsServer();
const ports = { clock: systemClock, random: systemRandom, log: silentLogger };

describe('bus: nats client on a real nats-server', () => {
  if (binary === undefined) {
    it('is tested against a nats-server', function () {
      sayNoNatsServer();
      this.skip();
    });
    return;
  }

  describe('conformance', () => {
    let server: NatsServer;
    before(async () => {
      server = await startNatsServer(binary);
    });
    after(() => server.stop());
    busConformance(() => Promise.resolve(realWorld(server, () => Promise.resolve())));
  });

  it('comes back with its subscriptions when the server was away, and sends what was asked meanwhile', async () => {
    const first = await startNatsServer(binary);
    const [left, right] = await Promise.all(
      ['left', 'right'].map((name) => connectNats({ servers: first.url, name, ...ports })),
    );
    if (left === undefined || right === undefined) throw new Error('not connected');
    const back = [left, right].map(
      (bus) => new Promise<void>((resolve) => bus.onStatus((s) => s === 'back' && resolve())),
    );
    const lost = [left, right].map(
      (bus) => new Promise<void>((resolve) => bus.onStatus((s) => s === 'lost' && resolve())),
    );
    right.subscribe('double', ({ body, respond }) => respond(2 * (body as number)));
    await right.flush();
    await first.stop();
    await Promise.all(lost);
    const meanwhile = left.request('double', 4, { timeoutMs: 30_000 });
    left.publish('double', 'nobody hears this');
    expect((await rejection(left.request('double', 5, { timeoutMs: 30 }))).code).to.equal('ack_timeout');
    const second = await startNatsServer(binary, first.port);
    try {
      await Promise.all(back);
      expect(await meanwhile).to.equal(8);
      expect(await left.request('double', 3, { timeoutMs: 5000 })).to.equal(6);
    } finally {
      await Promise.all([left.close(), right.close()]);
      await second.stop();
    }
  });

  it('closes while the server is away', async () => {
    const server = await startNatsServer(binary);
    const bus = await connectNats({ servers: server.url, name: 'alone', ...ports });
    const lost = new Promise<void>((resolve) => bus.onStatus((status) => status === 'lost' && resolve()));
    await server.stop();
    await lost;
    expect((await rejection(bus.flush())).code).to.equal('no_host');
    await bus.close();
  });

  it('reads the payload limit from the server', async () => {
    const server = await startNatsServer(binary, -1, ['-c', new URL('small-payload.conf', import.meta.url).pathname]);
    try {
      const bus = await connectNats({ servers: server.url, name: 'small', ...ports });
      expect(bus.maxPayloadBytes).to.equal(4096);
      expect(() => bus.publish('x', 'x'.repeat(4095))).to.throw('takes 4096');
      await bus.close();
    } finally {
      await server.stop();
    }
  });

  it('shows credentials, in options or in the address, and is told when they are wrong', async () => {
    const server = await startNatsServer(binary, -1, ['--user', 'ann', '--pass', 's3cret']);
    const at = `127.0.0.1:${String(server.port)}`;
    try {
      const wrong = await rejection(connectNats({ servers: `nats://ann:other@${at}`, name: 'wrong', ...ports }));
      expect(wrong.code).to.equal('unauthorized');
      expect(wrong.message).to.not.include('other');
      await (await connectNats({ servers: `nats://ann:s3cret@${at}`, name: 'in the address', ...ports })).close();
      await (await connectNats({ servers: at, user: 'ann', pass: 's3cret', name: 'in options', ...ports })).close();
    } finally {
      await server.stop();
    }
  });
});
