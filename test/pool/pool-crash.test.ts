/** What callers see when hosts die, hang, or never come up. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec, profileOf } from '../support/profiles.js';
import { Bench, codeOf } from './bench.js';

describe('pool: crashes', () => {
  it('loses the leases, keeps the queue in order, and serves it from the next host', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const holders = [await bench.lease('a'), await bench.lease('a')];
    const waiting = [bench.ask('a'), bench.ask('a'), bench.ask('a')];
    const [crashedHid] = [bench.node.one('a').hid];
    bench.node.one('a').die('SIGKILL');
    await bench.until('a', 'failed');
    expect(holders.map(({ lost }) => codeOf(lost.reason))).to.deep.equal(['host_lost', 'host_lost']);
    const { retryInMs = 0 } = bench.model('a');
    expect(retryInMs).to.be.within(790, 1200);
    holders[0]?.release();
    await bench.until('a', 'ready');
    await settle();
    expect(waiting.map(({ lease }) => lease?.hid !== undefined)).to.deep.equal([true, true, false]);
    expect(waiting[0]?.lease?.hid).to.not.equal(crashedHid);
    expect(bench.model('a')).to.include({ leased: 2, queued: 1, crashes: 1 });
    expect(bench.model('a').lastError?.message).to.include('SIGKILL');
  });

  it('grants nothing on a host that somebody else told to finish, and serves who waits from the next one', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const lease = await bench.lease('a');
    const finishing = bench.node.one('a');
    finishing.state = 'draining';
    finishing.say();
    await bench.until('a', 'draining');
    const asked = bench.ask('a');
    await settle();
    expect([asked.lease, lease.lost.aborted]).to.deep.equal([undefined, false]);
    lease.release();
    await bench.until('a', 'ready');
    await settle();
    expect(asked.lease?.hid).to.equal(bench.node.one('a').hid).and.not.equal(finishing.hid);
    expect(bench.model('a').crashes).to.equal(0);
  });

  it('waits longer after each crash in a row', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a', { residency: 'resident' })]);
    const pauses: number[] = [];
    for (let round = 0; round < 4; round++) {
      await bench.until('a', 'ready');
      bench.node.one('a').die();
      await bench.until('a', 'failed');
      pauses.push(bench.model('a').retryInMs ?? 0);
    }
    pauses.forEach((pauseMs, index) => expect(pauseMs).to.be.within(0.79 * 2 ** index * 1000, 1.2 * 2 ** index * 1000));
  });

  it('ends a silent host and says that it was stuck', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const lease = await bench.lease('a');
    const host = bench.node.one('a');
    host.mute();
    await bench.clock.runUntil(() => lease.lost.aborted);
    expect(codeOf(lease.lost.reason)).to.equal('host_stuck');
    await bench.clock.runUntil(() => !host.isAlive);
    expect(bench.node.commands).to.deep.include({ op: 'kill', hid: host.hid, graceMs: 2000 });
  });

  it('ends a host whose step never ends', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const lease = await bench.lease('a');
    Object.assign(bench.node.one('a'), { stalledMs: 60_000, running: 1 });
    await bench.clock.runUntil(() => lease.lost.aborted);
    expect(codeOf(lease.lost.reason)).to.equal('host_stuck');
  });

  for (const cutMs of [4000, 6000, 9900, 12_000, 19_950, 20_000, 22_000, 24_000, 26_000]) {
    it(`blames no host for a line of its own that was cut for ${cutMs} ms`, async () => {
      const bench = new Bench();
      bench.apply([modelSpec('a')]);
      const lease = await bench.lease('a');
      lease.begin(1);
      bench.node.one('a').attempts = [{ rid: 'run_1', att: 1 }];
      await bench.clock.run(2500);
      bench.network.partition('gateway');
      await bench.clock.run(cutMs);
      bench.network.heal('gateway');
      await bench.clock.run(8000);
      expect(lease.lost.aborted).to.equal(false);
      expect(bench.model('a')).to.include({ state: 'ready', leased: 1 });
    });

    it(`blames no idle host for it either (${cutMs} ms)`, async () => {
      const bench = new Bench();
      bench.apply([modelSpec('a')]);
      (await bench.lease('a')).release();
      await bench.clock.run(2500);
      bench.network.partition('gateway');
      await bench.clock.run(cutMs);
      bench.network.heal('gateway');
      await bench.clock.run(8000);
      expect(bench.model('a')).to.include({ state: 'ready', crashes: 0 });
    });
  }

  it('gives a host up when its node agent is silent too for long', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const lease = await bench.lease('a');
    bench.network.kill('node');
    bench.node.one('a').mute();
    await bench.clock.run(30_000);
    expect(codeOf(lease.lost.reason)).to.equal('host_stuck');
  });

  it('ends a load that makes no progress, and tries again for those who wait', async () => {
    const bench = new Bench();
    bench.node.script.loadMs = Infinity;
    bench.apply([modelSpec('a')], { timeouts: { ...profileOf([]).timeouts, loadMs: 300_000 } });
    const asked = bench.ask('a');
    await bench.until('a', 'loading');
    await bench.clock.run(29_000);
    bench.node.one('a').progress(0.3);
    await bench.clock.run(29_000);
    expect(bench.model('a')).to.include({ state: 'loading', loadFraction: 0.3 });
    bench.node.script.loadMs = 100;
    await bench.until('a', 'failed');
    expect(asked.error).to.equal(undefined);
    await bench.until('a', 'ready');
    expect(asked.lease).to.not.equal(undefined);
  });

  it('tells those who wait when a model dies at each load', async () => {
    const bench = new Bench();
    bench.node.script.loadMs = Infinity;
    bench.apply([modelSpec('a')]);
    const asked = bench.ask('a');
    for (let round = 0; round < 3; round++) {
      await bench.until('a', 'loading');
      bench.node.one('a').die('SIGABRT', 'ggml: out of something\n');
      await bench.until('a', 'failed');
    }
    await settle();
    expect(codeOf(asked.error)).to.equal('load_failed');
    expect((asked.error as Error).message)
      .to.include('SIGABRT')
      .and.to.include('out of something');
    expect(bench.model('a')).to.include({ queued: 0, crashes: 3 });
  });

  it('remembers what would only fail again, for a cooldown', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    bench.node.script.planErrors['/models/a.gguf'] = new LlamaestroError('model_unusable', 'damaged file');
    const first = bench.ask('a');
    await bench.until('a', 'failed');
    const plans = bench.node.count('plan');
    const second = bench.ask('a');
    await settle();
    expect([first, second].map(({ error }) => codeOf(error))).to.deep.equal(['model_unusable', 'model_unusable']);
    expect(bench.node.count('plan')).to.equal(plans);
    bench.node.script.planErrors = {};
    await bench.clock.run(30_000);
    expect((await bench.lease('a')).model).to.equal('a');
  });

  it('passes on what the host says about a failed load, and may try again after a pause', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    bench.node.script.loadErrors['/models/a.gguf'] = new LlamaestroError('out_of_memory', 'no memory left');
    const first = bench.ask('a');
    await bench.until('a', 'failed');
    await settle();
    expect(codeOf(first.error)).to.equal('out_of_memory');
    bench.node.script.loadErrors = {};
    expect((await bench.lease('a')).model).to.equal('a');
    expect(bench.model('a').crashes).to.equal(0);
  });

  it('ends a lease whose attempt the host has long stopped listing, and frees its slot', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const [lease, other] = [await bench.lease('a'), await bench.lease('a')];
    lease.begin(1);
    other.begin(1);
    const host = bench.node.one('a');
    host.attempts = [
      { rid: 'run_1', att: 1 },
      { rid: 'run_2', att: 1 },
    ];
    await bench.clock.run(20_000);
    host.attempts = [{ rid: 'run_2', att: 1 }];
    await bench.clock.runUntil(() => lease.lost.aborted);
    expect(codeOf(lease.lost.reason)).to.equal('stream_gap');
    expect(other.lost.aborted).to.equal(false);
    expect(bench.model('a')).to.include({ state: 'ready', leased: 1 });
  });
});
