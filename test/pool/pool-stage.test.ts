/** Another profile made ready beside the one that is served: what a switch asks of the pool, step by step. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { Stage } from '../../src/pool/pool.js';
import type { ModelSpec } from '../../src/schema/profile.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec, profileOf } from '../support/profiles.js';
import { Bench, codeOf, never } from './bench.js';
import { MIB } from './fake-node.js';

const resident = (name: string, more: Partial<ModelSpec> = {}): ModelSpec =>
  modelSpec(name, { residency: 'resident', ...more });
/** The same name with other options. */
const other = (name: string, more: Partial<ModelSpec> = {}): ModelSpec =>
  resident(name, { configHash: 'other', ...more });

class Rehearsal extends Bench {
  /** Starts `first`, waits for its residents, stages `next`. */
  async staged(first: readonly ModelSpec[], next: readonly ModelSpec[]): Promise<Stage> {
    this.apply(first);
    for (const { name, residency } of first) if (residency === 'resident') await this.until(name, 'ready');
    return this.pool.stage(profileOf(next, { name: 'next' }));
  }

  /** After as much fake time as it takes. */
  async end<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    void promise.then(
      () => (over = true),
      () => (over = true),
    );
    await this.clock.runUntil(() => over);
    return promise;
  }
}

describe('pool: a profile made ready beside another', () => {
  it('touches nothing by itself', async () => {
    const bench = new Rehearsal();
    await bench.staged([resident('a')], [other('a'), resident('new')]);
    await bench.clock.run(5000);
    expect(bench.node.hosts).to.have.length(1);
    expect((await bench.lease('a')).hid).to.equal(bench.node.one('a').hid);
  });

  it('loads beside what runs, and hands over at the flip: the same name goes on without a gap', async () => {
    const bench = new Rehearsal();
    const stage = await bench.staged([resident('a'), resident('b')], [other('a'), resident('b')]);
    const [oldA, b] = [bench.model('a').hid, bench.model('b').hid];
    const running = await bench.lease('a');
    await bench.end(stage.load('a', never()));
    expect(stage.isReady('a')).to.equal(true);
    expect(stage.status().map(({ name, state }) => [name, state])).to.deep.equal([['a', 'ready']]);
    expect((await bench.lease('a')).hid).to.equal(oldA);
    stage.flip(20_000);
    const after = await bench.lease('a');
    expect(after.hid).to.not.equal(oldA);
    expect(bench.model('b').hid).to.equal(b);
    await bench.clock.run(5000);
    expect(running.lost.aborted).to.equal(false);
    await bench.clock.run(16_000);
    expect(codeOf(running.lost.reason)).to.equal('profile_switching');
    await bench.end(stage.cleared(never()));
    expect(bench.node.of('a')).to.have.length(1);
  });

  it('holds back what leaves: served while it is loaded, not loaded anew', async () => {
    const bench = new Rehearsal();
    const stage = await bench.staged([resident('a'), modelSpec('b')], [resident('c')]);
    stage.pause();
    const [onA, onB] = [bench.ask('a'), bench.ask('b')];
    await bench.clock.run(5000);
    expect([onA.lease !== undefined, onB.lease, onB.error]).to.deep.equal([true, undefined, undefined]);
    bench.node.one('a').die();
    await bench.clock.run(10_000);
    expect(bench.node.of('a')).to.have.length(0);
    stage.flip(0);
    await settle();
    expect(codeOf(onB.error)).to.equal('profile_switching');
  });

  it('takes leave: no new grants, what runs may end in time, then the process goes with its bytes', async () => {
    const bench = new Rehearsal();
    const stage = await bench.staged([resident('a')], [other('a')]);
    stage.pause();
    const running = await bench.lease('a');
    const drained = stage.drain('a', 10_000, never());
    const waiting = bench.ask('a');
    await bench.clock.run(1000);
    expect(waiting.lease).to.equal(undefined);
    running.release();
    await bench.end(drained);
    expect([waiting.lease, bench.node.of('a').length]).to.deep.equal([undefined, 1]);
    await bench.end(stage.dismiss('a', never()));
    expect((await bench.end(stage.proof('a')))?.cut).to.equal(0);
    expect([bench.node.of('a').length, bench.held['cpu']]).to.deep.equal([0, 0]);
    await bench.end(stage.load('a', never()));
    stage.flip(0);
    await settle();
    expect(waiting.lease?.hid).to.equal(bench.node.one('a').hid);
  });

  it('cuts off what does not end in time', async () => {
    const bench = new Rehearsal();
    const stage = await bench.staged([resident('a')], [resident('b')]);
    const running = await bench.lease('a');
    await bench.end(stage.drain('a', 500, never()));
    expect(running.lost.aborted).to.equal(false);
    await bench.end(stage.dismiss('a', never()));
    expect(codeOf(running.lost.reason)).to.equal('profile_switching');
    expect((await bench.end(stage.proof('a')))?.cut).to.equal(1);
  });

  it('keeps the order of those who wait, over leave and flip', async () => {
    const bench = new Rehearsal();
    const one = { slots: 1, purpose: 'generate', file: '/models/a.gguf', contextTokens: 100 } as const;
    const stage = await bench.staged([resident('a', { load: one })], [other('a', { load: one })]);
    await bench.end(stage.drain('a', 0, never()));
    const early = bench.ask('a');
    await bench.end(stage.dismiss('a', never()));
    const late = bench.ask('a');
    await bench.end(stage.load('a', never()));
    stage.flip(0);
    await settle();
    expect([early.lease !== undefined, late.lease]).to.deep.equal([true, undefined]);
    early.lease?.release();
    await settle();
    expect(late.lease).to.not.equal(undefined);
  });

  it('gives up: what was loaded for it ends, what was drained serves again, what has left comes back', async () => {
    const bench = new Rehearsal();
    const stage = await bench.staged([resident('a'), resident('b')], [other('a'), resident('new')]);
    stage.pause();
    await bench.end(stage.load('new', never()));
    await bench.end(stage.drain('b', 0, never()));
    await bench.end(stage.drain('a', 0, never()));
    await bench.end(stage.dismiss('a', never()));
    const waiting = [bench.ask('a'), bench.ask('b')];
    await bench.clock.run(3000);
    expect(waiting.map(({ lease }) => lease)).to.deep.equal([undefined, undefined]);
    stage.abandon();
    stage.abandon();
    await settle();
    expect(waiting[1]?.lease?.hid).to.equal(bench.node.one('b').hid);
    await bench.end(stage.restore('a', never()));
    await settle();
    expect(waiting[0]?.lease?.hid).to.equal(bench.node.one('a').hid);
    await bench.clock.run(5000);
    expect(bench.node.of('new')).to.have.length(0);
    expect(bench.model('a').queued + bench.model('b').queued).to.equal(0);
  });

  for (const end of ['flip', 'abandon'] as const) {
    it(`keeps a model of both unloaded that made room, until ${end}; then it is loaded for whoever waits`, async () => {
      const bench = new Rehearsal();
      const stage = await bench.staged([modelSpec('a')], [modelSpec('a'), resident('new')]);
      (await bench.end(bench.lease('a'))).release();
      const { hid } = bench.node.one('a');
      stage.pause();
      expect((await bench.end(bench.lease('a'))).hid).to.equal(hid);
      await bench.end(stage.drain('a', 500, never()));
      await bench.end(stage.dismiss('a', never()));
      await bench.end(stage.proof('a'));
      const waiting = bench.ask('a');
      await bench.end(stage.load('new', never()));
      await bench.clock.run(3000);
      expect([waiting.lease, waiting.error, bench.node.of('a').length]).to.deep.equal([undefined, undefined, 0]);
      if (end === 'flip') stage.flip(0);
      else stage.abandon();
      await bench.clock.runUntil(() => waiting.lease !== undefined);
      expect(waiting.lease?.hid).to.equal(bench.node.one('a').hid);
      expect(waiting.lease?.hid).to.not.equal(hid);
      await bench.clock.run(5000);
      expect(bench.node.of('new')).to.have.length(end === 'flip' ? 1 : 0);
    });
  }

  it('says why a model cannot be loaded, and tries again at once when asked again', async () => {
    const bench = new Rehearsal();
    const stage = await bench.staged([resident('a')], [resident('a'), resident('big')]);
    bench.node.script.bytes['/models/big.gguf'] = 4096 * MIB;
    const refused: unknown = await bench.end(stage.load('big', never())).catch((error: unknown) => error);
    expect(codeOf(refused)).to.equal('does_not_fit');
    bench.node.script.bytes['/models/big.gguf'] = MIB;
    bench.node.script.planErrors = {};
    await bench.end(stage.load('big', never()));
    expect(stage.isReady('big')).to.equal(true);
  });

  it('ends a load that is not wanted any more', async () => {
    const bench = new Rehearsal();
    bench.node.script.loadMs = Infinity;
    bench.apply([modelSpec('a')]);
    const stage = bench.pool.stage(profileOf([resident('new')]));
    const enough = new AbortController();
    const loading = stage.load('new', enough.signal);
    await bench.clock.run(1000);
    enough.abort(new LlamaestroError('cancelled', 'enough'));
    expect(codeOf(await loading.catch((error: unknown) => error))).to.equal('cancelled');
    stage.abandon();
    await bench.clock.run(10_000);
    expect(bench.node.hosts.filter(({ isAlive }) => isAlive)).to.deep.equal([]);
  });

  it('counts room by the budget of the profile to come', async () => {
    const bench = new Rehearsal();
    bench.node.script.bytes = { '/models/new.gguf': 100 * MIB };
    bench.apply([resident('a')]);
    await bench.until('a', 'ready');
    const stage = bench.pool.stage(profileOf([resident('a'), resident('new')], { budgets: { cpu: 50 * MIB } }));
    const refused: unknown = await bench.end(stage.load('new', never())).catch((error: unknown) => error);
    expect(codeOf(refused)).to.equal('does_not_fit');
    stage.abandon();
    const next = bench.pool.stage(profileOf([resident('a'), resident('new')]));
    await bench.end(next.load('new', never()));
  });

  it('keeps a loaded process before one that is only listed', async () => {
    const bench = new Rehearsal();
    const stage = await bench.staged(
      [modelSpec('a', { configHash: 'same' }), resident('b', { configHash: 'same' })],
      [resident('a', { configHash: 'same' })],
    );
    const { hid } = bench.model('b');
    stage.flip(0);
    await bench.clock.run(3000);
    expect(bench.model('a').hid).to.equal(hid);
    expect(bench.node.hosts).to.have.length(1);
  });
});
