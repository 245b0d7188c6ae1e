/** How runs end that do not end by themselves, and what is known of them then. */
import { expect } from 'chai';
import { answersCancels, play, types, type Playing } from './play.js';
import { CANCELLED, delta, FINAL, PROFILE, STARTED, TIMINGS } from './stage.js';

describe('orchestra/run-driver: the times of what did not go well', () => {
  it('measures the wait that ended without a lease', async () => {
    const { clock, pool, run, result } = await play({}, ({ pool }) => (pool.hid = undefined));
    pool.lastAsk.tell({ state: 'queued', position: 1 });
    await clock.run(30);
    pool.lastAsk.tell({ state: 'loading', fraction: 0 });
    await clock.run(40);
    run.cancel('enough');
    await clock.run(20);
    expect(result().timings).to.include({ loadMs: 40, prefillMs: 0, decodeMs: 0, ttftMs: 0 });
    expect(result().timings.queueMs).to.be.within(30, 50);
    expect(result().timings.totalMs).to.be.at.least(90);
    expect(result().attempts[0]).to.include({ stage: 'load', hid: '' });
  });

  it('measures what a host that died could not tell any more', async () => {
    const { clock, pool, host, result } = await play();
    await clock.run(25);
    host.say([STARTED]);
    await clock.run(60);
    host.say([delta(0, 'half')]);
    await clock.run(80);
    pool.lastLease.lose();
    await clock.run(20);
    const { queueMs, loadMs, prefillMs, decodeMs, ttftMs, totalMs } = result().timings;
    expect(loadMs).to.equal(7);
    expect(queueMs).to.be.within(5 + 25, 5 + 60);
    expect(prefillMs).to.be.within(50, 70);
    expect(decodeMs).to.be.within(70, 90);
    expect(ttftMs).to.be.within(queueMs + prefillMs - 20, totalMs - decodeMs + 1);
    expect(result().attempts[0]).to.include({ hid: 'hid_a', stage: 'decode' });
  });

  it("takes a cancelled attempt's times from the host, and names the host", async () => {
    const { clock, run, result } = await play({}, answersCancels);
    run.cancel('enough');
    await clock.run(50);
    expect(result().timings).to.include({ queueMs: 5 + TIMINGS.queueMs, loadMs: 7, prefillMs: 2, decodeMs: 3 });
    expect(result().attempts[0]).to.include({ hid: 'hid_a' });
  });
});

