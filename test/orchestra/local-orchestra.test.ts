import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { Run } from '../../src/orchestra/orchestra.js';
import type { RunRequest } from '../../src/schema/run.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec, profileOf } from '../support/profiles.js';
import { answersCancels } from './play.js';
import { CANCELLED, delta, FINAL, PROFILE, refusal, request, stage, STARTED, watch, type Stage } from './stage.js';

/** Admission goes over no bus here, so it needs no time; still it must be refused with nothing left behind. */
async function refused(more: Partial<RunRequest>, prepare: (parts: Stage) => void = () => undefined) {
  const parts = await stage();
  prepare(parts);
  const error = await refusal(parts.orchestra.submit(request(more)));
  expect(await parts.journal.unfinished(), 'nothing was accepted').to.deep.equal([]);
  expect(parts.pool.asks, 'nothing was leased').to.deep.equal([]);
  expect(parts.orchestra.status()).to.include({ running: 0, accepted: 0 });
  expect(parts.clock.pendingTimers).to.equal(0);
  return error;
}

const ROOM = { tokens: 3, contextTokensPerSlot: 100 };

/** Submits and lets the run come as far as the host. */
async function begin(parts: Stage): Promise<Run> {
  const run = await parts.orchestra.submit(request());
  await parts.clock.run(20);
  return run;
}

async function complete({ host, clock }: Stage): Promise<void> {
  host.say([STARTED, delta(0, 'ok'), FINAL]);
  await clock.run(20);
}

