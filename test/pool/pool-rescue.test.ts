/** A request for a model that is on its way out: it stays where it can, and is loaded again where it cannot. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { sleep } from '../../src/base/ports.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec } from '../support/profiles.js';
import { Bench } from './bench.js';
import { MIB } from './fake-node.js';

const left = new LlamaestroError('cancelled', 'left');

/** Models of so many MiB on a device of 100. */
function tight(sizes: Readonly<Record<string, number>>): Bench {
  const bench = new Bench();
  const bytes = Object.entries(sizes).map(([name, mib]) => [`/models/${name}.gguf`, mib * MIB] as const);
  bench.node.script.bytes = Object.fromEntries(bytes);
  const specs = Object.keys(sizes).map((name) => modelSpec(name));
  bench.apply(specs, { budgets: { cpu: 100 * MIB } });
  return bench;
}

/** `name` serves and was told to finish for `other`, which waits for its bytes. */
async function yielding(bench: Bench, name: string, other: string) {
  const lease = await bench.lease(name);
  const controller = new AbortController();
  const asked = bench.ask(other, controller.signal);
  await bench.until(name, 'draining');
  return { lease, asked, controller };
}

describe('pool: a request for a model that makes room', () => {
  it('keeps it when the load that wanted the room goes away', async () => {
    const bench = tight({ a: 60, b: 60 });
    const { controller } = await yielding(bench, 'a', 'b');
    const again = bench.ask('a');
    await bench.clock.run(100);
    expect(again.lease, 'the room is promised').to.equal(undefined);
    controller.abort(left);
    await bench.clock.run(100);
    expect(again.lease?.model).to.equal('a');
    expect(bench.model('a')).to.include({ state: 'ready', loads: 1, leased: 2 });
  });

  it('keeps it when another, cheaper to lose by now, makes the room instead', async () => {
    const bench = tight({ c: 50, a: 50, b: 50 });
    for (let use = 0; use < 8; use++) (await bench.lease('c')).release();
    const onC = await bench.lease('c');
    const { asked } = await yielding(bench, 'a', 'b');
    onC.release();
    await bench.clock.run(100);
    expect(bench.model('c').state, 'nobody asks for a').to.equal('ready');
    const again = bench.ask('a');
    await bench.clock.runUntil(() => asked.lease !== undefined);
    expect(again.lease?.model).to.equal('a');
    expect([bench.model('a').loads, bench.model('c').state]).to.deep.equal([1, 'unloaded']);
  });

  it('keeps it for itself while the one that waits now has not waited long enough to claim it', async () => {
    const bench = tight({ a: 60, b: 60, d: 70 });
    const { controller, lease } = await yielding(bench, 'a', 'b');
    const later = bench.ask('d');
    controller.abort(left);
    await settle();
    const again = bench.ask('a');
    await bench.clock.run(100);
    expect(again.lease?.model).to.equal('a');
    await bench.clock.run(DEFAULT_LIMITS.overdueMs);
    expect(bench.model('a').state, 'now it has').to.equal('draining');
    lease.release();
    again.lease?.release();
    await bench.clock.runUntil(() => later.lease !== undefined);
    expect(bench.model('a').state).to.equal('unloaded');
  });

  it('lets it go when nothing else would do, and loads it again for those who asked', async () => {
    const bench = tight({ a: 60, b: 60 });
    const { lease, asked } = await yielding(bench, 'a', 'b');
    const again = [bench.ask('a'), bench.ask('a')];
    await bench.clock.run(1000);
    expect(bench.model('a').state).to.equal('draining');
    lease.release();
    await bench.clock.runUntil(() => asked.lease !== undefined);
    expect(bench.model('a').loads).to.equal(1);
    asked.lease?.release();
    await bench.clock.runUntil(() => again.every((one) => one.lease !== undefined));
    expect(bench.model('a')).to.include({ loads: 2, leased: 2 });
  });

  it('does not let two models in use keep a third waiting by rescuing each other', async () => {
    const bench = tight({ a: 50, c: 50, b: 50 });
    const stop = new AbortController();
    /** Asks for a model again and again, and uses it for a while each time. */
    const keepBusy = async (name: string): Promise<void> => {
      while (!stop.signal.aborted) {
        const lease = await bench.pool.lease({ model: name, rid: name }, stop.signal);
        await sleep(bench.clock, 300);
        lease.release();
      }
    };
    for (const name of ['a', 'a', 'a', 'c', 'c', 'c']) keepBusy(name).catch(() => undefined);
    await bench.clock.runUntil(() => ['a', 'c'].every((name) => bench.model(name).state === 'ready'));
    const asked = bench.ask('b');
    for (let round = 0; round < 200 && asked.lease === undefined; round++) await bench.clock.run(500);
    stop.abort(left);
    expect(asked.lease?.model).to.equal('b');
  });

  it('loads it again when its process is already on its way out', async () => {
    const bench = tight({ a: 60, b: 60 });
    (await bench.lease('a')).release();
    await bench.clock.run(1000);
    bench.node.script.deafToExit = true;
    const asked = bench.ask('b');
    await bench.until('a', 'stopping');
    const again = bench.ask('a');
    bench.node.script.deafToExit = false;
    await bench.clock.runUntil(() => asked.lease !== undefined);
    asked.lease?.release();
    await bench.clock.runUntil(() => again.lease !== undefined);
    expect(bench.model('a').loads).to.equal(2);
  });

  for (const state of ['starting', 'loading'] as const) {
    it(`joins those who wait while it is ${state}`, async () => {
      const bench = tight({ a: 60 });
      const asked = [bench.ask('a')];
      await bench.until('a', state);
      asked.push(bench.ask('a'));
      await bench.clock.runUntil(() => asked.every((one) => one.lease !== undefined));
      expect(bench.model('a').loads).to.equal(1);
    });
  }
});
