/** What becomes of hosts that live and do not work, and of those that only look so. */
import { expect } from 'chai';
import { settle } from '../support/fake-clock.js';
import { modelSpec } from '../support/profiles.js';
import { Bench, codeOf } from './bench.js';
import { MIB } from './fake-node.js';

const HOUR_MS = 3_600_000;

async function leased(): Promise<{ bench: Bench; lease: Awaited<ReturnType<Bench['lease']>> }> {
  const bench = new Bench();
  bench.apply([modelSpec('a')]);
  const lease = await bench.lease('a');
  lease.begin(1);
  const host = bench.node.one('a');
  Object.assign(host, { attempts: [{ rid: 'run_1', att: 1 }], running: 1, steps: 1 });
  return { bench, lease };
}

describe('pool: health', () => {
  it('tells how a host is', async () => {
    const { bench, lease } = await leased();
    const host = bench.node.one('a');
    await bench.clock.run(2000);
    expect(bench.model('a').health).to.include({ verdict: 'busy' });
    host.steps = 20;
    await bench.clock.run(1000);
    expect(bench.model('a').health).to.include({ verdict: 'well' });
    Object.assign(host, { running: 0, attempts: [] });
    lease.release();
    await bench.clock.run(2000);
    expect(bench.model('a').health).to.include({ verdict: 'idle' });
    host.die();
    await bench.until('a', 'failed');
    expect(bench.model('a').health).to.equal(undefined);
  });

  it('ends a host that stands still as a whole, and serves who waits from the next one', async () => {
    const { bench, lease } = await leased();
    const host = bench.node.one('a');
    const beganMs = bench.clock.nowMs();
    host.freeze();
    await bench.clock.runUntil(() => lease.lost.aborted);
    expect(codeOf(lease.lost.reason)).to.equal('host_stuck');
    expect((lease.lost.reason as { details: unknown }).details).to.deep.equal({ verdict: 'frozen' });
    expect(bench.clock.nowMs() - beganMs).to.be.within(4000, 7000);
    expect((await bench.lease('a')).hid).to.not.equal(host.hid);
    expect(host.isAlive).to.equal(false);
  });

  it('ends an idle host that stands still', async () => {
    const { bench, lease } = await leased();
    const host = bench.node.one('a');
    Object.assign(host, { running: 0, attempts: [] });
    lease.release();
    host.freeze();
    await bench.clock.runUntil(() => !host.isAlive);
    expect(bench.model('a').lastError?.message).to.contain('frozen');
  });

  it('gives a host whose native thread lives more time for its event loop, then ends it', async () => {
    const { bench, lease } = await leased();
    bench.node.one('a').mute();
    await bench.clock.run(9000);
    expect(lease.lost.aborted).to.equal(false);
    await bench.clock.run(3000);
    expect((lease.lost.reason as { details: unknown }).details).to.deep.equal({ verdict: 'deaf' });
  });

  it('ends no host over a long prompt whose steps go on', async () => {
    const { bench, lease } = await leased();
    const host = bench.node.one('a');
    for (let chunk = 0; chunk < 10; chunk++) {
      for (const stalledMs of [10_000, 20_000, 30_000, 40_000, 50_000]) {
        await bench.clock.run(10_000);
        host.stalledMs = stalledMs;
      }
      host.steps++;
    }
    expect(lease.lost.aborted).to.equal(false);
    expect(bench.model('a').health?.longestStepMs).to.equal(40_000);
  });

  it('ends a host with work whose steps do not move', async () => {
    const { bench, lease } = await leased();
    const host = bench.node.one('a');
    const beganMs = bench.clock.nowMs();
    while (!lease.lost.aborted && bench.clock.nowMs() < 10 * HOUR_MS) {
      await bench.clock.run(1000);
      host.stalledMs = bench.clock.nowMs() - beganMs;
    }
    expect((lease.lost.reason as { details: unknown }).details).to.deep.equal({ verdict: 'stuck' });
    expect(bench.clock.nowMs() - beganMs).to.be.within(60_000, 65_000);
  });

  for (const [phase, ms] of [
    ['an hour', HOUR_MS],
    ['four seconds', 4000],
    ['five seconds', 5000],
    ['ten seconds', 10_500],
  ] as const) {
    it(`ends no host when the machine slept for ${phase}, busy or idle, whenever it fell asleep`, async () => {
      const { bench, lease } = await leased();
      bench.apply([modelSpec('a'), modelSpec('b')]);
      (await bench.lease('b')).release();
      const hids = ['a', 'b'].map((name) => bench.node.one(name).hid);
      for (let round = 0; round < 12; round++) {
        await bench.clock.run(1000 + 170 * round);
        bench.clock.jump(ms);
        // Its own clock counts the sleep, and it says so before its step has ended.
        bench.node.one('a').stalledMs = ms;
        await bench.clock.run(700);
        Object.assign(bench.node.one('a'), { stalledMs: 5, steps: round + 2 });
        if (bench.model('b').hid === undefined) (await bench.lease('b')).release();
      }
      await bench.clock.run(10_000);
      expect(lease.lost.aborted).to.equal(false);
      expect(bench.node.one('a').hid).to.equal(hids[0]);
      expect(['a', 'b'].map((name) => bench.model(name).crashes)).to.deep.equal([0, 0]);
    });
  }

  it('ends a load that stands still as a whole, long before it would time out', async () => {
    const bench = new Bench();
    bench.node.script.loadMs = Infinity;
    bench.apply([modelSpec('a')]);
    bench.ask('a');
    await bench.until('a', 'loading');
    const host = bench.node.one('a');
    host.freeze();
    const beganMs = bench.clock.nowMs();
    await bench.clock.runUntil(() => !host.isAlive);
    expect(bench.clock.nowMs() - beganMs).to.be.within(14_000, 18_000);
    expect(bench.model('a').lastError?.message).to.contain('frozen');
  });

  it('cuts a drain off when the host stands still', async () => {
    const { bench, lease } = await leased();
    const host = bench.node.one('a');
    void bench.pool.unload('a', 600_000);
    await bench.until('a', 'draining');
    host.freeze();
    await bench.clock.runUntil(() => !host.isAlive);
    expect(codeOf(lease.lost.reason)).to.equal('host_stuck');
    await bench.until('a', 'unloaded');
  });

  it('lets a second unload hurry the first one', async () => {
    const { bench, lease } = await leased();
    void bench.pool.unload('a', 600_000);
    await bench.until('a', 'draining');
    void bench.pool.unload('a', 1000);
    await bench.clock.run(1500);
    expect(codeOf(lease.lost.reason)).to.equal('draining');
  });

  it('still ends a silent host where nobody tells of pulses', async () => {
    const bench = new Bench();
    bench.node.script.tellsPulses = false;
    bench.apply([modelSpec('a')]);
    const lease = await bench.lease('a');
    bench.node.one('a').mute();
    await bench.clock.run(7000);
    expect((lease.lost.reason as { details: unknown }).details).to.deep.equal({ verdict: 'silent' });
  });
});

