/** Predicted against measured, what did not come back, and who makes room for whom. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec } from '../support/profiles.js';
import { Bench, codeOf } from './bench.js';
import { MIB } from './fake-node.js';

const GPU = { id: 'cuda0', kind: 'cuda', description: '', totalBytes: 8192 * MIB, freeBytes: 8000 * MIB } as const;

/** A model on the GPU and one on the CPU. */
function withGpu(): Bench {
  const bench = new Bench();
  bench.node.script.devices.push({ ...GPU });
  bench.node.script.gpuBytes = { '/models/a.gguf': 1000 * MIB };
  bench.apply([modelSpec('a', { ttlMs: 20_000 }), modelSpec('b', { ttlMs: 20_000 })]);
  return bench;
}

async function oneLife(bench: Bench, model: string): Promise<void> {
  (await bench.lease(model)).release();
  await bench.until(model, 'unloaded');
  await bench.clock.run(10_000);
}

describe('pool: predicted and measured', () => {
  it('corrects the next plan by what was measured, and keeps that in the journal', async () => {
    const bench = withGpu();
    bench.node.script.beyondPlan = { cuda0: 300 * MIB };
    (await bench.lease('a')).release();
    expect(bench.model('a').extra, 'nothing is known yet').to.equal(undefined);
    expect(bench.model('a').measured).to.deep.equal({ cpu: MIB, cuda0: 1300 * MIB });
    await bench.until('a', 'unloaded');
    const notes = await bench.journal.memoryNotes(10);
    expect(notes.find(({ device }) => device === 'cuda0')).to.deep.include({
      ...{ model: 'a', config: 'a', build: 'fake 1', plannedBytes: 1000 * MIB, measuredBytes: 1300 * MIB },
    });
    (await bench.lease('a')).release();
    expect(bench.model('a').extra).to.deep.equal({ cuda0: 300 * MIB });
    expect(bench.held['cuda0']).to.equal(1300 * MIB);
  });

  it('learns from the journal of a former process', async () => {
    const before = withGpu();
    before.node.script.beyondPlan = { cuda0: 300 * MIB };
    await oneLife(before, 'a');
    const bench = withGpu();
    for (const note of [...(await before.journal.memoryNotes(10))].reverse()) await bench.journal.noteMemory(note);
    (await bench.lease('a')).release();
    expect(bench.model('a').extra).to.deep.equal({ cuda0: 300 * MIB });
  });

  it('takes free memory of a GPU for the measure of one load only if nothing else of ours moved', async () => {
    const bench = withGpu();
    bench.node.script.loadMs = 1000;
    const [a, b] = [bench.ask('a'), bench.ask('b')];
    await bench.clock.runUntil(() => a.lease !== undefined && b.lease !== undefined);
    expect(bench.model('a').measured).to.deep.equal({ cpu: MIB });
  });

  it('takes no load for smaller than its buffers because others gave back meanwhile', async () => {
    const bench = withGpu();
    bench.node.script.beyondPlan = { cuda0: -400 * MIB };
    await bench.lease('a');
    expect(bench.model('a').measured).to.deep.equal({ cpu: MIB, cuda0: 1000 * MIB });
  });

  it('does so neither while another load goes on that began before and ends after', async () => {
    const bench = withGpu();
    bench.node.script.loadMs = 5000;
    bench.ask('a');
    await bench.until('a', 'loading');
    await bench.clock.run(100);
    bench.node.script.loadMs = 100;
    bench.node.script.gpuBytes = { ...bench.node.script.gpuBytes, '/models/b.gguf': 500 * MIB };
    (await bench.lease('b')).release();
    expect(bench.model('a').state).to.equal('loading');
    expect(bench.model('b').measured).to.deep.equal({ cpu: MIB });
  });

  it('goes on without a journal that works', async () => {
    const bench = withGpu();
    await bench.journal.close();
    expect((await bench.lease('a')).model).to.equal('a');
  });
});