describe('orchestra/local-orchestra: admission', () => {
  it('refuses an unknown model and lists the names', async () => {
    const error = await refused({ model: 'nobody' });
    expect(error.code).to.equal('model_not_found');
    expect(error.details?.['models']).to.deep.equal(['auto', 'general', 'coder']);
  });

  it('refuses a prompt that leaves no room for a token, with the counts', async () => {
    const counted = { tokens: 100, contextTokensPerSlot: 100 };
    const error = await refused({}, ({ pool }) => (pool.counted = () => Promise.resolve(counted)));
    expect(error.code).to.equal('context_length_exceeded');
    expect(error.details).to.deep.equal({ promptTokens: 100, contextTokensPerSlot: 100, model: 'general' });
  });

  for (const promptField of ['task', 'messages', 'prompt'] as const) {
    it(`names ${promptField} when that is what the client wrote too much in`, async () => {
      const counted = { tokens: 100, contextTokensPerSlot: 100 };
      const error = await refused({ promptField }, ({ pool }) => (pool.counted = () => Promise.resolve(counted)));
      expect(error.param).to.equal(promptField);
    });
  }

  it('refuses to let an embedder generate, and says what it is for', async () => {
    const parts = await stage(
      profileOf([modelSpec('general'), modelSpec('vectors', { load: { file: '/v.gguf', purpose: 'embed' } })]),
    );
    const error = await refusal(parts.orchestra.submit(request({ model: 'vectors' })));
    expect(error).to.include({ code: 'invalid_request', param: 'model' });
    expect(error.remedy).to.contain("'embed'");
  });

  it('refuses when the queue of the model is full', async () => {
    const full = new LlamaestroError('queue_full', '4 requests already wait');
    expect(await refused({}, ({ pool }) => (pool.refuses = full))).to.equal(full);
  });

  it('asks the pool with the class of the request, whose it is, and how long it may wait', async () => {
    const timeouts = { ...PROFILE.timeouts, queueMs: 4000, maxWaitMs: 3000 };
    const parts = await stage({ ...PROFILE, timeouts });
    await parts.orchestra.submit(request({ priority: 'background', tenant: 'ann', timeoutMs: 2000 }));
    await parts.orchestra.submit(request());
    expect(parts.pool.questions).to.deep.equal([
      {
        claim: { model: 'general', priority: 'background', tenant: 'ann' },
        patience: { queueMs: 4000, budgetMs: 2000 },
      },
      { claim: { model: 'general' }, patience: { queueMs: 4000, budgetMs: 3000 } },
    ]);
    await parts.clock.run(20);
    const { priority, tenant } = parts.pool.asks[0]?.request ?? {};
    expect([priority, tenant]).to.deep.equal(['background', 'ann']);
    expect(parts.host.gens.map((gen) => gen.priority)).to.deep.equal([-5, 0]);
  });

  it('goes to the next of the chain when the chosen model cannot take the request', async () => {
    const profile = profileOf([modelSpec('general'), modelSpec('long')], { fallbacks: { general: ['long'] } });
    const parts = await stage(profile);
    parts.pool.count = (model) => Promise.resolve({ tokens: 60, contextTokensPerSlot: model === 'general' ? 50 : 100 });
    const run = await parts.orchestra.submit(request());
    await parts.clock.run(20);
    await complete(parts);
    const { route } = await run.result;
    expect(route).to.include({ model: 'long', source: 'fallback' });
    expect(route?.reason).to.match(/^instead of 'general': the prompt has 60 tokens/);
    const named = await refusal(parts.orchestra.submit(request({ model: 'general' })));
    expect(named.code).to.equal('context_length_exceeded');
  });

  it('accepts nothing that the journal does not hold', async () => {
    const parts = await stage();
    parts.journal.failing = true;
    expect((await refusal(parts.orchestra.submit(request()))).code).to.equal('journal_unavailable');
    await parts.clock.run(20);
    expect(await parts.journal.scan(10)).to.deep.equal([]);
    expect(parts.orchestra.status()).to.include({ running: 0, accepted: 0 });
    expect(
      parts.pool.asks.every(({ signal }) => signal.aborted),
      'nobody waits for a lease any more',
    ).to.equal(true);
    expect(parts.host.gens, 'no host heard of it').to.deep.equal([]);
    expect(parts.clock.pendingTimers).to.equal(0);
  });

  it('lets a host compute while the acceptance becomes durable, and takes everything back when it does not', async () => {
    const parts = await stage();
    answersCancels(parts);
    let refuse: (error: LlamaestroError) => void = () => undefined;
    parts.journal.accept = () => new Promise<void>((_resolve, reject) => (refuse = reject));
    let answered = false;
    const submitted = refusal(parts.orchestra.submit(request())).finally(() => (answered = true));
    await parts.clock.run(20);
    parts.host.say([STARTED, delta(0, 'early')]);
    await parts.clock.run(20);
    expect([parts.host.gens.length, answered], 'nobody hears of it yet').to.deep.equal([1, false]);
    refuse(new LlamaestroError('journal_unavailable', 'the disk is full'));
    expect((await submitted).code).to.equal('journal_unavailable');
    await parts.clock.run(20);
    expect([parts.host.cancels.length, parts.pool.lastLease.releases]).to.deep.equal([1, 1]);
    expect(parts.orchestra.status()).to.include({ running: 0, accepted: 0 });
    expect(parts.clock.pendingTimers).to.equal(0);
  });

  it('counts no prompt that fits whatever it is made of, but every other', async () => {
    const parts = await stage();
    let counts = 0;
    parts.pool.counted = () => Promise.resolve((counts++, ROOM));
    parts.pool.loadedContext = 100;
    const text = (length: number) => ({ kind: 'text', text: 'ä'.repeat(length) }) as const;
    const submit = async (more: Partial<RunRequest>): Promise<number> => {
      const before = counts;
      await parts.orchestra.submit(request(more));
      return counts - before;
    };
    expect(await submit({ prompt: text(5), maxTokens: 44 }), 'four tokens a byte, and 16').to.equal(0);
    expect(await submit({ prompt: text(5), maxTokens: 45 })).to.equal(1);
    expect(await submit({ prompt: text(10) })).to.equal(0);
    expect(await submit({ prompt: text(11) })).to.equal(1);
    expect(await submit({ prompt: { kind: 'messages', messages: [{ role: 'user', content: 'a' }] } })).to.equal(1);
    parts.pool.loadedContext = undefined;
    expect(await submit({ prompt: text(1) })).to.equal(1);
  });

  it('passes on what counting says', async () => {
    const broken = new LlamaestroError('model_unusable', 'the file is cut short');
    expect(await refused({}, ({ pool }) => (pool.counted = () => Promise.reject(broken)))).to.equal(broken);
  });

  it('asks again when whoever counts has died, within the retries of the profile', async () => {
    const parts = await stage();
    let asked = 0;
    const died = new LlamaestroError('host_lost', 'the planner host ended before it answered');
    parts.pool.counted = () => (asked++ === 0 ? Promise.reject(died) : Promise.resolve(ROOM));
    const submitted = parts.orchestra.submit(request());
    await parts.clock.run(100);
    expect((await submitted).id).to.match(/^run_/);
    parts.pool.counted = () => Promise.reject(died);
    const error = refusal(parts.orchestra.submit(request()));
    await parts.clock.run(5000);
    expect(await error).to.equal(died);
  });

  it('takes the time of admission from the budget of the request', async () => {
    const parts = await stage();
    parts.pool.counted = () => new Promise(() => undefined);
    const error = refusal(parts.orchestra.submit(request({ timeoutMs: 700 })));
    await parts.clock.run(700);
    expect((await error).code).to.equal('deadline');
    expect(parts.clock.pendingTimers).to.equal(0);

    let count: (counted: { tokens: number; contextTokensPerSlot: number }) => void = () => undefined;
    parts.pool.counted = () => new Promise((resolve) => (count = resolve));
    const submitted = parts.orchestra.submit(request({ timeoutMs: 700 }));
    await parts.clock.run(500);
    count({ tokens: 1, contextTokensPerSlot: 100 });
    const run = await submitted;
    await parts.clock.run(20);
    expect(parts.host.gens[0]?.ttlMs).to.be.within(180, 200);
    parts.host.onCancel = () => parts.host.say([CANCELLED]);
    await parts.clock.run(250);
    expect((await run.result).error?.code).to.equal('deadline');
  });

  it('ends with a caller who leaves before the run exists', async () => {
    const parts = await stage();
    parts.pool.counted = () => new Promise(() => undefined);
    const [gone, left] = [new AbortController(), new LlamaestroError('cancelled', 'left')];
    const error = refusal(parts.orchestra.submit(request(), gone.signal));
    gone.abort(left);
    expect(await error).to.equal(left);
    expect(await refusal(parts.orchestra.submit(request(), gone.signal))).to.equal(left);
    expect(parts.clock.pendingTimers).to.equal(0);
  });

  it('journals what was asked for before anything happens, and keeps no text', async () => {
    const parts = await stage();
    const messages = [{ role: 'user', content: 'a secret sentence' }];
    const run = await parts.orchestra.submit(request({ prompt: { kind: 'messages', messages }, door: 'chat' }));
    const record = await parts.journal.get(run.id);
    expect(record).to.include({ id: run.id, profile: 'test', model: 'auto', door: 'chat', gid: 'gw_test' });
    expect(record?.promptHash).to.match(/^[0-9a-f]{64}$/);
    expect(JSON.stringify(await parts.journal.scan(10))).to.not.contain('secret');
    expect(parts.journal.facts.map(({ kind }) => kind).slice(0, 2)).to.deep.equal(['accept', 'route']);
  });
});

