/** Unload by command: what runs may end, then the process goes, and its bytes are looked for. */
import { expect } from 'chai';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';
import type { UnloadReport } from '../../src/pool/unload.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec } from '../support/profiles.js';
import { Bench, codeOf } from './bench.js';
import { MIB, type FakeHost } from './fake-node.js';

describe('pool: unload by command', () => {
  function withGpu(): Bench {
    const bench = new Bench();
    const sizes = { totalBytes: 8192 * MIB, freeBytes: 8000 * MIB };
    bench.node.script.devices.push({ id: 'cuda0', kind: 'cuda', description: '', ...sizes });
    bench.node.script.gpuBytes = { '/models/a.gguf': 1000 * MIB };
    bench.apply([modelSpec('a'), modelSpec('r', { residency: 'resident' }), modelSpec('p', { pinned: true })]);
    return bench;
  }

  async function unloaded(bench: Bench, model: string, drainMs?: number): Promise<UnloadReport> {
    let report: UnloadReport | undefined;
    void bench.pool.unload(model, drainMs).then((told) => (report = told));
    await bench.clock.runUntil(() => report !== undefined);
    return report as unknown as UnloadReport;
  }

  it('tells what was expected and what came back, device by device', async () => {
    const bench = withGpu();
    const { hid, release } = await bench.lease('a');
    release();
    const report = await unloaded(bench, 'a');
    expect(report).to.deep.include({ model: 'a', hid, process: 'exited with code 0', cutRequests: 0 });
    expect(report.devices.map(({ device, verdict }) => `${device} ${verdict}`)).to.have.members([
      'cpu returned',
      'cuda0 returned',
    ]);
    expect(report.devices.find(({ device }) => device === 'cuda0')).to.include({
      ...{ expectedBytes: 1000 * MIB, measuredBytes: 1000 * MIB, residualBytes: 0 },
    });
    expect([bench.model('a').state, bench.held]).to.deep.equal(['unloaded', { cpu: MIB, cuda0: 0 }]);
    expect((await bench.lease('a')).model).to.equal('a');
  });

  it('has the next load take the chunk that the last one measured', async () => {
    const bench = withGpu();
    const loaded = async (): Promise<unknown> => {
      (await bench.lease('a')).release();
      return bench.node.one('a').commands.find(({ op }) => op === 'load');
    };
    expect(await loaded())
      .to.have.nested.property('load')
      .that.does.not.have.property('measuredChunkTokens');
    await unloaded(bench, 'a');
    expect(await loaded()).to.have.nested.property('load.measuredChunkTokens', 16);
  });

  it('lets what runs end, and takes no longer than that', async () => {
    const bench = withGpu();
    const lease = await bench.lease('a');
    let report: UnloadReport | undefined;
    void bench.pool.unload('a').then((told) => (report = told));
    await bench.clock.run(10_000);
    expect([bench.model('a').state, lease.lost.aborted, report]).to.deep.equal(['draining', false, undefined]);
    lease.release();
    await bench.clock.runUntil(() => report !== undefined, 2000);
    expect(report?.cutRequests).to.equal(0);
  });

  it('cuts off what does not end in time, with the reason, and serves those who wait after a new load', async () => {
    const bench = withGpu();
    const leases = [await bench.lease('a'), await bench.lease('a')];
    const waiting = bench.ask('a');
    const report = await unloaded(bench, 'a', 1000);
    expect(report.cutRequests).to.equal(2);
    for (const { lost } of leases) {
      expect(codeOf(lost.reason)).to.equal('draining');
      expect(String(lost.reason)).to.contain('unloaded by command');
    }
    await bench.clock.runUntil(() => waiting.lease !== undefined);
    expect(waiting.lease?.hid).to.not.equal(report.hid);
  });

  it('has a host save its prefixes before it goes, but not when the pool closes', async () => {
    const bench = withGpu();
    const wordsOf = (host: FakeHost | undefined): unknown => host?.commands.map(({ op }) => op);
    (await bench.lease('a')).release();
    const [unloadedHost] = bench.node.of('a');
    await unloaded(bench, 'a');
    expect(wordsOf(unloadedHost)).to.deep.equal(['load', 'leave']);
    (await bench.lease('a')).release();
    const [idleHost] = bench.node.of('a');
    await bench.clock.run(400_000);
    expect([bench.model('a').state, wordsOf(idleHost)]).to.deep.equal(['unloaded', ['load', 'leave']]);
    (await bench.lease('a')).release();
    const [lastHost] = bench.node.of('a');
    void bench.pool.close();
    await bench.clock.run(1000);
    expect(wordsOf(lastHost)).to.deep.equal(['load', 'exit']);
  });

  it('says what is missing, also when the host had to be killed', async () => {
    const bench = withGpu();
    (await bench.lease('a')).release();
    await bench.clock.run(5000);
    bench.node.script.deafToExit = true;
    let report: UnloadReport | undefined;
    void bench.pool.unload('a').then((told) => (report = told));
    await bench.until('a', 'stopping');
    await bench.clock.runUntil(() => bench.node.of('a').length === 0);
    bench.node.script.foreign = { cuda0: 700 * MIB };
    await bench.clock.runUntil(() => report !== undefined);
    expect(report?.process).to.equal('was ended by SIGKILL');
    expect(report?.devices.find(({ device }) => device === 'cuda0')).to.include({
      ...{ verdict: 'missing', residualBytes: 700 * MIB, measuredBytes: 300 * MIB },
    });
    expect(bench.pool.status().nodes[0]?.quarantines.map(({ device }) => device)).to.deep.equal(['cuda0']);
    expect(report?.ms).to.be.at.least(DEFAULT_LIMITS.settleMs);
  });

  it('keeps a resident model away until somebody asks for it', async () => {
    const bench = withGpu();
    await bench.until('r', 'ready');
    await unloaded(bench, 'r');
    await bench.clock.run(60_000);
    expect(bench.model('r').state).to.equal('unloaded');
    (await bench.lease('r')).release();
    await bench.clock.run(600_000);
    expect(bench.model('r').state).to.equal('ready');
  });

  it('refuses a pinned model, and one that does not exist; what is not loaded is no error', async () => {
    const bench = withGpu();
    const errors = await Promise.all(
      ['p', 'nobody'].map((model) => bench.pool.unload(model).catch((error: unknown) => codeOf(error))),
    );
    expect(errors).to.deep.equal(['pinned', 'model_not_found']);
    const report = await unloaded(bench, 'a');
    expect(report).to.deep.include({ model: 'a', cutRequests: 0, devices: [] }).and.to.not.have.property('hid');
  });

  it('does not lose a request whose load has not begun', async () => {
    const bench = withGpu();
    const asked = bench.ask('a');
    const report = bench.pool.unload('a');
    await settle();
    await bench.clock.runUntil(() => asked.lease !== undefined);
    asked.lease?.release();
    await bench.clock.run(20_000);
    expect((await report).model).to.equal('a');
  });
});
