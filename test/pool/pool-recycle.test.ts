/** Models whose processes wear out, and what becomes of the requests on them. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { Lease } from '../../src/pool/pool.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec, profileOf } from '../support/profiles.js';
import { Bench, codeOf, never } from './bench.js';
import { MIB } from './fake-node.js';

const SPEC = modelSpec('a', { residency: 'resident' });

/** A model under a lease; time goes by in which it makes so many tokens a second. */
class Running {
  private constructor(
    readonly bench: Bench,
    readonly lease: Lease,
  ) {}

  static async start(deviceMib = 2048): Promise<Running> {
    const bench = new Bench({ cpuHeadroomBytes: 0, cpuOverheadBytes: 0 });
    bench.node.script.bytes['/models/a.gguf'] = 500 * MIB;
    for (const device of bench.node.script.devices)
      Object.assign(device, { totalBytes: deviceMib * MIB, freeBytes: deviceMib * MIB });
    bench.apply([SPEC]);
    const lease = await bench.lease('a');
    lease.begin(1);
    return new Running(bench, lease);
  }

  async go(seconds: number, tokensPerS: number): Promise<void> {
    const { bench } = this;
    for (let second = 0; second < seconds; second++) {
      for (const host of bench.node.of('a').filter(({ state }) => state === 'ready')) {
        Object.assign(host, { running: 1, steps: host.steps + 1, attempts: [{ rid: 'run_1', att: 1 }] });
        host.generatedTokens += tokensPerS;
      }
      await bench.clock.run(1000);
    }
  }

  get hids(): readonly string[] {
    return this.bench.node.of('a').map(({ hid }) => hid);
  }
}

