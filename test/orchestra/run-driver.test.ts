import { expect } from 'chai';
import { LlamaestroError, type ErrorCode } from '../../src/base/errors.js';
import { modelSpec, profileOf } from '../support/profiles.js';
import { answersCancels, play, types } from './play.js';
import { cancelled, delta, FINAL, final, PROFILE, ScriptedHost, STARTED, TIMINGS, USAGE, type Stage } from './stage.js';

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

  it('says how long choosing and an attempt took, to a tenth of a millisecond', async () => {
    const { clock, host, events, result } = await play({}, ({ clock }) => {
      let calls = 0;
      const nowMs = clock.nowMs.bind(clock);
      clock.nowMs = () => nowMs() + calls++ * 0.01234;
    });
    const routed = events.find((event) => event.type === 'routed');
    const ms = routed?.type === 'routed' ? routed.route.ms : NaN;
    host.say([STARTED, FINAL]);
    await clock.run(20);
    const tried = result().attempts[0]?.ms ?? NaN;
    expect([ms, tried]).to.deep.equal([ms, tried].map((value) => Math.round(value * 10) / 10));
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

  it('names the adapters that the profile lets every request use', async () => {
    const lora = [{ name: 'tone', scale: 0.5 }];
    const { host } = await play({}, undefined, profileOf([modelSpec('general', { lora })]));
    expect(host.gens[0]).to.deep.include({ lora });
    expect((await play()).host.gens[0]).to.not.have.property('lora');
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

describe('orchestra/run-driver: a model that cannot', () => {
  const chain = { fallbacks: { general: ['small', 'coder'] }, retries: 0 };
  const models = [modelSpec('general'), modelSpec('small'), modelSpec('coder', { sampling: { topK: 3 } })];
  const profile = profileOf(models, chain);
  const refuseFirst =
    (code: ErrorCode) =>
    ({ pool }: Stage): void => {
      const lease = pool.lease.bind(pool);
      pool.lease = (request, signal) =>
        request.model === 'general' ? Promise.reject(new LlamaestroError(code, 'it cannot')) : lease(request, signal);
    };

  it('lets the next of its chain take the task, and says so', async () => {
    const { clock, host, events, result, journal, run } = await play({}, refuseFirst('load_failed'), profile);
    host.say([STARTED, delta(0, 'a'), FINAL]);
    await clock.run(20);
    expect(types(events).slice(0, 3)).to.deep.equal(['accepted', 'routed', 'routed']);
    expect(result().route).to.include({
      model: 'small',
      source: 'fallback',
      reason: "instead of 'general': it cannot",
    });
    expect(result().attempts.map(({ model, code }) => [model, code])).to.deep.equal([
      ['general', 'load_failed'],
      ['small', undefined],
    ]);
    expect((await journal.get(run.id))?.route).to.include({ model: 'small', source: 'fallback' });
  });

  it('goes past a model that has no room for the prompt, and sends the next one what its profile says', async () => {
    const prepare = (parts: Stage): void => {
      refuseFirst('does_not_fit')(parts);
      const { pool } = parts;
      pool.count = (model: string) =>
        Promise.resolve({ tokens: 50, contextTokensPerSlot: model === 'small' ? 50 : 99 });
    };
    const { host } = await play({}, prepare, profile);
    expect(host.gens[0]).to.include({ topK: 3 });
  });

  it('never changes the model behind a first token, for a deadline, or for a request that names one', async () => {
    const named = await play({ model: 'general' }, refuseFirst('load_failed'), profile);
    expect(named.result().error?.code).to.equal('load_failed');
    const cancelled = await play({}, refuseFirst('cancelled'), profile);
    expect(cancelled.result()).to.include({ status: 'cancelled' });
    const begun = await play({}, undefined, profile);
    begun.host.say([STARTED, delta(0, 'a')]);
    await begun.clock.run(20);
    begun.pool.lastLease.lose();
    await begun.clock.run(5000);
    expect(begun.result().error?.code).to.equal('host_lost');
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

  for (const [verdict, ended] of [
    ['stuck', 'poison'],
    ['frozen', 'host_stuck'],
  ] as const) {
    it(`ends a request that was there when three hosts were ${verdict} as ${ended}`, async () => {
      const { clock, pool, host, result } = await play();
      for (const lease of [0, 1, 2]) {
        host.say([STARTED]);
        await clock.run(20);
        pool.leases[lease]?.lose(new LlamaestroError('host_stuck', 'it must go', { details: { verdict } }));
        await clock.run(1000);
      }
      expect(result().error?.code).to.equal(ended);
    });
  }

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
