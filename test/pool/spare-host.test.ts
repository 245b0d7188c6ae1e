/** The host that waits for the next load: when there is one, and what it saves. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';
import { SPARE_LABEL, spareUse } from '../../src/pool/spare-host.js';
import type { InstanceStateName } from '../../src/pool/pool.js';
import { modelSpec } from '../support/profiles.js';
import { Bench } from './bench.js';
import { MIB } from './fake-node.js';

describe('pool: the spare host', () => {
  const specs = [modelSpec('a'), modelSpec('b')];

  function withSpare(): Bench {
    const bench = new Bench({ spareHosts: 1 });
    bench.node.script.startMs = 400;
    bench.apply(specs);
    return bench;
  }
  const spares = (bench: Bench): number => bench.node.of(SPARE_LABEL).length;

  it('is of use while something is not loaded, and does not start beside a load', () => {
    const use = (...states: InstanceStateName[]): string => {
      const { isOfUse, mayStart } = spareUse(states.map((state) => ({ state, available: true })));
      return `${isOfUse ? 'use' : 'none'} ${mayStart ? 'start' : 'wait'}`;
    };
    expect(use('ready', 'unloaded')).to.equal('use start');
    expect(use('ready', 'failed')).to.equal('use start');
    expect(use('loading', 'ready')).to.equal('use wait');
    expect(use('starting', 'unloaded')).to.equal('use wait');
    expect(use('ready', 'draining', 'stopping')).to.equal('none start');
    expect(spareUse([{ state: 'unloaded', available: false }]).isOfUse).to.equal(false);
  });

  it('takes the next load without the time that a process needs to start', async () => {
    const bench = withSpare();
    await bench.clock.run(2000);
    const [spare] = bench.node.of(SPARE_LABEL);
    const askedAtMs = bench.clock.nowMs();
    const lease = await bench.lease('a');
    expect(lease.hid).to.equal(spare?.hid);
    expect(bench.clock.nowMs() - askedAtMs).to.be.below(bench.node.script.loadMs + 100);
    expect([spare?.label, bench.model('a').pid]).to.deep.equal(['a', 1001]);
    await bench.clock.run(2000);
    expect(spares(bench), 'one for the other model').to.equal(1);
    expect(bench.node.count('spawn')).to.equal(2);
  });

  it('is ours in the account while it waits, and nobody’s once it has a model', async () => {
    const bench = withSpare();
    bench.node.script.spareBytes = 80 * MIB;
    bench.node.script.foreign = { cpu: 200 * MIB };
    const row = (): unknown => {
      const { spareBytes = 0, foreignBytes = 0 } = bench.pool.status().nodes[0]?.ledger[0] ?? {};
      return [spareBytes / MIB, foreignBytes / MIB];
    };
    await bench.clock.run(1000);
    (await bench.lease('a')).release();
    await bench.clock.run(2000);
    void bench.pool.unload('a', 0);
    await bench.clock.run(3000);
    expect(row()).to.deep.equal([80, 200]);
    await bench.lease('b');
    await bench.lease('a');
    await bench.clock.run(5000);
    expect([spares(bench), row()]).to.deep.equal([0, [0, 200]]);
  });

  it('is not waited for while it starts, and serves the load after that', async () => {
    const bench = withSpare();
    await bench.clock.run(DEFAULT_LIMITS.spareDelayMs + 100);
    const first = await bench.lease('a');
    expect(bench.node.of('a')[0]?.hid).to.equal(first.hid);
    const [spare] = bench.node.of(SPARE_LABEL);
    expect((await bench.lease('b')).hid).to.equal(spare?.hid);
  });

  it('leaves when all models are loaded, and when the pool closes', async () => {
    const bench = withSpare();
    await bench.lease('a');
    await bench.clock.run(2000);
    expect(spares(bench)).to.equal(1);
    await bench.lease('b');
    await bench.clock.run(2000);
    expect(spares(bench)).to.equal(0);
    const other = withSpare();
    await other.clock.run(2000);
    void other.pool.close();
    await other.clock.run(2000);
    expect(other.node.hosts.filter((host) => host.isAlive)).to.deep.equal([]);
  });

  it('is replaced after a while when it dies, and never taken when it is dead or silent', async () => {
    const bench = withSpare();
    await bench.clock.run(2000);
    bench.node.one(SPARE_LABEL).die();
    await bench.clock.run(1000);
    expect(spares(bench)).to.equal(0);
    (await bench.lease('a')).release();
    await bench.clock.run(DEFAULT_LIMITS.spareRetryMs + 2000);
    expect(spares(bench)).to.equal(1);
    bench.node.one(SPARE_LABEL).mute();
    await bench.clock.run(DEFAULT_LIMITS.silenceMs + 1000);
    expect((await bench.lease('b')).hid).to.equal(bench.node.one('b').hid);
  });

  it('is not missed when none can be started', async () => {
    const bench = new Bench({ spareHosts: 1 });
    bench.node.script.spawnError = new LlamaestroError('no_host', 'too many');
    bench.apply(specs);
    await bench.clock.run(5000);
    bench.node.script.spawnError = undefined;
    expect((await bench.lease('a')).model).to.equal('a');
  });
});