describe('orchestra/run-driver: ends from outside', () => {
  const stages: readonly [string, (playing: Playing) => void | Promise<void>][] = [
    ['queued', ({ pool }) => pool.lastAsk.tell({ state: 'queued', position: 1 })],
    ['loading', ({ pool }) => pool.lastAsk.tell({ state: 'loading', fraction: 0.3 })],
  ];
  for (const [name, reach] of stages) {
    it(`cancels while ${name}: nothing reaches a host`, async () => {
      const playing = await play({}, ({ pool }) => (pool.hid = undefined));
      await reach(playing);
      playing.run.cancel('not wanted any more');
      await playing.clock.run(20);
      expect(types(playing.events).at(-1)).to.equal('cancelled');
      expect(playing.result()).to.deep.include({ status: 'cancelled', finishReason: 'cancelled', text: '' });
      expect(playing.result().error).to.include({ code: 'cancelled', message: 'not wanted any more' });
      expect(playing.host.gens).to.deep.equal([]);
      expect((await playing.journal.get(playing.run.id))?.terminal?.status).to.equal('cancelled');
      await playing.strike();
      expect(playing.clock.pendingTimers).to.equal(0);
    });
  }

  for (const [name, said, text] of [
    ['prefill', [STARTED], ''],
    ['decode', [STARTED, delta(0, 'so far')], 'so far'],
  ] as const) {
    it(`cancels in ${name}: the lease goes back when the host says so`, async () => {
      const { clock, host, run, pool, events, result, strike } = await play();
      host.say(said);
      await clock.run(20);
      run.cancel('stop');
      run.cancel('again');
      await clock.run(20);
      expect(host.cancels).to.have.length(1);
      expect(pool.lastLease.releases).to.equal(0);
      host.say([CANCELLED]);
      await clock.run(20);
      expect(pool.lastLease.releases).to.equal(1);
      expect(result()).to.deep.include({ status: 'cancelled', text });
      expect(types(events).at(-1)).to.equal('cancelled');
      run.cancel('too late');
      await strike();
      expect(clock.pendingTimers).to.equal(0);
    });
  }

  it('ends for the client two seconds after a cancel that a host ignores; the slot stays taken', async () => {
    const { clock, host, run, pool, events } = await play();
    host.say([STARTED, delta(0, 'a')]);
    await clock.run(20);
    run.cancel('stop');
    await clock.run(2100);
    host.say([delta(1, 'b')]);
    await clock.run(20);
    expect(types(events)).to.deep.equal(['accepted', 'routed', 'prefill', 'delta', 'cancelled']);
    expect(pool.lastLease.releases).to.equal(0);
    host.say([CANCELLED]);
    await clock.run(20);
    expect(pool.lastLease.releases).to.equal(1);
  });

  it('cancels between two attempts', async () => {
    const { clock, pool, run, result } = await play();
    pool.lastLease.lose();
    await clock.run(10);
    run.cancel('enough');
    await clock.run(1000);
    expect(result().status).to.equal('cancelled');
    expect(pool.asks).to.have.length(1);
  });

  it('ends at its deadline, wherever it is', async () => {
    const waiting = await play({ timeoutMs: 500 }, ({ pool }) => (pool.hid = undefined));
    await waiting.clock.run(500);
    expect(waiting.result().error).to.include({ code: 'deadline', message: 'the run took longer than 500 ms' });
    const decoding = await play({ timeoutMs: 500 }, answersCancels);
    decoding.host.say([STARTED, delta(0, 'a')]);
    await decoding.clock.run(520);
    expect(decoding.result()).to.deep.include({ status: 'failed', text: 'a' });
    expect(decoding.result().error?.code).to.equal('deadline');
    expect(decoding.pool.lastLease.releases).to.equal(1);
  });

  it('waits for a slot no longer than the queue time', async () => {
    const profile = { ...PROFILE, timeouts: { ...PROFILE.timeouts, queueMs: 300 } };
    const { clock, result } = await play({}, ({ pool }) => (pool.hid = undefined), profile);
    await clock.run(300);
    expect(result().error?.code).to.equal('queue_timeout');
    expect(result().attempts[0]).to.include({ stage: 'queue', hid: '' });
  });
});

describe('orchestra/run-driver: a journal that fails', () => {
  it('stops the work on a request whose attempt is not journalled', async () => {
    const { clock, pool, host, journal, result } = await play({}, (parts) => {
      parts.pool.hid = undefined;
      answersCancels(parts);
    });
    journal.failing = true;
    const lease = pool.lastAsk.grant('hid_a');
    await clock.run(20);
    expect(result().error?.code).to.equal('journal_unavailable');
    expect([host.cancels.length, lease.releases]).to.deep.equal([host.gens.length, 1]);
  });

  it('says so when the end cannot be kept, with the text that was delivered', async () => {
    const { clock, host, journal, result, events, pool } = await play();
    host.say([STARTED, delta(0, 'all of it')]);
    await clock.run(20);
    journal.failing = true;
    host.say([FINAL]);
    await clock.run(20);
    expect(result()).to.deep.include({ status: 'failed', finishReason: 'error', text: 'all of it' });
    expect(result().error?.code).to.equal('journal_unavailable');
    expect(types(events).filter((type) => type === 'failed' || type === 'completed')).to.deep.equal(['failed']);
    expect(pool.lastLease.releases).to.equal(1);
  });

  it('contradicts no end that the journal holds already', async () => {
    const { clock, host, journal, run, result } = await play();
    await journal.finish(run.id, { status: 'interrupted', atMs: 1 });
    host.say([STARTED, delta(0, 'x'), FINAL]);
    await clock.run(20);
    expect(result().status).to.equal('failed');
    expect((await journal.get(run.id))?.terminal?.status).to.equal('interrupted');
  });
});
