import { connect } from 'nats';
import { expect } from 'chai';
import { silentLogger } from '../../src/base/log.js';
import { systemClock, systemRandom } from '../../src/base/system-ports.js';
import { startBroker, type Broker } from '../../src/bus/broker/broker.js';
import type { Bus } from '../../src/bus/bus.js';
import { connectNats } from '../../src/bus/nats-bus.js';
import { busConformance, rejection } from './conformance.js';
import { realWorld } from './real-world.js';

const ports = { clock: systemClock, random: systemRandom, log: silentLogger };

describe('bus: nats client on the embedded broker', () => {
  busConformance(async () => {
    const broker = await startBroker(ports);
    return realWorld(broker, () => broker.close());
  });
});

describe('bus: without a socket on the embedded broker, beside the nats client', () => {
  for (const attached of ['left', 'right', 'both']) {
    describe(`${attached} attached`, () =>
      busConformance(async () => {
        const broker = await startBroker(ports);
        const isAttached = (name: string): boolean => attached === 'both' || attached === name;
        return realWorld(
          broker,
          () => broker.close(),
          (name) => (isAttached(name) ? broker.attach() : undefined),
        );
      }));
  }

  it('drops what is not JSON, and says so of an answer', async () => {
    const broker = await startBroker(ports);
    const bus = broker.attach();
    const seen: unknown[] = [];
    bus.subscribe('raw', ({ body }) => seen.push(body));
    const foreign = await connect({ servers: broker.url, token: broker.token });
    foreign.subscribe('ask', { callback: (_error, message) => message.respond('{not json') });
    for (const text of ['{not json', '', '\xff', '{"json":true}']) foreign.publish('raw', text);
    await foreign.flush();
    expect(seen).to.deep.equal([{ json: true }]);
    const error = await rejection(bus.request('ask', {}, { timeoutMs: 5000 }));
    expect(error).to.include({ code: 'internal', message: 'the answer on the bus is not JSON' });
    await foreign.close();
    await bus.close();
    await broker.close();
  });
});

describe('bus: what the nats client adds', () => {
  let broker: Broker;
  const buses: Bus[] = [];
  const dial = async (name: string): Promise<Bus> => {
    const bus = await connectNats({ servers: broker.url, token: broker.token, name, ...ports });
    buses.push(bus);
    return bus;
  };
  beforeEach(async () => {
    broker = await startBroker(ports);
  });
  afterEach(async () => {
    await Promise.all(buses.splice(0).map((bus) => bus.close()));
    await broker.close();
  });

  it('does not believe that nobody listens right after a restart: the others are on their way back', async () => {
    const left = await dial('left');
    const back = new Promise<void>((resolve) => left.onStatus((status) => status === 'back' && resolve()));
    const { port, token } = broker;
    await broker.close();
    broker = await startBroker({ ...ports, port, token });
    await back;
    const asked = left.request('double', 21, { timeoutMs: 20_000 });
    await left.flush(); // the broker has said by now that nobody is there
    const right = await dial('right');
    right.subscribe('double', ({ body, respond }) => respond(2 * (body as number)));
    expect(await asked).to.equal(42);
  });

  it('tells every listener of its connection, even when one throws, and none that was removed', async () => {
    const bus = await dial('left');
    const told: string[] = [];
    bus.onStatus(() => {
      throw new Error('a fault of the listener');
    });
    const remove = bus.onStatus(() => told.push('removed'));
    const lost = new Promise<void>((resolve) => {
      bus.onStatus((status) => {
        told.push(status);
        resolve();
      });
    });
    remove();
    await broker.close();
    await lost;
    expect(told).to.deep.equal(['lost']);
  });

  it('drops messages that are not JSON, and says so of an answer', async () => {
    const bus = await dial('left');
    const seen: unknown[] = [];
    bus.subscribe('raw', ({ body }) => seen.push(body));
    await bus.flush();
    const foreign = await connect({ servers: broker.url, token: broker.token });
    foreign.subscribe('ask', { callback: (_error, message) => message.respond('{not json') });
    for (const text of ['{not json', '', '\xff', '{"json":true}']) foreign.publish('raw', text);
    await foreign.flush();
    await bus.flush();
    expect(seen).to.deep.equal([{ json: true }]);
    const error = await rejection(bus.request('ask', {}, { timeoutMs: 5000 }));
    expect(error).to.include({ code: 'internal', message: 'the answer on the bus is not JSON' });
    await foreign.close();
  });
});
