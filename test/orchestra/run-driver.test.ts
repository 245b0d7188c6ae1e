import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { Run } from '../../src/orchestra/orchestra.js';
import type { RunEvent, RunRequest, RunResult } from '../../src/schema/run.js';
import { profileOf } from '../support/profiles.js';
import {
  CANCELLED,
  cancelled,
  delta,
  FINAL,
  final,
  PROFILE,
  request,
  ScriptedHost,
  stage,
  STARTED,
  TIMINGS,
  USAGE,
  watch,
  type Stage,
} from './stage.js';

/** A run under way and everything it said. */
interface Playing extends Stage {
  readonly run: Run;
  readonly events: RunEvent[];
  /** Fails while the run goes on. */
  result(): RunResult;
}

async function play(
  more: Partial<RunRequest> = {},
  prepare: (parts: Stage) => void = () => undefined,
  profile = PROFILE,
): Promise<Playing> {
  const parts = await stage(profile);
  prepare(parts);
  const run = await parts.orchestra.submit(request(more));
  const events = watch(run);
  let result: RunResult | undefined;
  void run.result.then((ended) => (result = ended));
  await parts.clock.run(20);
  const known = (): RunResult => {
    if (result === undefined) throw new Error('the run has not ended');
    return result;
  };
  return { ...parts, run, events, result: known };
}

const types = (events: readonly RunEvent[]): string[] => events.map(({ type }) => type);
const answersCancels = ({ host }: Stage): void => void (host.onCancel = () => host.say([CANCELLED]));

describe('orchestra/run-driver: a run that goes well', () => {
  it('tells what happens in order, numbered from 1, and the deltas make the text', async () => {
    const { clock, pool, host, events, result, journal, run, strike } = await play({}, ({ pool }) => {
      pool.hid = undefined;
    });
    pool.lastAsk.tell({ state: 'queued', position: 1, estimatedMs: 1234 });
    pool.lastAsk.tell({ state: 'loading', fraction: 0.5 });
    const lease = pool.lastAsk.grant('hid_a');
    await clock.run(20);
    host.say([STARTED, { type: 'progress', doneTokens: 3, totalTokens: 3 }, delta(0, 'Hel')]);
    host.say([delta(3, 'lo'), final(5)]);
    await clock.run(20);
    expect(types(events)).to.deep.equal([
      ...['accepted', 'routed', 'queued', 'loading', 'prefill', 'prefill', 'delta', 'delta'],
      'completed',
    ]);
    expect(events[2]).to.deep.include({ position: 1, estimatedMs: 1234 });
    expect(events.map(({ seq }) => seq)).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(result()).to.deep.include({ status: 'completed', text: 'Hello', finishReason: 'stop' });
    expect(result().usage).to.deep.equal({ ...USAGE, completionTokens: 5 });
    expect(result().attempts).to.have.length(1);
    expect(result().attempts[0]).to.include({ attempt: 1, hid: 'hid_a', stage: 'done', model: 'general' });
    expect(lease.begun).to.deep.equal([1]);
    expect(lease.releases).to.equal(1);
    const record = await journal.get(run.id);
    expect(record).to.include({ attempt: 1, hid: 'hid_a', delivered: true });
    expect(record?.terminal).to.deep.include({ status: 'completed', usage: { ...USAGE, completionTokens: 5 } });
    await strike();
    expect(clock.pendingTimers).to.equal(0);
  });

  it('adds up the times of queue, load and host', async () => {
    const { clock, host, result } = await play();
    host.say([STARTED, delta(0, 'a'), FINAL]);
    await clock.run(20);
    expect(result().timings).to.include({ queueMs: 5 + TIMINGS.queueMs, loadMs: 7, prefillMs: 2, decodeMs: 3 });
    expect(result().timings.ttftMs).to.be.within(1, result().timings.totalMs);
  });

  it('says how long choosing took, to a tenth of a millisecond', async () => {
    const { events } = await play({}, ({ clock }) => {
      let calls = 0;
      const nowMs = clock.nowMs.bind(clock);
      clock.nowMs = () => nowMs() + calls++ * 0.01234;
    });
    const routed = events.find((event) => event.type === 'routed');
    const ms = routed?.type === 'routed' ? routed.route.ms : NaN;
    expect(ms * 10).to.equal(Math.round(ms * 10));
  });

  it('sends the request, with what the profile says where it says nothing', async () => {
    const sampling = { temperature: 0.5, seed: 9 };
    const profile = profileOf([{ ...PROFILE.models[0]!, sampling: { temperature: 1, topK: 7 } }]);
    const { host } = await play({ sampling, stop: ['END'], ignoreEos: true }, undefined, profile);
    expect(host.gens[0]).to.deep.include({ att: 1, gid: 'gw_test', temperature: 0.5, seed: 9, topK: 7 });
    expect(host.gens[0]).to.deep.include({ stop: ['END'], ignoreEos: true, creditFrames: 256 });
    expect(host.gens[0]).to.not.have.property('maxTokens');
    expect(host.gens[0]?.ttlMs).to.be.within(59_000, 60_000);
  });

  it('never asks the host for more tokens than fit', async () => {
    const { host, events } = await play({ maxTokens: 5000 });
    expect(host.gens[0]).to.include({ maxTokens: 97 });
    const [accepted] = events;
    const warnings = accepted?.type === 'accepted' ? accepted.warnings : [];
    expect(warnings.join()).to.contain('5000').and.to.contain('97');
    expect((await play({ maxTokens: 97 })).events[0]).to.deep.include({ warnings: [] });
  });
});

