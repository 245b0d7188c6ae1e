/** The part of the engine contract about sequences: order of events, ends, cancels, limits. */
import { expect } from 'chai';
import type { Engine, SequenceEvent, SequenceRequest } from '../../src/engine/engine.js';
import { MAX_WAITING_SEQUENCES } from '../../src/engine/engine.js';
import type { ContractSubject } from './contract.js';
import { expectError, runSequence, say } from './run-sequence.js';

const SLOTS = 4;
/** Bytes of prompt that keep the heavy model busy for many steps. */
const HEAVY_PROMPT_BYTES = 1500;

export function sequenceContract(subject: () => ContractSubject): void {
  let talk: Engine;
  let endless: Engine;
  let heavy: Engine;

  before(async () => {
    const { driver, files } = subject();
    // One thread: two that wait for each other are slow on a machine that does something else beside the tests.
    const shared = { purpose: 'generate', threads: 1 } as const;
    talk = await driver.load({ ...shared, file: files.talk, slots: SLOTS, contextTokens: SLOTS * 512 });
    endless = await driver.load({ ...shared, file: files.endless, slots: SLOTS, contextTokens: SLOTS * 256 });
    heavy = await driver.load({ ...shared, file: files.heavy, slots: 1, contextTokens: 2048, chunkTokens: 16 });
  });

  after(() => Promise.all([talk.close(), endless.close(), heavy.close()]));

  it('tells a sequence from start to finish, in order', async () => {
    const { events, text, ids, finished } = await runSequence(talk, { prompt: say('Who are you?'), temperature: 0 });
    expect(text).to.equal(subject().files.sentence);
    const types = events.map(({ type }) => type).join(' ');
    expect(types).to.match(/^started( prefill)+( tokens)+ finished$/);
    let next = 0;
    for (const event of events) {
      if (event.type !== 'tokens') continue;
      expect(event.firstIndex).to.equal(next);
      next += event.ids.length;
    }
    const promptTokens = (await talk.tokenize(say('Who are you?'))).length;
    const prefills = events.filter((event) => event.type === 'prefill');
    expect(prefills.at(-1)).to.include({ doneTokens: promptTokens, totalTokens: promptTokens });
    expect(finished.reason).to.equal('stop');
    expect(finished.stopString).to.equal(undefined);
    expect(finished.error).to.equal(undefined);
    expect(finished.usage.promptTokens).to.equal(promptTokens);
    expect(finished.usage.completionTokens).to.be.within(ids.length, ids.length + 1);
    for (const ms of Object.values(finished.timings)) expect(ms).to.be.within(0, 60_000);
  });

  it('runs more sequences than slots, several at once and each to its own end', async () => {
    let running = 0;
    let mostRunning = 0;
    const count = ({ type }: SequenceEvent): void => {
      if (type === 'started') mostRunning = Math.max(mostRunning, ++running);
      if (type === 'finished') running -= 1;
    };
    // A short one may be over before the next is submitted: this one is not.
    const long = runSequence(talk, { prompt: say('go on'), ignoreEos: true, maxTokens: 200 }, count);
    const runs = Array.from({ length: SLOTS + 2 }, (_, index) =>
      runSequence(talk, { prompt: say(`number ${index}`), temperature: 0 }, count),
    );
    for (const { text, finished } of await Promise.all(runs)) {
      expect(text).to.equal(subject().files.sentence);
      expect(finished.reason).to.equal('stop');
    }
    expect((await long).finished.usage.completionTokens).to.equal(200);
    expect(running).to.equal(0);
    expect(mostRunning).to.be.within(2, SLOTS);
  });

  it('calls the step listener once, after all listeners of a step', async () => {
    const log: string[] = [];
    const stop = talk.onStep(() => log.push('step'));
    const requests = ['a', 'b', 'c'].map((name) =>
      runSequence(talk, { prompt: say(name), temperature: 0 }, () => log.push(name)),
    );
    await Promise.all(requests);
    await new Promise((resolve) => setImmediate(resolve));
    stop();
    const calls = log.length;
    await runSequence(talk, { prompt: say('d'), maxTokens: 1 });
    expect(log).to.have.length(calls);
    expect(log.join(' ')).to.not.include('step step');
    expect(log.at(-1)).to.equal('step');
    expect(log.filter((entry) => entry === 'step').length).to.be.within(1, log.length - 1);
  });

  it('ends before a stop string and names it', async () => {
    const { sentence } = subject().files;
    const stop = sentence.slice(5, 12);
    const request = { prompt: say('hi'), temperature: 0, stop: ['never said', stop] };
    const { text, finished, events } = await runSequence(talk, request);
    expect(text).to.equal(sentence.slice(0, sentence.indexOf(stop)));
    expect(finished).to.include({ reason: 'stop', stopString: stop });
    let shown = '';
    for (const event of events) {
      if (event.type === 'tokens') shown += event.text;
      expect(text.startsWith(shown)).to.equal(true);
    }
  });

  it('ends at maxTokens, whatever the model would say', async () => {
    const short = await runSequence(talk, { prompt: say('hi'), temperature: 0, maxTokens: 1 });
    expect(short.finished.reason).to.equal('length');
    expect(short.finished.usage.completionTokens).to.equal(1);
    expect(subject().files.sentence.startsWith(short.text)).to.equal(true);
    const long = await runSequence(talk, { prompt: say('hi'), temperature: 0, maxTokens: 400, ignoreEos: true });
    expect(long.finished.reason).to.equal('length');
    expect(long.finished.usage.completionTokens).to.equal(400);
    expect(long.text.length).to.be.greaterThan(subject().files.sentence.length);
  });

  it('ends with "length" when the slot is full', async () => {
    const { finished } = await runSequence(endless, { prompt: say('fill it'), ignoreEos: true, seed: 1 });
    expect(finished.reason).to.equal('length');
    const used = finished.usage.promptTokens + finished.usage.completionTokens;
    expect(used).to.be.within(endless.info.contextTokensPerSlot - 1, endless.info.contextTokensPerSlot + 1);
  });

  it('gives the same tokens for the same seed, and others for another', async () => {
    const run = async (seed: number): Promise<readonly number[]> => {
      const request = { prompt: say('once'), seed, temperature: 1.5, topK: 0, topP: 1, minP: 0, maxTokens: 24 };
      return (await runSequence(endless, { ...request, ignoreEos: true })).ids;
    };
    const first = await run(7);
    expect(await run(7)).to.deep.equal(first);
    expect(await run(8)).to.not.deep.equal(first);
  });

  it('cancels in the middle of a prefill and has the slot free again', async () => {
    const cancelled = await runSequence(heavy, { prompt: say('x'.repeat(HEAVY_PROMPT_BYTES)) }, (event, sequence) => {
      if (event.type === 'prefill') sequence.cancel();
    });
    expect(cancelled.finished.reason).to.equal('cancelled');
    expect(cancelled.finished.usage.completionTokens).to.equal(0);
    const last = cancelled.events.filter((event) => event.type === 'prefill').at(-1);
    expect(last?.doneTokens).to.be.lessThan(last?.totalTokens ?? 0);
    const next = await runSequence(heavy, { prompt: say('short'), maxTokens: 2, ignoreEos: true });
    expect(next.finished.reason).to.equal('length');
  });

  it('cancels between tokens; cancelling twice or afterwards changes nothing', async () => {
    // So many tokens that some are left when the third event is heard.
    const { driver, files } = subject();
    const engine = await driver.load({ file: files.endless, purpose: 'generate', threads: 1, contextTokens: 8192 });
    let tokens = 0;
    const request = { prompt: say('on and on'), ignoreEos: true };
    const { finished, text, events } = await runSequence(engine, request, (event, sequence) => {
      if (event.type === 'tokens' && ++tokens >= 3) {
        sequence.cancel();
        sequence.cancel();
      }
      if (event.type === 'finished') sequence.cancel();
    });
    expect(finished.reason).to.equal('cancelled');
    expect(finished.usage.completionTokens).to.be.within(3, engine.info.contextTokensPerSlot - 10);
    expect(text).to.be.a('string');
    expect(events.filter(({ type }) => type === 'finished')).to.have.length(1);
    await new Promise((resolve) => setImmediate(resolve));
    expect(engine.stats()).to.include({ running: 0, waiting: 0 });
    await engine.close();
  });

  it('cancels a sequence that still waits for a slot', async () => {
    const events: SequenceEvent[] = [];
    let endBusy = (): void => undefined;
    const busy = runSequence(heavy, { prompt: say('x'.repeat(HEAVY_PROMPT_BYTES)) }, (_, sequence) => {
      endBusy = () => sequence.cancel();
    });
    const waiting = new Promise<void>((resolve) => {
      const sequence = heavy.submit({ prompt: say('me too') }, (event) => {
        events.push(event);
        if (event.type === 'finished') resolve();
      });
      sequence.cancel();
    });
    await waiting;
    expect(events).to.have.length(1);
    expect(events[0]).to.include({ type: 'finished', reason: 'cancelled' });
    endBusy();
    expect((await busy).finished.reason).to.equal('cancelled');
  });

  it('refuses a prompt that leaves no room, with counts', async () => {
    const prompt = say('word '.repeat(600));
    const promptTokens = (await endless.tokenize(prompt)).length;
    const error = await expectError('context_length_exceeded', () => endless.submit({ prompt }, () => undefined));
    expect(error.details).to.deep.equal({ promptTokens, contextTokensPerSlot: 256 });
  });

  it('holds a bounded number of waiting sequences', async () => {
    const ends: Promise<unknown>[] = [];
    const cancels: (() => void)[] = [];
    const error = await expectError('queue_full', () => {
      for (let index = 0; index < MAX_WAITING_SEQUENCES + 10; index++) {
        const request: SequenceRequest = { prompt: say('wait'), maxTokens: 200, ignoreEos: true };
        const end = new Promise<void>((resolve) => {
          const sequence = heavy.submit(request, (event) => {
            if (event.type === 'finished') resolve();
          });
          cancels.push(() => sequence.cancel());
        });
        // A submit that throws leaves its promise rejected; the loop below reports it by stopping short.
        end.catch(() => undefined);
        if (cancels.length === ends.length) return end;
        ends.push(end);
      }
      return undefined;
    });
    expect(error.message).to.be.a('string');
    expect(cancels.length).to.be.within(MAX_WAITING_SEQUENCES, MAX_WAITING_SEQUENCES + heavy.info.slots + 1);
    for (const cancel of cancels) cancel();
    await Promise.all(ends);
    expect(heavy.stats()).to.include({ running: 0, waiting: 0 });
  });

  const badRequests: readonly [string, Record<string, unknown>][] = [
    ['prompt', { prompt: undefined }],
    ['prompt', { prompt: { kind: 'speech' } }],
    ['prompt', { prompt: { kind: 'text', text: 7 } }],
    ['prompt', { prompt: { kind: 'messages', messages: [] } }],
    ['prompt', { prompt: { kind: 'messages', messages: [{ role: 'user' }] } }],
    ['prompt', { prompt: { kind: 'tokens', tokens: [] } }],
    ['prompt', { prompt: { kind: 'tokens', tokens: [-1] } }],
    ['prompt', { prompt: { kind: 'tokens', tokens: [1e9] } }],
    ['prompt', { prompt: { kind: 'tokens', tokens: [0.5] } }],
    ['maxTokens', { maxTokens: 0 }],
    ['maxTokens', { maxTokens: 257 }],
    ['stop', { stop: [''] }],
    ['stop', { stop: Array.from({ length: 17 }, (_, index) => `stop ${index}`) }],
    ['stop', { stop: ['x'.repeat(257)] }],
    ['ignoreEos', { ignoreEos: 1 }],
    ['temperature', { temperature: -0.1 }],
    ['temperature', { temperature: NaN }],
    ['topK', { topK: 1e7 }],
    ['topP', { topP: 0 }],
    ['minP', { minP: 1.1 }],
    ['seed', { seed: 2 ** 32 }],
  ];
  for (const [param, changes] of badRequests) {
    it(`refuses the request field ${JSON.stringify(changes).slice(0, 60)} by name`, async () => {
      const bad = { prompt: say('hi'), ...changes } as SequenceRequest;
      const error = await expectError('invalid_request', () => endless.submit(bad, () => expect.fail('an event')));
      expect(error.param).to.equal(param);
    });
  }
}