describe('orchestra/local-orchestra: the set of runs', () => {
  it('counts its ends, and lets an ended run be read by who holds it', async () => {
    const parts = await stage();
    const run = await begin(parts);
    expect(parts.orchestra.status()).to.include({ running: 1, accepted: 1, completed: 0 });
    await complete(parts);
    expect(parts.orchestra.status()).to.include({ running: 0, completed: 1 });
    const replayed = watch(run);
    await settle();
    expect(replayed.map(({ type }) => type)).to.deep.equal(['accepted', 'routed', 'prefill', 'delta', 'completed']);
  });
});

/** Longer than a simulated connection takes to notice. */
const LOST_MS = 15_000;

describe('orchestra/local-orchestra: the bus', () => {
  it('refuses at once while the connection to the bus is lost, and goes on when it is back', async () => {
    const parts = await stage();
    parts.network.partition('gateway');
    await parts.clock.run(LOST_MS);
    expect((await refusal(parts.orchestra.submit(request()))).code).to.equal('no_host');
    expect(parts.orchestra.status().accepting).to.equal(false);
    parts.network.heal('gateway');
    await parts.clock.run(LOST_MS);
    await begin(parts);
    expect(parts.orchestra.status()).to.include({ accepting: true, running: 1 });
  });
});

describe('orchestra/local-orchestra: drain', () => {
  it('takes nothing new and waits for what runs', async () => {
    const parts = await stage();
    const run = await begin(parts);
    let drained = false;
    void parts.orchestra.drain().then(() => (drained = true));
    await settle();
    expect((await refusal(parts.orchestra.submit(request()))).code).to.equal('draining');
    expect([drained, parts.orchestra.status().accepting]).to.deep.equal([false, false]);
    await complete(parts);
    expect(drained).to.equal(true);
    expect((await run.result).status).to.equal('completed');
  });

  it('interrupts the rest when it is told to hurry, and says so in the journal', async () => {
    const parts = await stage();
    const run = await begin(parts);
    parts.host.onCancel = () => parts.host.say([CANCELLED]);
    const hurry = new AbortController();
    const drained = parts.orchestra.drain(hurry.signal);
    hurry.abort();
    await parts.clock.run(20);
    await drained;
    expect((await run.result).error?.code).to.equal('interrupted');
    expect((await parts.journal.get(run.id))?.terminal?.status).to.equal('interrupted');
  });

  it('refuses whoever is still being admitted, at once', async () => {
    const parts = await stage();
    parts.pool.counted = () => new Promise(() => undefined);
    const error = refusal(parts.orchestra.submit(request()));
    await parts.orchestra.drain();
    expect((await error).code).to.equal('draining');
    expect(await parts.journal.unfinished()).to.deep.equal([]);
  });

  for (const hurried of [false, true]) {
    it(`waits for a run whose acceptance is on its way to the journal${hurried ? ', and interrupts it' : ''}`, async () => {
      const parts = await stage();
      let commit: () => void = () => undefined;
      const { journal } = parts;
      const accept = journal.accept.bind(journal);
      journal.accept = (record) => {
        const written = accept(record);
        return new Promise<void>((resolve) => (commit = resolve)).then(() => written);
      };
      answersCancels(parts);
      const submitted = parts.orchestra.submit(request());
      await settle();
      let drained = false;
      const signal = hurried ? AbortSignal.abort() : undefined;
      void parts.orchestra.drain(signal).then(() => (drained = true));
      await settle();
      expect(drained).to.equal(false);
      commit();
      const run = await submitted;
      await parts.clock.run(20);
      if (!hurried) await complete(parts);
      expect((await run.result).error?.code).to.equal(hurried ? 'interrupted' : undefined);
      await settle();
      expect(drained).to.equal(true);
    });
  }

  it('is over at once when nothing runs', async () => {
    const parts = await stage();
    await parts.orchestra.drain(new AbortController().signal);
    expect(parts.orchestra.status().accepting).to.equal(false);
  });
});

describe('orchestra/local-orchestra: recover', () => {
  it('ends what a former gateway left, once', async () => {
    const before = await stage();
    const run = await begin(before);
    const journal = before.journal.clone();
    await journal.open();
    const after = await stage(PROFILE, journal);
    expect(await after.orchestra.recover()).to.equal(1);
    expect((await journal.get(run.id))?.terminal).to.deep.include({ status: 'interrupted' });
    expect((await journal.get(run.id))?.terminal?.error?.code).to.equal('interrupted');
    expect(await after.orchestra.recover()).to.equal(0);
  });
});
