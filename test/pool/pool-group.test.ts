/** Models that share a process: one load, one end, one account, and a queue for each. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec } from '../support/profiles.js';
import { Bench, codeOf, never } from './bench.js';
import { MIB } from './fake-node.js';

describe('pool: host groups', () => {
  const host = 'small';
  const slots = (count: number) => ({ load: { ...modelSpec('x').load, slots: count } });
  const spec = (name: string, count = 1, more = {}) => {
    const { load } = slots(count);
    return modelSpec(name, { host, load: { ...load, file: `/models/${name}.gguf` }, ...more });
  };

  function grouped(): Bench {
    const bench = new Bench();
    bench.node.script.bytes = { '/models/a.gguf': 100 * MIB, '/models/b.gguf': 30 * MIB };
    bench.apply([spec('a', 1), modelSpec('c'), spec('b', 2)]);
    return bench;
  }

  it('loads all of them in one process when one is asked for', async () => {
    const bench = grouped();
    const { hid } = await bench.lease('a');
    expect(await bench.lease('b')).to.include({ model: 'b', hid });
    expect(bench.node.hosts).to.have.length(1);
    const loads = bench.node.one('a+b').commands.filter(({ op }) => op === 'load' || op === 'load-group');
    expect(loads).to.have.length(1);
    const models = bench.pool.status().models;
    expect(models.map(({ name }) => name)).to.deep.equal(['a', 'c', 'b']);
    expect(bench.model('a')).to.include({ host, hid, state: 'ready', slots: 1, leased: 1, loads: 1 });
    expect(bench.model('b')).to.include({ host, hid, pid: bench.model('a').pid ?? 0, slots: 2, leased: 1 });
    expect(bench.model('c')).to.include({ state: 'unloaded' }).and.not.have.property('host');
  });

  it('books the sum of their bytes, and tells each model its own', async () => {
    const bench = grouped();
    await bench.lease('a');
    expect(bench.held).to.deep.equal({ cpu: 130 * MIB });
    const planned = (name: string): number | undefined => bench.model(name).allocated?.totalBytes;
    expect([planned('a'), planned('b')]).to.deep.equal([100 * MIB, 30 * MIB]);
  });

  it('keeps a queue and slots for each', async () => {
    const bench = grouped();
    const first = await bench.lease('a');
    const second = bench.ask('a');
    await bench.lease('b');
    await bench.lease('b');
    await settle();
    expect([bench.model('a').queued, bench.model('b').queued, second.lease]).to.deep.equal([1, 0, undefined]);
    first.release();
    await settle();
    expect(second.lease?.model).to.equal('a');
    expect(bench.pool.status().vigil.neglects).to.deep.equal([]);
  });

  it('loses the leases of all when it dies, and serves them again from the next process', async () => {
    const bench = grouped();
    const leases = [await bench.lease('a'), await bench.lease('b')];
    const waiting = bench.ask('a');
    bench.node.one('a+b').die();
    await bench.clock.runUntil(() => leases.every(({ lost }) => lost.aborted));
    expect(leases.map(({ lost }) => codeOf(lost.reason))).to.deep.equal(['host_lost', 'host_lost']);
    const [other, again] = [await bench.lease('b'), waiting];
    expect(again.lease?.hid).to.equal(other.hid);
    expect([bench.model('a').crashes, bench.model('b').crashes]).to.deep.equal([1, 1]);
    expect(bench.held).to.deep.equal({ cpu: 130 * MIB });
  });

  it('is ended when one of its models hangs', async () => {
    const bench = grouped();
    const lease = await bench.lease('b');
    const process = bench.node.one('a+b');
    process.running = 1;
    process.stalledMs = 400_000;
    await bench.clock.runUntil(() => lease.lost.aborted, 100_000);
    expect(codeOf(lease.lost.reason)).to.equal('host_stuck');
    await bench.clock.runUntil(() => !process.isAlive, 10_000);
  });

  it('stays as long as one of them is in use or was of late, and leaves as one', async () => {
    const bench = new Bench();
    bench.apply([spec('a', 1, { ttlMs: 1000 }), spec('b', 1, { ttlMs: 5000 })]);
    (await bench.lease('a')).release();
    const lease = await bench.lease('b');
    await bench.clock.run(20_000);
    expect(bench.model('a').state).to.equal('ready');
    lease.release();
    await bench.clock.run(4000);
    expect(bench.model('a').state).to.equal('ready');
    await bench.until('b', 'unloaded');
    expect([bench.model('a').state, bench.node.of('a+b'), bench.held]).to.deep.equal(['unloaded', [], { cpu: 0 }]);
  });

  it('is unloaded by command as one, and not at all when one of them is pinned', async () => {
    const bench = grouped();
    (await bench.lease('a')).release();
    const [{ model }] = await Promise.all([bench.pool.unload('b'), bench.clock.run(10_000)]);
    expect([model, bench.model('a').state, bench.model('b').state]).to.deep.equal(['a+b', 'unloaded', 'unloaded']);
    bench.apply([spec('a', 1, { pinned: true }), spec('b', 2)]);
    expect(codeOf(await bench.pool.unload('b').catch((error: unknown) => error))).to.equal('pinned');
  });

  it('refuses the requests of all with the error of the one that cannot be loaded', async () => {
    const bench = grouped();
    bench.node.script.loadErrors = { '/models/b.gguf': new LlamaestroError('model_unusable', 'b is damaged') };
    const asked = [bench.ask('a'), bench.ask('b')];
    await bench.clock.runUntil(() => asked.every(({ error }) => error !== undefined));
    expect(asked.map(({ error }) => codeOf(error))).to.deep.equal(['model_unusable', 'model_unusable']);
    await bench.clock.run(100);
    expect(bench.held).to.deep.equal({ cpu: 0 });
  });

  it('counts, embeds and ranks by the model that was named', async () => {
    const bench = grouped();
    await bench.lease('a');
    const vectors = bench.pool.embed('b', ['abc'], never());
    await bench.clock.run(100);
    expect(await vectors).to.deep.equal([[3, 1]]);
    expect(bench.pool.contextTokensPerSlot('a')).to.equal(1024);
    expect(bench.pool.contextTokensPerSlot('b')).to.equal(512);
  });

  it('makes room as one for a load that needs it', async () => {
    const bench = grouped();
    bench.node.script.bytes['/models/c.gguf'] = 1700 * MIB;
    (await bench.lease('b')).release();
    await bench.clock.run(20_000);
    expect((await bench.lease('c')).model).to.equal('c');
    expect([bench.model('a').state, bench.model('b').state]).to.deep.equal(['unloaded', 'unloaded']);
  });

  describe('under another profile', () => {
    it('keeps its process where no model of it has changed', async () => {
      const bench = grouped();
      const { hid } = await bench.lease('a');
      bench.apply([spec('b', 2, { ttlMs: 1, host: 'renamed' }), spec('a', 1, { host: 'renamed' })]);
      expect(bench.model('a')).to.include({ hid, host: 'renamed', leased: 1 });
      expect((await bench.lease('b')).hid).to.equal(hid);
    });

    it('leaves and comes as one where one has, and those who wait go over, each to its model', async () => {
      const bench = grouped();
      const lease = await bench.lease('a');
      const waiting = bench.ask('a');
      bench.apply([spec('a', 1), spec('b', 2, { configHash: 'other' })]);
      await bench.clock.runUntil(() => waiting.lease !== undefined);
      expect(waiting.lease?.hid).to.not.equal(lease.hid);
      expect(lease.lost.aborted).to.equal(false);
      lease.release();
      await bench.clock.run(10_000);
      expect(bench.node.of('a+b')).to.have.length(1);
    });

    it('is taken apart: a model that gets a process of its own is loaded anew', async () => {
      const bench = grouped();
      const { hid, release } = await bench.lease('a');
      release();
      bench.apply([spec('a', 1, { host: undefined }), spec('b', 2, { host: undefined })]);
      expect((await bench.lease('a')).hid).to.not.equal(hid);
      await bench.clock.run(10_000);
      expect([bench.node.of('a+b'), bench.model('b').state]).to.deep.equal([[], 'unloaded']);
    });
  });
});