describe('pool: recycling', () => {
  it('tells how fast a host is, against what is usual', async () => {
    const running = await Running.start();
    await running.go(8, 40);
    expect(running.bench.model('a').health).to.not.have.property('speedRatio');
    await running.go(20, 40);
    expect(running.bench.model('a').health?.speedRatio).to.be.within(0.9, 1.1);
    expect(running.bench.model('a').health?.complaints).to.deep.equal([]);
  });

  it('replaces a host that became slow, the new one first where both fit, and cuts nothing off', async () => {
    const running = await Running.start();
    const { bench, lease } = running;
    await running.go(30, 100);
    const [old] = running.hids;
    await running.go(60, 25);
    expect(bench.model('a').health?.speedRatio).to.be.below(0.5);
    expect(running.hids).to.deep.equal([old]);
    await running.go(20, 25);
    expect(running.hids, 'the old one still has its lease').to.have.length(2);
    expect(bench.model('a')).to.include({ state: 'ready', hid: running.hids[1] });
    expect(lease.lost.aborted).to.equal(false);
    const next = await bench.lease('a');
    expect(next.hid).to.equal(running.hids[1]);
    await bench.clock.run(600_000);
    expect(lease.lost.aborted, 'however long it takes').to.equal(false);
    lease.release();
    await bench.clock.run(5000);
    expect(running.hids).to.deep.equal([next.hid]);
    expect(bench.model('a')).to.include({ crashes: 0, loads: 2 });
    expect(bench.held['cpu']).to.equal(500 * MIB);
  });

  it('serves at every moment of it', async () => {
    const running = await Running.start();
    await running.go(30, 100);
    let served = 0;
    for (let second = 0; second < 100; second++) {
      await running.go(1, 25);
      const asked = running.bench.ask('a');
      await settle();
      expect(asked.lease, `second ${String(second)}`).to.not.equal(undefined);
      asked.lease?.release();
      served++;
    }
    expect([served, running.hids.length]).to.deep.equal([100, 2]);
  });

  it('lets the old one go first where both do not fit, and keeps who waits', async () => {
    const running = await Running.start(900);
    const { bench, lease } = running;
    await running.go(30, 100);
    await running.go(80, 25);
    const [old] = running.hids;
    expect(bench.model('a').state).to.equal('draining');
    const waiting = bench.ask('a');
    await bench.clock.run(100_000);
    expect([waiting.lease, waiting.error, lease.lost.aborted]).to.deep.equal([undefined, undefined, false]);
    lease.release();
    await bench.until('a', 'ready');
    await settle();
    expect(waiting.lease?.hid).to.equal(running.hids[0]).and.not.equal(old);
    expect(bench.model('a').crashes).to.equal(0);
  });

  it('judges nobody while the CPUs are fought over', async () => {
    const running = await Running.start();
    await running.go(30, 100);
    running.bench.node.script.cpuPressure = 0.6;
    await running.go(200, 10);
    expect(running.hids).to.have.length(1);
    expect(running.bench.model('a').health).to.not.have.property('speedRatio');
    expect(running.bench.pool.status().vigil.cpuPressure).to.equal(0.6);
  });

  it('judges nobody by what it does while another model works', async () => {
    const running = await Running.start();
    const { bench } = running;
    bench.node.script.bytes['/models/b.gguf'] = 100 * MIB;
    bench.apply([SPEC, modelSpec('b')]);
    (await bench.lease('b')).begin(1);
    const beside = async (seconds: number, tokensPerS: number): Promise<void> => {
      for (let second = 0; second < seconds; second++) {
        const other = bench.node.one('b');
        Object.assign(other, { running: 1, steps: other.steps + 1, attempts: [{ rid: 'run_2', att: 1 }] });
        await running.go(1, tokensPerS);
      }
    };
    await beside(30, 100);
    await beside(120, 25);
    expect(running.hids).to.have.length(1);
    expect(bench.model('a').health?.complaints).to.deep.equal([]);
  });

  it('recycles no second time soon: what a new process does not cure is usual', async () => {
    const running = await Running.start();
    const { bench, lease } = running;
    await running.go(30, 100);
    await running.go(80, 25);
    lease.release();
    await bench.lease('a');
    await running.go(30, 25);
    const [second] = running.hids.slice(-1);
    await running.go(200, 25);
    expect(bench.model('a').hid).to.equal(second);
    expect(bench.model('a').health?.speedRatio).to.be.within(0.9, 1.1);
  });

  it('goes on with the slow one when no other can be loaded', async () => {
    const running = await Running.start();
    const { bench, lease } = running;
    await running.go(30, 100);
    bench.node.script.loadErrors['/models/a.gguf'] = new LlamaestroError('load_failed', 'the disk is gone');
    await running.go(100, 25);
    expect(bench.model('a')).to.include({ state: 'ready', hid: running.hids[0] });
    expect(running.hids).to.have.length(1);
    expect(lease.lost.aborted).to.equal(false);
    expect(bench.model('a').health?.complaints[0]).to.contain('% of the tokens per second');
  });

  it('replaces a host that takes more and more memory', async () => {
    const running = await Running.start();
    const [old] = running.hids;
    for (let look = 0; look < 9; look++) {
      running.bench.node.script.beyondPlan['cpu'] = look * 100 * MIB;
      await running.go(30, 100);
    }
    expect(running.bench.model('a').hid).to.not.equal(old);
    expect(running.lease.lost.aborted).to.equal(false);
  });

  for (const end of ['flip', 'drain'] as const) {
    it(`gives what runs on a process that was replaced no more time than the switch has, at its ${end}`, async () => {
      const running = await Running.start();
      const { bench, lease } = running;
      await running.go(30, 100);
      await running.go(80, 25);
      expect([running.hids.length, lease.lost.aborted], 'recycled, the old one at work').to.deep.equal([2, false]);
      const stage = bench.pool.stage(profileOf([modelSpec('b')]));
      let isOver = false;
      if (end === 'flip') {
        stage.flip(5000);
        void stage.cleared(never()).then(() => (isOver = true));
      } else void stage.drain('a', 5000, never()).then(() => (isOver = true));
      await bench.clock.run(4000);
      expect(lease.lost.aborted).to.equal(false);
      await bench.clock.run(6000);
      expect([codeOf(lease.lost.reason), isOver]).to.deep.equal(['profile_switching', true]);
      expect(running.hids).to.have.length(end === 'flip' ? 0 : 1);
    });
  }

  it('lets another profile have its way in the middle of it', async () => {
    const running = await Running.start();
    const { bench, lease } = running;
    await running.go(30, 100);
    bench.node.script.loadMs = 30_000;
    await running.go(75, 25);
    expect(running.hids).to.have.length(2);
    bench.apply([modelSpec('b')]);
    await bench.clock.run(40_000);
    expect(running.hids).to.deep.equal([]);
    expect(codeOf(lease.lost.reason)).to.equal('profile_switching');
    expect(bench.held['cpu'] ?? 0).to.equal(0);
  });
});
