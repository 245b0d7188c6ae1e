/** Who is loaded and who leaves when memory is short, time passes, or the profile changes. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { ModelSpec } from '../../src/schema/profile.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec } from '../support/profiles.js';
import { Bench, codeOf } from './bench.js';
import { MIB } from './fake-node.js';

describe('pool: memory', () => {
  const big = (name: string, more: Partial<ModelSpec> = {}): ModelSpec => modelSpec(name, more);
  const sizes = { '/models/a.gguf': 60 * MIB, '/models/b.gguf': 60 * MIB, '/models/c.gguf': 30 * MIB };
  const budgets = { cpu: 100 * MIB };

  function tight(specs: readonly ModelSpec[]): Bench {
    const bench = new Bench();
    bench.node.script.bytes = { ...sizes };
    bench.apply(specs, { budgets });
    return bench;
  }

  it('keeps free on a device what the profile says, instead of the usual', async () => {
    const bench = new Bench({ cpuHeadroomBytes: 0, cpuOverheadBytes: 0 });
    bench.node.script.bytes = { ...sizes };
    const [device] = bench.node.script.devices;
    bench.node.script.devices = [{ ...device!, totalBytes: 100 * MIB, freeBytes: 90 * MIB }];
    bench.apply([big('a')], { headrooms: { cpu: 40 * MIB } });
    expect(codeOf(await bench.lease('a').catch((thrown: unknown) => thrown))).to.equal('out_of_memory');
    bench.apply([big('b')], { headrooms: { cpu: 20 * MIB } });
    expect((await bench.lease('b')).model).to.equal('b');
  });

  it('unloads an idle model for one that is asked for', async () => {
    const bench = tight([big('a'), big('b')]);
    (await bench.lease('a')).release();
    await bench.lease('b');
    expect(bench.model('a').state).to.equal('unloaded');
    expect(bench.node.of('a')).to.deep.equal([]);
  });

  it('unloads the one used longest ago', async () => {
    const bench = tight([big('a', { load: { file: '/models/c.gguf', purpose: 'generate' } }), big('c'), big('b')]);
    (await bench.lease('c')).release();
    await bench.clock.run(60_000);
    (await bench.lease('a')).release();
    await bench.lease('b');
    expect([bench.model('a').state, bench.model('c').state]).to.deep.equal(['ready', 'unloaded']);
  });

  it('waits for a busy model instead of breaking its answer', async () => {
    const bench = tight([big('a'), big('b')]);
    const lease = await bench.lease('a');
    const asked = bench.ask('b');
    await bench.clock.run(60_000);
    expect(lease.lost.aborted).to.equal(false);
    expect(asked.lease).to.equal(undefined);
    expect(bench.model('b').state).to.equal('starting');
    lease.release();
    await bench.until('b', 'ready');
    expect(bench.model('a').state).to.equal('unloaded');
  });

  it('evicts nobody for a waiter who left', async () => {
    const bench = tight([big('a'), big('b')]);
    const lease = await bench.lease('a');
    const controller = new AbortController();
    bench.ask('b', controller.signal);
    await bench.clock.run(1000);
    controller.abort(new LlamaestroError('cancelled', 'left'));
    lease.release();
    await bench.clock.run(5000);
    expect([bench.model('a').state, bench.model('b').state]).to.deep.equal(['ready', 'unloaded']);
  });

  it('lets a load that came later not take what an earlier one waits for', async () => {
    const bench = tight([big('a'), big('b'), big('c', { load: { file: '/models/d.gguf', purpose: 'generate' } })]);
    bench.node.script.bytes = { ...sizes, '/models/d.gguf': 41 * MIB };
    const lease = await bench.lease('a');
    const [first, second] = [bench.ask('b'), bench.ask('c')];
    await bench.clock.run(2000);
    lease.release();
    await bench.until('b', 'ready');
    await bench.clock.run(100);
    expect([first.lease?.model, second.lease]).to.deep.equal(['b', undefined]);
    first.lease?.release();
    await bench.until('c', 'ready');
    expect(bench.model('b').state).to.equal('unloaded');
  });

  it('keeps what becomes free for the one that waits for more of it', async () => {
    const bench = tight([big('a'), big('b'), big('c'), big('d')]);
    const bytes = { a: 40, b: 40, c: 70, d: 50 };
    for (const [name, mib] of Object.entries(bytes)) bench.node.script.bytes[`/models/${name}.gguf`] = mib * MIB;
    const [onA, onB] = [await bench.lease('a'), await bench.lease('b')];
    const [onC, onD] = [bench.ask('c'), bench.ask('d')];
    await bench.clock.run(1000);
    onA.release();
    await bench.clock.run(5000);
    expect(onD.lease, 'd would fit now, and c never again').to.equal(undefined);
    onB.release();
    await bench.until('c', 'ready');
    await bench.clock.run(10);
    onC.lease?.release();
    await bench.until('d', 'ready');
  });

  it('waits for freed memory to show before it blames other programs', async () => {
    const bench = new Bench();
    bench.node.script.bytes = { '/models/a.gguf': 600 * MIB, '/models/b.gguf': 600 * MIB };
    bench.node.script.devices = [
      { id: 'cpu', kind: 'cpu', description: '', totalBytes: 1024 * MIB, freeBytes: 1000 * MIB },
    ];
    bench.apply([big('a'), big('b')]);
    (await bench.lease('a')).release();
    await bench.expectPatience(bench.ask('b'), 'cpu', 600 * MIB);
  });

  it('works under an artificial ceiling, whatever the device has', async () => {
    const bench = new Bench();
    bench.node.script.bytes = { ...sizes };
    bench.node.script.devices = [
      {
        ...{ id: 'cpu', kind: 'cpu', description: '' },
        totalBytes: 2048 * MIB,
        freeBytes: 2048 * MIB,
        limitBytes: 100 * MIB,
      },
    ];
    bench.apply([big('a'), big('b'), big('c')]);
    (await bench.lease('a')).release();
    await bench.lease('c');
    expect(bench.model('a').state).to.equal('ready');
    await bench.lease('b');
    expect([bench.model('a').state, bench.model('c').state]).to.deep.equal(['unloaded', 'ready']);
  });

  it('never claims the same bytes for two loads at the same time', async () => {
    const bench = tight([big('a'), big('b')]);
    bench.node.script.loadMs = 5000;
    const asked = [bench.ask('a'), bench.ask('b')];
    for (let round = 0; round < 20_000 && asked.some(({ lease }) => lease === undefined); round++) {
      await bench.clock.run(50);
      expect(bench.node.of('a').length + bench.node.of('b').length).to.be.at.most(1);
      asked[0]?.lease?.release();
    }
    expect(asked.map(({ error }) => error)).to.deep.equal([undefined, undefined]);
    expect(asked[1]?.lease?.model).to.equal('b');
  });

  it('says at once what cannot fit beside what is kept, with counts', async () => {
    const bench = tight([big('a', { residency: 'resident' }), big('b')]);
    await bench.until('a', 'ready');
    const asked = bench.ask('b');
    await bench.until('b', 'failed');
    await settle();
    expect(codeOf(asked.error)).to.equal('does_not_fit');
    expect((asked.error as LlamaestroError).details).to.deep.equal({
      model: 'b',
      device: 'cpu',
      neededBytes: 60 * MIB,
      roomBytes: 40 * MIB,
    });
    expect(bench.model('a').state).to.equal('ready');
  });

  it('keeps a pinned model through eviction and idleness', async () => {
    const bench = tight([big('a', { pinned: true, ttlMs: 1000 }), big('b')]);
    (await bench.lease('a')).release();
    await bench.clock.run(10_000);
    const asked = bench.ask('b');
    await bench.until('b', 'failed');
    await settle();
    expect(codeOf(asked.error)).to.equal('does_not_fit');
    expect(bench.model('a').state).to.equal('ready');
  });

  it('goes by measured memory as well, and names other programs', async () => {
    const bench = tight([big('a')]);
    const [cpu] = bench.node.script.devices;
    if (cpu !== undefined) bench.node.script.devices = [{ ...cpu, freeBytes: 300 * MIB }];
    const asked = bench.ask('a');
    await bench.until('a', 'failed');
    await settle();
    expect(codeOf(asked.error)).to.equal('out_of_memory');
  });

  it('unloads after the idle time, not while used, and not a resident one', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a', { ttlMs: 10_000 }), modelSpec('r', { ttlMs: 10_000, residency: 'resident' })]);
    const lease = await bench.lease('a');
    await bench.clock.run(30_000);
    expect(bench.model('a').state).to.equal('ready');
    lease.release();
    await bench.clock.run(9_900);
    expect(bench.model('a').state).to.equal('ready');
    await bench.clock.run(1_000);
    expect(bench.model('a').state).to.equal('unloaded');
    expect(bench.model('r').state).to.equal('ready');
    expect(bench.node.of('a')).to.deep.equal([]);
  });
});

describe('pool: profiles', () => {
  it('keeps the host of an equal model, also under another name, and ends the rest after its leases', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a'), modelSpec('b'), modelSpec('c')]);
    const leases = [await bench.lease('a'), await bench.lease('b'), await bench.lease('c')];
    const [a, b, c] = ['a', 'b', 'c'].map((name) => bench.node.one(name).hid);
    bench.apply([modelSpec('a'), modelSpec('z', { configHash: 'b' }), modelSpec('c', { configHash: 'other' })]);
    await bench.clock.run(3000);
    expect([bench.model('a').hid, bench.model('z').hid]).to.deep.equal([a, b]);
    expect(bench.model('c').state).to.equal('unloaded');
    expect(leases.map(({ lost }) => lost.aborted)).to.deep.equal([false, false, false]);
    leases[2]?.release();
    await bench.clock.runUntil(() => !bench.node.hosts.some((host) => host.hid === c && host.isAlive));
    const again = await bench.lease('c');
    expect(again.hid).to.not.equal(c);
    expect(bench.model('a').loads).to.equal(1);
  });

  it('moves those who wait to the model of the same name, and refuses those whose model left', async () => {
    const bench = new Bench();
    bench.node.script.loadMs = 2000;
    bench.apply([modelSpec('a'), modelSpec('b')]);
    const [onA, onB] = [bench.ask('a'), bench.ask('b')];
    await bench.until('a', 'loading');
    bench.apply([modelSpec('a', { configHash: 'other' })]);
    await bench.until('a', 'ready');
    await settle();
    expect(onA.lease?.hid).to.equal(bench.node.one('a').hid);
    expect(codeOf(onB.error)).to.equal('profile_switching');
    await bench.clock.run(10_000);
    expect(bench.node.hosts.filter((host) => host.isAlive)).to.have.length(1);
  });
});