describe('pool: failures and restarts', () => {
  it('goes on with the pauses of a crash loop after a restart, until the host has stood for a while', async () => {
    const bench = new Bench();
    const spec = modelSpec('a', { residency: 'resident' });
    bench.apply([spec]);
    for (let crash = 0; crash < 4; crash++) {
      await bench.until('a', 'ready');
      bench.node.one('a').die();
      await bench.until('a', 'failed');
    }
    const left = bench.model('a').retryInMs ?? 0;
    expect(left).to.be.within(6300, 9700);
    const again = await bench.restarted();
    again.apply([spec]);
    expect(again.model('a')).to.include({ state: 'failed' });
    expect(again.model('a').retryInMs).to.be.within(left - 1500, left + 1);
    expect(again.model('a').lastError?.message).to.contain('SIGKILL');
    await again.until('a', 'ready');
    again.node.one('a').die();
    await again.until('a', 'failed');
    expect(again.model('a').retryInMs, 'the fifth in a row').to.be.within(12_700, 19_300);
    await again.until('a', 'ready');
    await again.clock.run(61_000);
    const last = await again.restarted();
    last.apply([spec]);
    expect(last.model('a').state).to.equal('starting');
  });

  it('gives a model another chance when somebody unloads it by command', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    await bench.lease('a');
    bench.node.one('a').die();
    await bench.until('a', 'failed');
    void bench.pool.unload('a');
    await bench.until('a', 'unloaded');
    const again = await bench.restarted();
    again.apply([modelSpec('a')]);
    expect(again.model('a').state).to.equal('unloaded');
  });

  it('tells how late its own timers come', async () => {
    const bench = new Bench();
    await bench.clock.run(5000);
    expect(bench.pool.status().vigil).to.deep.equal({ eventLoopLagMs: 0, cpuPressure: 0, neglects: [] });
    bench.clock.jump(3000);
    await bench.clock.run(1000);
    expect(bench.pool.status().vigil.eventLoopLagMs).to.be.within(2400, 3000);
    await bench.clock.run(130_000);
    expect(bench.pool.status().vigil.eventLoopLagMs).to.equal(0);
  });

  it('notices a load that fell out of every line, says so, and sees to it', async () => {
    const bench = new Bench();
    bench.node.script.foreign = { cpu: 2048 * MIB };
    bench.apply([modelSpec('a'), modelSpec('b')]);
    bench.node.script.loadMs = Infinity;
    const other = bench.ask('b');
    const asked = bench.ask('a');
    await settle();
    // As a fault of ours would do it: the placer forgets who waits for bytes.
    const { placer } = bench.pool as unknown as { placer: { line: readonly unknown[] } };
    placer.line = [];
    await bench.clock.run(9500);
    expect(bench.pool.status().vigil.neglects).to.deep.equal([]);
    bench.node.script.foreign = {};
    bench.node.script.loadMs = 100;
    await bench.clock.runUntil(() => bench.pool.status().vigil.neglects.length > 0);
    expect(bench.pool.status().vigil.neglects.map(({ model, why }) => `${model}: ${why}`)).to.deep.equal([
      'a: its load waits in no line',
      'b: its load waits in no line',
    ]);
    await bench.clock.runUntil(() => asked.lease !== undefined && other.lease !== undefined);
    await bench.clock.run(1000);
    expect(bench.pool.status().vigil.neglects).to.deep.equal([]);
  });
});
