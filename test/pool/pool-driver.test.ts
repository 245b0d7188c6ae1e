/** The pool as its callers see it: loads, queue, counting, its own work, the end. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec } from '../support/profiles.js';
import { Bench, codeOf, never } from './bench.js';

const PATIENCE = { budgetMs: 60_000, queueMs: 30_000 };
const text = (words: string) => ({ kind: 'text', text: words }) as const;

describe('pool: loading', () => {
  it('loads on the first request, tells the waiter, and grants', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    expect(bench.model('a').state).to.equal('unloaded');
    const asked = bench.ask('a');
    await bench.until('a', 'loading');
    const sinceMs = bench.clock.nowMs();
    bench.node.one('a').progress(0.5);
    await bench.until('a', 'ready');
    await settle();
    expect(asked.lease).to.include({ model: 'a', hid: bench.node.one('a').hid });
    expect(asked.progress).to.deep.equal([
      { state: 'queued', position: 1 },
      { state: 'loading', fraction: 0 },
      { state: 'loading', fraction: 0.5, estimatedMs: Math.round(sinceMs) },
    ]);
    expect(asked.lease?.loadMs).to.be.above(100);
    expect(asked.lease?.queueMs).to.equal(0);
    expect(bench.model('a')).to.include({ leased: 1, loads: 1, pid: 1001 });
  });

  it('loads once for fifty first requests, and serves them in order', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const asked = Array.from({ length: 50 }, () => bench.ask('a'));
    const order: number[] = [];
    for (let served = 0; served < 50; served++) {
      await bench.clock.runUntil(() => asked.some(({ lease }, index) => lease !== undefined && !order.includes(index)));
      const index = asked.findIndex(({ lease }, position) => lease !== undefined && !order.includes(position));
      order.push(index);
      asked[index]?.lease?.release();
    }
    expect(order).to.deep.equal(Array.from({ length: 50 }, (_, index) => index));
    expect(bench.node.count('spawn')).to.equal(1);
    expect(bench.node.one('a').commands.filter(({ op }) => op === 'load')).to.have.length(1);
  });

  it('runs as many at a time as the host has slots', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const asked = [bench.ask('a'), bench.ask('a'), bench.ask('a')];
    await bench.until('a', 'ready');
    await settle();
    expect(asked.map(({ lease }) => lease !== undefined)).to.deep.equal([true, true, false]);
    expect(asked[2]?.progress.at(-1)).to.deep.equal({ state: 'queued', position: 1 });
    asked[0]?.lease?.release();
    asked[0]?.lease?.release();
    await settle();
    expect(asked[2]?.lease).to.not.equal(undefined);
    expect(bench.model('a')).to.include({ leased: 2, queued: 0 });
  });

  it('loads with the options of the profile and the shared step lock', async () => {
    const bench = new Bench({}, '/run/step.lock');
    bench.apply([modelSpec('a')]);
    await bench.lease('a');
    const { load } = modelSpec('a');
    expect(bench.node.one('a').members[0]?.load).to.deep.equal({ ...load, stepLock: '/run/step.lock', gpuLayers: 0 });
  });

  it('loads resident models at once, and loads them again after a crash although nobody waits', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a', { residency: 'resident' }), modelSpec('b')]);
    await bench.until('a', 'ready');
    expect(bench.model('b').state).to.equal('unloaded');
    bench.node.one('a').die();
    await bench.until('a', 'failed');
    await bench.until('a', 'ready');
    expect(bench.model('a')).to.include({ loads: 2, crashes: 1 });
  });

  it('does not take lost answers for refusals: the load goes on', async () => {
    const bench = new Bench();
    bench.node.script.mute = ['spawn', 'load'];
    bench.node.script.startMs = 12_000;
    bench.node.script.loadMs = 25_000;
    bench.apply([modelSpec('a')]);
    expect((await bench.lease('a')).model).to.equal('a');
    expect(bench.node.count('spawn')).to.equal(1);
  });

  it('tells those who wait that no process can be started, and books no bytes for it', async () => {
    const bench = new Bench();
    bench.node.script.spawnError = new LlamaestroError('no_host', 'too many processes');
    bench.apply([modelSpec('a')]);
    const asked = bench.ask('a');
    await bench.until('a', 'failed');
    await settle();
    expect(codeOf(asked.error)).to.equal('no_host');
    expect(bench.held).to.deep.equal({ cpu: 0 });
    bench.node.script.spawnError = undefined;
    expect((await bench.lease('a')).model).to.equal('a');
  });

  it('refuses at once what can never be served, naming what there is', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a'), modelSpec('gone', { available: false })]);
    const asked = [bench.ask('nobody'), bench.ask('gone')];
    await settle();
    expect(asked.map(({ error }) => codeOf(error))).to.deep.equal(['model_not_found', 'model_unusable']);
    expect(() => bench.pool.refusal({ model: 'nobody' }, PATIENCE)).to.throw("no model 'nobody'");
  });

  it('refuses beyond the bounded queue', async () => {
    const bench = new Bench({ maxWaiting: 2 });
    bench.apply([modelSpec('a')]);
    bench.ask('a');
    expect(bench.pool.refusal({ model: 'a' }, PATIENCE)).to.equal(undefined);
    bench.ask('a');
    expect(bench.pool.refusal({ model: 'a' }, PATIENCE)?.code).to.equal('queue_full');
    const third = bench.ask('a');
    await settle();
    expect(codeOf(third.error)).to.equal('queue_full');
  });
});

describe('pool: waiters who leave', () => {
  it('forgets a waiter in the queue without disturbing the others', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const holders = [await bench.lease('a'), await bench.lease('a')];
    const controller = new AbortController();
    const gone = bench.ask('a', controller.signal);
    const next = bench.ask('a');
    controller.abort(new LlamaestroError('cancelled', 'left'));
    await settle();
    expect(codeOf(gone.error)).to.equal('cancelled');
    expect(next.progress.map((told) => ('position' in told ? told.position : 0))).to.deep.equal([2, 1]);
    holders[0]?.release();
    await settle();
    expect(next.lease).to.not.equal(undefined);
    expect(gone.lease).to.equal(undefined);
    expect(bench.model('a')).to.include({ leased: 2, queued: 0 });
  });

  it('goes on with a load whose only waiter left, and starts none for who was never there', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a'), modelSpec('b')]);
    const controller = new AbortController();
    const gone = bench.ask('a', controller.signal);
    await bench.until('a', 'loading');
    controller.abort(new LlamaestroError('cancelled', 'left'));
    const never = bench.ask('b', controller.signal);
    await bench.until('a', 'ready');
    expect(codeOf(gone.error)).to.equal('cancelled');
    expect(codeOf(never.error)).to.equal('cancelled');
    expect(bench.model('a')).to.include({ leased: 0, queued: 0 });
    expect(bench.model('b').state).to.equal('unloaded');
  });

  it('gives no slot to a caller whose signal aborted in the same breath', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a', { load: { file: '/m', purpose: 'generate', slots: 1 } })]);
    const holder = await bench.lease('a');
    const controller = new AbortController();
    // This listener runs before the pool's own: the slot is offered while the waiter is already gone.
    controller.signal.addEventListener('abort', () => holder.release());
    const gone = bench.ask('a', controller.signal);
    const next = bench.ask('a');
    controller.abort(new LlamaestroError('cancelled', 'left'));
    await settle();
    expect(codeOf(gone.error)).to.equal('cancelled');
    expect(next.lease).to.not.equal(undefined);
    expect(bench.model('a').leased).to.equal(1);
  });
});

describe('pool: work of its own', () => {
  it('counts by the vocabulary before the load and by the host after it', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const before = bench.pool.count('a', text('four'));
    await bench.clock.run(100);
    expect(await before).to.deep.equal({ tokens: 4, contextTokensPerSlot: 512 });
    expect(bench.model('a').state).to.equal('unloaded');
    expect(bench.node.count('count')).to.equal(1);
    await bench.lease('a');
    const after = bench.pool.count('a', text('four!'));
    await bench.clock.run(100);
    expect(await after).to.deep.equal({ tokens: 5, contextTokensPerSlot: 512 });
    expect(bench.node.count('count')).to.equal(1);
  });

  it('counts by the vocabulary when the host is just gone', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    await bench.lease('a');
    bench.node.one('a').mute();
    const counted = bench.pool.count('a', text('four'));
    await bench.clock.run(20_000);
    expect((await counted).tokens).to.equal(4);
  });

  it('counts by the vocabulary at once when the host dies over it', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    (await bench.lease('a')).release();
    bench.node.one('a').mute();
    const counted = bench.pool.count('a', text('four'));
    await bench.clock.run(10);
    const diedAtMs = bench.clock.nowMs();
    bench.node.one('a').die();
    await bench.clock.runUntil(() => bench.node.count('count') === 1);
    expect(bench.clock.nowMs() - diedAtMs).to.be.below(100);
    await bench.clock.run(100);
    expect((await counted).tokens).to.equal(4);
  });

  it('leaves a count with its caller, not with the vocabulary', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    (await bench.lease('a')).release();
    bench.node.one('a').mute();
    const caller = new AbortController();
    const counted = bench.pool.count('a', text('four'), caller.signal).catch(codeOf);
    await bench.clock.run(10);
    caller.abort(new LlamaestroError('cancelled', 'the client left'));
    expect(await counted).to.equal('cancelled');
    expect(bench.node.count('count')).to.equal(0);
  });

  it('embeds and reranks under a lease that comes back', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('e'), modelSpec('r')]);
    const vectors = bench.pool.embed('e', ['ab', 'c'], never());
    const scores = bench.pool.rerank('r', 'q', ['abc', 'd'], never());
    await bench.clock.run(1000);
    expect(await vectors).to.deep.equal([
      [2, 1],
      [1, 1],
    ]);
    expect(await scores).to.deep.equal([3, 1]);
    expect([bench.model('e').leased, bench.model('r').leased]).to.deep.equal([0, 0]);
  });

  it('fails an embedding when its host dies', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('e')]);
    (await bench.lease('e')).release();
    bench.node.one('e').mute();
    const vectors = bench.pool.embed('e', ['ab'], never()).catch(codeOf);
    await bench.clock.run(100);
    bench.node.one('e').die();
    await bench.clock.run(100);
    expect(await vectors).to.equal('host_lost');
  });

  it('renews the attempts that run, and only those', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    const [lease, idle] = [await bench.lease('a'), await bench.lease('a')];
    lease.begin(3);
    const host = bench.node.one('a');
    host.attempts = [{ rid: 'run_1', att: 3 }];
    await bench.clock.run(11_000);
    const renewals = (): unknown[] => host.commands.filter(({ op }) => op === 'renew');
    const renewal = { op: 'renew', gid: 'gw_1', attempts: [{ rid: 'run_1', att: 3 }] };
    expect(renewals()).to.deep.equal([renewal, renewal]);
    lease.release();
    await bench.clock.run(11_000);
    expect(renewals()).to.have.length(2);
    idle.release();
  });

  it('keeps the token counts of hosts that are gone', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a', { residency: 'resident' })]);
    await bench.until('a', 'ready');
    bench.node.one('a').generatedTokens = 40;
    await bench.clock.run(1100);
    bench.node.one('a').die();
    await bench.until('a', 'failed');
    await bench.until('a', 'ready');
    bench.node.one('a').generatedTokens = 2;
    await bench.clock.run(1100);
    expect(bench.model('a').generatedTokens).to.equal(42);
  });
});

describe('pool: the end', () => {
  it('drains: takes nothing new, serves what waits, resolves when all is back', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a', { load: { file: '/m', purpose: 'generate', slots: 1 } })]);
    const lease = await bench.lease('a');
    const waiting = bench.ask('a');
    let isDrained = false;
    void bench.pool.drain().then(() => (isDrained = true));
    const late = bench.ask('a');
    await settle();
    expect(codeOf(late.error)).to.equal('draining');
    lease.release();
    await settle();
    expect([waiting.lease !== undefined, isDrained]).to.deep.equal([true, false]);
    waiting.lease?.release();
    await settle();
    expect(isDrained).to.equal(true);
  });

  it('gives a drain up with the signal', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a')]);
    await bench.lease('a');
    const controller = new AbortController();
    const drained = bench.pool.drain(controller.signal).catch(codeOf);
    controller.abort(new LlamaestroError('deadline', 'long enough'));
    expect(await drained).to.equal('deadline');
  });

  it('closes: ends every host, refuses who waits, leaves no timer of its own', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a', { residency: 'resident' }), modelSpec('b')]);
    const lease = await bench.lease('a');
    lease.begin(1);
    const waiting = bench.ask('b');
    await bench.until('b', 'loading');
    const closed = bench.pool.close();
    await bench.clock.run(1000);
    await closed;
    expect(bench.node.hosts.some((host) => host.isAlive)).to.equal(false);
    expect(codeOf(waiting.error)).to.equal('draining');
    expect(codeOf(lease.lost.reason)).to.equal('draining');
    await bench.clock.run(120_000);
    expect(bench.node.count('spawn')).to.equal(2);
    // What is left belongs to the fake node: its own beat.
    expect(bench.clock.pendingTimers).to.be.at.most(1);
  });

  it('tells a lease that a switch of profiles cut short why, and counts no crash', async () => {
    const bench = new Bench();
    bench.apply([modelSpec('a'), modelSpec('b')]);
    const [left, reloaded] = [await bench.lease('a'), await bench.lease('b')];
    const { load } = modelSpec('b');
    bench.apply([modelSpec('b', { load: { ...load, contextTokens: 128 }, configHash: 'other' })]);
    await bench.clock.runUntil(() => left.lost.aborted && reloaded.lost.aborted);
    expect(codeOf(left.lost.reason)).to.equal('profile_switching');
    expect(codeOf(reloaded.lost.reason)).to.equal('profile_switching');
    expect((await bench.lease('b')).hid).to.not.equal(reloaded.hid);
    expect(bench.model('b').crashes).to.equal(0);
  });

  it('kills hosts that do not go by themselves', async () => {
    const bench = new Bench();
    bench.node.script.deafToExit = true;
    bench.apply([modelSpec('a')]);
    await bench.lease('a');
    const closed = bench.pool.close();
    await bench.clock.run(6000);
    await closed;
    expect(bench.node.count('kill')).to.equal(1);
    expect(bench.node.hosts.some((host) => host.isAlive)).to.equal(false);
  });
});