describe('pool: what does not come back', () => {
  it('puts a device under quarantine, loads elsewhere, and ends it when the bytes are back', async () => {
    const bench = withGpu();
    (await bench.lease('a')).release();
    await bench.clock.run(5000);
    bench.node.one('a').die();
    bench.node.script.foreign = { cuda0: 500 * MIB };
    await bench.clock.run(DEFAULT_LIMITS.settleMs + 1000);
    const [quarantine] = bench.pool.status().nodes[0]?.quarantines ?? [];
    expect(quarantine).to.include({ device: 'cuda0', model: 'a', missingBytes: 500 * MIB });
    const asked = bench.ask('a');
    await settle();
    await bench.clock.run(1000);
    expect(codeOf(asked.error)).to.equal('out_of_memory');
    expect((asked.error as LlamaestroError).message).to.contain('quarantine');
    expect((asked.error as LlamaestroError).details)
      .to.have.property('retryAfterMs')
      .above(0);
    expect((await bench.lease('b')).model).to.equal('b');
    bench.node.script.foreign = {};
    await bench.clock.run(DEFAULT_LIMITS.quarantineLookMs + 100);
    expect(bench.pool.status().nodes[0]?.quarantines).to.deep.equal([]);
    expect((await bench.lease('a')).model).to.equal('a');
  });

  it('waits for the last bytes of a host that is gone, though what is missing is within the tolerance', async () => {
    const bench = withGpu();
    const bytes = 7200 * MIB; // beside overhead and headroom, 32 MiB are left
    bench.node.script.gpuBytes = { '/models/a.gguf': bytes, '/models/b.gguf': bytes };
    (await bench.lease('a')).release();
    await bench.clock.run(20_000);
    await bench.expectPatience(bench.ask('b'), 'cuda0', 60 * MIB);
  });

  it('waits for the bytes of a load that was broken off', async () => {
    const bench = withGpu();
    const bytes = 7200 * MIB;
    bench.node.script.gpuBytes = { '/models/a.gguf': bytes, '/models/b.gguf': bytes };
    bench.node.script.loadMs = 20_000;
    const gone = new AbortController();
    bench.ask('a', gone.signal);
    await bench.until('a', 'loading');
    gone.abort(new LlamaestroError('cancelled', 'left'));
    const asked = bench.ask('b');
    await bench.until('a', 'stopping');
    await bench.clock.run(1);
    bench.node.script.foreign = { cuda0: 60 * MIB };
    bench.node.script.loadMs = 100;
    await bench.clock.run(2000);
    expect([asked.error, bench.model('b').state]).to.deep.equal([undefined, 'starting']);
    bench.node.script.foreign = {};
    await bench.clock.runUntil(() => asked.lease !== undefined, 2000);
  });

  it('counts what stays away for long as in use by others', async () => {
    const bench = withGpu();
    (await bench.lease('a')).release();
    await bench.clock.run(5000);
    bench.node.one('a').die();
    bench.node.script.foreign = { cuda0: 500 * MIB };
    await bench.clock.run(DEFAULT_LIMITS.quarantineMs + 20_000);
    expect(bench.pool.status().nodes[0]?.quarantines).to.deep.equal([]);
    expect((await bench.lease('a')).model).to.equal('a');
  });

  it('blames no device for what another program takes from the CPU', async () => {
    const bench = withGpu();
    (await bench.lease('b')).release();
    await bench.clock.run(5000);
    bench.node.one('b').die();
    bench.node.script.foreign = { cpu: 900 * MIB };
    await bench.clock.run(20_000);
    expect(bench.pool.status().nodes[0]?.quarantines).to.deep.equal([]);
  });
});

describe('pool: making room', () => {
  function tight(): Bench {
    const bench = new Bench();
    bench.node.script.bytes = { '/models/a.gguf': 60 * MIB, '/models/b.gguf': 60 * MIB };
    bench.apply([modelSpec('a'), modelSpec('b')], { budgets: { cpu: 100 * MIB } });
    return bench;
  }

  it('ends a steady use in favour of a load that waited long, without cutting anything off', async () => {
    const bench = tight();
    let lease = await bench.lease('a');
    const onB = bench.ask('b');
    const later = [];
    for (let second = 0; second < 12 && onB.lease === undefined; second++) {
      await bench.clock.run(1000);
      const next = bench.ask('a');
      later.push(next);
      await settle();
      lease.release();
      await settle();
      lease = next.lease ?? lease;
      expect(lease.lost.aborted).to.equal(false);
    }
    expect(onB.lease?.model).to.equal('b');
    const waiting = later.filter((one) => one.lease === undefined && one.error === undefined);
    expect(waiting, 'who came meanwhile waits').to.not.deep.equal([]);
    onB.lease?.release();
    await bench.clock.runUntil(() => waiting[0]?.lease !== undefined);
  });

  it('takes a model back that still drains when the load it made room for goes away', async () => {
    const bench = tight();
    const first = await bench.lease('a');
    const { hid } = first;
    const gone = new AbortController();
    bench.ask('b', gone.signal);
    await bench.clock.run(DEFAULT_LIMITS.overdueMs + 100);
    expect(bench.model('a').state).to.equal('draining');
    const second = bench.ask('a');
    await bench.clock.run(100);
    expect(second.lease).to.equal(undefined);
    gone.abort(new LlamaestroError('cancelled', 'left'));
    await bench.clock.run(10);
    expect([bench.model('a').state, second.lease?.hid, first.lost.aborted]).to.deep.equal(['ready', hid, false]);
    expect(bench.model('a').loads).to.equal(1);
  });

  it('does not turn a model out again that was only just loaded', async () => {
    const bench = tight();
    bench.node.script.loadMs = 2000;
    (await bench.lease('a')).release();
    const readyAtMs = bench.clock.nowMs();
    bench.ask('b');
    await bench.until('a', 'unloaded');
    expect(bench.clock.nowMs() - readyAtMs).to.be.within(6000, 7000);
  });
});
