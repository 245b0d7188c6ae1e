import { expect } from 'chai';
import type { EngineDriver, LoadOptions } from '../../src/engine/engine.js';
import { createFakeDriver, type FakeDriverPorts } from '../../src/engine/fake-driver.js';
import type { FakeScript } from '../../src/engine/fake-script.js';
import { systemClock } from '../../src/base/system-ports.js';
import { FakeClock, seededRandom } from '../support/fake-clock.js';
import { engineContract } from './contract.js';
import { expectError, runSequence, say } from './run-sequence.js';

const SENTENCE = 'The fake orchestra plays a café waltz on 🎻 and flute.';

engineContract('fake engine', async () => ({
  driver: createFakeDriver({
    clock: systemClock,
    random: seededRandom(1),
    script: {
      models: {
        talk: { answer: SENTENCE, stepMs: 0, loadMs: 5 },
        endless: { stepMs: 0 },
        heavy: { stepMs: 1 },
        thinker: { reasoning: 'I look at the question.', answer: 'The answer is forty-two.', stepMs: 0 },
        caller: { toolCall: { name: 'get_weather', arguments: '{"city":"Paris","days":3}' }, stepMs: 0 },
        broken: { unusable: 'the file is broken' },
      },
    },
  }),
  files: {
    talk: 'talk',
    sentence: SENTENCE,
    endless: 'endless',
    heavy: 'heavy',
    embedder: 'embedder',
    reranker: 'reranker',
    thinker: 'thinker',
    caller: 'caller',
    recurrent: 'endless',
    adapters: { first: 'first', second: 'second', embedder: 'third' },
    broken: 'broken',
  },
}));

describe('fake engine', () => {
  const options: LoadOptions = { file: 'm', purpose: 'generate', slots: 2, contextTokens: 1024 };

  function setUp(
    script: FakeScript = {},
    ports: Partial<FakeDriverPorts> = {},
  ): { clock: FakeClock; driver: EngineDriver } {
    const clock = new FakeClock();
    return { clock, driver: createFakeDriver({ clock, random: seededRandom(3), script, ...ports }) };
  }

  async function settled<T>(clock: FakeClock, promise: Promise<T>): Promise<T> {
    let isOver = false;
    const watch = (): void => void (isOver = true);
    promise.then(watch, watch);
    await clock.runUntil(() => isOver);
    return promise;
  }

  it('moves only with its clock, one token per step', async () => {
    const { clock, driver } = setUp({ models: { m: { loadMs: 1000, stepMs: 10 } } });
    const load = driver.load(options);
    await clock.run(999);
    let loaded = false;
    void load.then(() => (loaded = true));
    await clock.run(0);
    expect(loaded).to.equal(false);
    const engine = await settled(clock, load);
    expect(clock.nowMs()).to.equal(1000);
    const run = runSequence(engine, { prompt: say('hello'), maxTokens: 10, ignoreEos: true });
    await clock.run(50);
    expect(engine.stats()).to.include({ steps: 5, generatedTokens: 5, running: 1 });
    expect((await settled(clock, run)).finished.timings).to.deep.equal({ queueMs: 10, prefillMs: 0, decodeMs: 90 });
    expect(clock.pendingTimers).to.equal(0);
  });

  it('says the same in two runs with the same seed, and something else with another', async () => {
    const speak = async (seed: number): Promise<string> => {
      const { clock, driver } = setUp({ seed });
      const engine = await settled(clock, driver.load(options));
      return (await settled(clock, runSequence(engine, { prompt: say('hello') }))).text;
    };
    expect(await speak(1)).to.equal(await speak(1));
    expect(await speak(1)).to.not.equal(await speak(2));
  });

  it('prefills long prompts in chunks while others decode', async () => {
    const { clock, driver } = setUp();
    const engine = await settled(clock, driver.load({ ...options, contextTokens: 4096, chunkTokens: 64 }));
    let tokensMeanwhile = 0;
    const short = runSequence(engine, { prompt: say('a'), maxTokens: 100, ignoreEos: true }, (event) => {
      if (event.type === 'tokens') tokensMeanwhile += 1;
    });
    const long = await settled(clock, runSequence(engine, { prompt: say('b'.repeat(1000)), maxTokens: 1 }));
    const prefills = long.events.filter((event) => event.type === 'prefill');
    expect(prefills.length).to.equal(16);
    expect(tokensMeanwhile).to.be.greaterThan(10);
    await settled(clock, short);
  });

  it('crashes at the scripted token and is silent from then on', async () => {
    let crashes = 0;
    const faults = [{ kind: 'crash', atToken: 4, onLoad: 1 }] as const;
    const { clock, driver } = setUp({ faults }, { onCrash: () => (crashes += 1) });
    const engine = await settled(clock, driver.load(options));
    let tokens = 0;
    void runSequence(engine, { prompt: say('x'), ignoreEos: true }, (event) => {
      if (event.type === 'tokens') tokens += 1;
    });
    await clock.run(10_000);
    expect([crashes, tokens, clock.pendingTimers]).to.deep.equal([1, 3, 0]);
    const second = await settled(clock, driver.load(options));
    const { finished } = await settled(clock, runSequence(second, { prompt: say('x'), maxTokens: 9, ignoreEos: true }));
    expect(finished.reason).to.equal('length');
  });

  it('stalls for the scripted time, shows it in its counters, and does not hear a cancel', async () => {
    const { clock, driver } = setUp({ faults: [{ kind: 'stall', atToken: 3, forMs: 60_000 }] });
    const engine = await settled(clock, driver.load(options));
    let cancel = (): void => undefined;
    const run = runSequence(engine, { prompt: say('x'), ignoreEos: true }, (_, sequence) => {
      cancel = () => sequence.cancel();
    });
    await clock.run(30_000);
    expect(engine.stats().generatedTokens).to.equal(2);
    expect(engine.stats().stalledMs).to.be.greaterThan(29_000);
    cancel();
    await clock.run(1000);
    expect(engine.stats().running).to.equal(1);
    expect((await settled(clock, run)).finished.reason).to.equal('cancelled');
  });

  it('fails one sequence with the scripted code and goes on with the others', async () => {
    const { clock, driver } = setUp({ faults: [{ kind: 'sequence_error', atToken: 3, code: 'out_of_memory' }] });
    const engine = await settled(clock, driver.load(options));
    const request = { prompt: say('x'), maxTokens: 12, ignoreEos: true };
    const [first, second] = await settled(
      clock,
      Promise.all([runSequence(engine, request), runSequence(engine, request)]),
    );
    expect(first.finished.reason).to.equal('error');
    expect(first.finished.error).to.include({ code: 'out_of_memory' });
    expect(second.finished.reason).to.equal('length');
  });

  it('fails and slows the scripted loads only', async () => {
    const { clock, driver } = setUp({
      faults: [
        { kind: 'load_error', code: 'out_of_memory', onLoad: 1 },
        { kind: 'load_error', code: 'load_failed', file: 'other' },
        { kind: 'slow_load', loadMs: 90_000, onLoad: 2 },
      ],
    });
    await expectError('out_of_memory', () => settled(clock, driver.load(options)));
    const before = clock.nowMs();
    await settled(clock, driver.load(options));
    expect(clock.nowMs() - before).to.equal(90_000);
    await expectError('load_failed', () => settled(clock, driver.load({ ...options, file: 'other' })));
  });
});
