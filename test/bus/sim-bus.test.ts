import { expect } from 'chai';
import { SimNetwork, type SimFaults } from '../../src/bus/sim-bus.js';
import type { Bus } from '../../src/bus/bus.js';
import { FakeClock, seededRandom } from '../support/fake-clock.js';
import { busConformance, rejection } from './conformance.js';

describe('bus: the simulated network', () => {
  busConformance(() => {
    const clock = new FakeClock();
    const network = new SimNetwork({ clock, random: seededRandom(1) });
    const buses: Bus[] = [];
    return Promise.resolve({
      connect(name) {
        const bus = network.connect(name);
        buses.push(bus);
        return Promise.resolve(bus);
      },
      settle: () => clock.run(20),
      async until(promise) {
        let settled = false;
        const mark = (): void => void (settled = true);
        promise.then(mark, mark);
        await clock.runUntil(() => settled);
        return promise;
      },
      async close() {
        const closed = Promise.all(buses.map((bus) => bus.close()));
        await clock.run(20);
        await closed;
        expect(clock.pendingTimers, 'timers left behind').to.equal(0);
      },
    });
  });
});

describe('bus: faults of the simulated network', () => {
  function world(faults: Partial<SimFaults> = {}, seed = 1) {
    const clock = new FakeClock();
    const network = new SimNetwork({ clock, random: seededRandom(seed), faults });
    const [left, right] = [network.connect('left'), network.connect('right')];
    const seen: unknown[] = [];
    right.subscribe('n', ({ body }) => seen.push(body));
    const send = (count: number): void => {
      for (let n = 0; n < count; n++) left.publish('n', n);
    };
    return { clock, network, left, right, seen, send };
  }
  const inOrder = Array.from({ length: 200 }, (_, n) => n);

  it('repeats itself with the seed and differs without', async () => {
    const play = async (seed: number): Promise<unknown[]> => {
      const { clock, seen, send } = world({ drop: 0.2, duplicate: 0.2, reorder: 0.2 }, seed);
      send(200);
      await clock.run(1000);
      return seen;
    };
    expect(await play(1)).to.deep.equal(await play(1));
    expect(await play(1)).to.not.deep.equal(await play(2));
  });

  it('drops, duplicates and reorders when asked to, each by itself', async () => {
    const dropped = world({ drop: 0.3 });
    const doubled = world({ duplicate: 0.3 });
    const mixed = world({ reorder: 0.3 });
    for (const { send, clock } of [dropped, doubled, mixed]) {
      send(200);
      await clock.run(1000);
    }
    expect(dropped.seen.length)
      .to.equal(200 - dropped.network.counts.dropped)
      .and.lessThan(180);
    expect(dropped.seen).to.deep.equal(inOrder.filter((n) => dropped.seen.includes(n)));
    expect(doubled.seen.length)
      .to.equal(200 + doubled.network.counts.duplicated)
      .and.greaterThan(220);
    expect([...new Set(doubled.seen)]).to.deep.equal(inOrder);
    expect(mixed.seen).to.have.members(inOrder).and.not.deep.equal(inOrder);
  });

  it('has faults per link', async () => {
    const { clock, network, left, right, seen, send } = world({ drop: 1 });
    network.setLinkFaults('left', 'right', {});
    const back: unknown[] = [];
    left.subscribe('m', ({ body }) => back.push(body));
    send(3);
    right.publish('m', 1);
    await clock.run(100);
    expect([seen, back]).to.deep.equal([[0, 1, 2], []]);
    network.setLinkFaults('left', 'right', undefined);
    send(3);
    await clock.run(100);
    expect(seen).to.have.length(3);
  });

  it('holds everything while the line is cut and loses nothing when it is healed in time', async () => {
    for (const side of ['left', 'right']) {
      const { clock, network, seen, send, left, right } = world();
      const said: string[] = [];
      for (const bus of [left, right]) bus.onStatus((status) => said.push(status));
      left.publish('n', 'under way');
      network.partition(side);
      send(200);
      await clock.run(9000);
      expect(seen, 'what had left before').to.deep.equal(side === 'left' ? ['under way'] : []);
      network.heal(side);
      await clock.run(100);
      expect(seen).to.have.members(['under way', ...inOrder]);
      expect(seen.filter((body) => body !== 'under way')).to.deep.equal(inOrder);
      expect(said).to.deep.equal([]);
    }
  });

  it('notices a long cut: lost, nobody there, and back with its subscriptions', async () => {
    const { clock, network, left, right, seen, send } = world();
    const said: string[] = [];
    right.onStatus((status) => said.push(status));
    network.partition('right');
    send(5);
    const early = rejection(left.request('n', 'before it is noticed', { timeoutMs: 2000 }));
    await clock.run(11_000);
    expect((await early).code).to.equal('ack_timeout');
    expect(said).to.deep.equal(['lost']);
    const late = rejection(left.request('n', 'after', { timeoutMs: 60_000 }));
    await clock.run(100);
    expect((await late).code).to.equal('no_host');
    left.subscribe('double', ({ body, respond }) => respond(2 * (body as number)));
    const held = right.request('double', 4, { timeoutMs: 60_000 });
    right.publish('double', 'lost');
    await clock.run(100);
    network.heal('right');
    network.heal('right');
    await clock.run(100);
    expect(said).to.deep.equal(['lost', 'back']);
    expect(await held).to.equal(8);
    send(2);
    await clock.run(100);
    expect(seen).to.deep.equal([0, 1]);
  });

  it('lets a killed connection neither speak nor hear, and its name be used again', async () => {
    const { clock, network, left, right, seen, send } = world();
    let settled = false;
    right.subscribe('silence', () => undefined);
    const heard: unknown[] = [];
    left.subscribe('last', ({ body }) => heard.push(body));
    const settle = (): void => void (settled = true);
    right.request('silence', 1, { timeoutMs: 50 }).then(settle, settle);
    network.kill('right');
    send(3);
    right.publish('last', 'word');
    right.request('last', 1, { timeoutMs: 50 }).then(settle, settle);
    await clock.run(1000);
    expect([seen, heard, settled, clock.pendingTimers]).to.deep.equal([[], [], false, 0]);
    expect((await rejection(Promise.race([left.request('n', 1, { timeoutMs: 9 }), clock.run(20)]))).code).to.equal(
      'no_host',
    );
    const heir = network.connect('right');
    heir.subscribe('n', ({ body }) => seen.push(body));
    send(1);
    await clock.run(10);
    expect(seen).to.deep.equal([0]);
  });
});