describe('orchestra/run-driver: hosts that fail', () => {
  it('tries again on another host when no token was delivered', async () => {
    const { clock, pool, host, network, events, result, journal, run } = await play();
    const other = new ScriptedHost(network.connect('hid_b'), 'hid_b');
    pool.hid = 'hid_b';
    host.say([STARTED]);
    await clock.run(20);
    pool.leases[0]?.lose();
    await clock.run(200);
    expect(other.gens[0]).to.deep.include({ rid: run.id, att: 2 });
    host.say([delta(0, 'from the dead'), FINAL], host.gens[0]);
    other.say([STARTED, delta(0, 'ok'), FINAL]);
    await clock.run(20);
    expect(result()).to.deep.include({ status: 'completed', text: 'ok' });
    expect(result().attempts.map(({ attempt, hid, code }) => [attempt, hid, code])).to.deep.equal([
      [1, 'hid_a', 'host_lost'],
      [2, 'hid_b', undefined],
    ]);
    expect(types(events)).to.deep.equal(['accepted', 'routed', 'prefill', 'prefill', 'delta', 'completed']);
    expect((await journal.get(run.id))?.attempt).to.equal(2);
  });

  it('keeps the partial text, and never puts a second answer behind it', async () => {
    const { clock, pool, host, events, result, journal, run } = await play();
    host.say([STARTED, delta(0, 'half of')]);
    await clock.run(20);
    pool.lastLease.lose();
    await clock.run(10_000);
    expect(result()).to.deep.include({ status: 'failed', text: 'half of', finishReason: 'error' });
    expect(result().error?.code).to.equal('host_lost');
    expect(result().usage.completionTokens).to.equal(7);
    expect(result().attempts[0]).to.include({ stage: 'decode', code: 'host_lost' });
    expect([host.gens.length, pool.asks.length]).to.deep.equal([1, 1]);
    expect(types(events).at(-1)).to.equal('failed');
    expect((await journal.get(run.id))?.terminal).to.deep.include({ status: 'failed' });
  });

  it('sets a request aside that was there when two hosts died', async () => {
    const { clock, pool, host, result } = await play();
    for (const lease of [0, 1]) {
      host.say([STARTED]);
      await clock.run(20);
      pool.leases[lease]?.lose();
      await clock.run(1000);
    }
    expect(result().error?.code).to.equal('poison');
    expect(result().attempts.map(({ code }) => code)).to.deep.equal(['host_lost', 'host_lost']);
    expect(host.gens).to.have.length(2);
  });

  it('does not call a request poison for hosts that we told to go, and tries again', async () => {
    const { clock, pool, host, result } = await play();
    for (const lease of [0, 1]) {
      host.say([STARTED]);
      await clock.run(20);
      pool.leases[lease]?.lose(new LlamaestroError('draining', 'the model is loaded anew'));
      await clock.run(1000);
    }
    host.say([STARTED, delta(0, 'ok'), FINAL]);
    await clock.run(20);
    expect(result().attempts.map(({ code }) => code)).to.deep.equal(['draining', 'draining', undefined]);
  });

  it('does not call a request poison for hosts that died before it reached them', async () => {
    const { clock, pool, host, result } = await play({}, ({ pool }) => (pool.hid = undefined));
    for (let round = 0; round < 3; round++) {
      pool.lastAsk.grant('hid_a').lose();
      await clock.run(3000);
    }
    expect(result().error?.code).to.equal('host_lost');
    expect([result().attempts.length, host.gens.length]).to.deep.equal([3, 0]);
  });

  it('stops after the retries of the profile', async () => {
    const answerGen = (): unknown => ({ ok: false, error: new LlamaestroError('no_host', 'loading').toWire() });
    const { clock, pool, result } = await play({}, ({ host }) => (host.answerGen = answerGen));
    await clock.run(10_000);
    expect(result().error?.code).to.equal('no_host');
    expect(result().attempts).to.have.length(3);
    expect(pool.leases.map(({ releases }) => releases)).to.deep.equal([1, 1, 1]);
  });

  it('tries again after an answer that did not come, and fences the first attempt off', async () => {
    const { clock, host, result } = await play({}, ({ host }) => {
      host.answerGen = ({ att }) => (att === 1 ? undefined : { ok: true, body: { waiting: 0 } });
      host.answerCommand = () => ({ ok: true, body: { live: false } });
    });
    await clock.run(1500);
    expect(host.gens.map(({ att }) => att)).to.deep.equal([1, 2]);
    host.say([delta(0, 'old')], host.gens[0]);
    host.say([STARTED, delta(0, 'new'), FINAL]);
    await clock.run(20);
    expect(result().text).to.equal('new');
    expect(result().attempts[0]).to.include({ code: 'ack_timeout', stage: 'ack' });
  });

  it('counts tokens as delivered only when the client saw them', async () => {
    const { clock, host, result } = await play({}, (parts) => {
      parts.host.onCancel = () => parts.host.say([cancelled(4)], parts.host.gens[0]);
    });
    host.say([STARTED]);
    await clock.run(10_500);
    expect(host.gens.map(({ att }) => att)).to.deep.equal([1, 2]);
    host.say([STARTED, delta(0, 'ok'), FINAL]);
    await clock.run(20);
    expect(result()).to.deep.include({ status: 'completed', text: 'ok' });
    expect(result().attempts[0]).to.include({ code: 'prefill_stall', stage: 'prefill' });
  });

  it('ends a stream that went silent after its first token, with what there is', async () => {
    const { clock, host, result } = await play({}, answersCancels);
    host.say([STARTED, delta(0, 'then silence')]);
    await clock.run(11_000);
    expect(result()).to.deep.include({ status: 'failed', text: 'then silence' });
    expect(result().error?.code).to.equal('token_stall');
    expect(host.gens).to.have.length(1);
  });
});

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
  it('does not work on a request whose attempt is not journalled', async () => {
    const { clock, pool, host, journal, result } = await play({}, ({ pool }) => (pool.hid = undefined));
    journal.failing = true;
    const lease = pool.lastAsk.grant('hid_a');
    await clock.run(20);
    expect(result().error?.code).to.equal('journal_unavailable');
    expect([host.gens.length, lease.releases]).to.deep.equal([0, 1]);
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
