/** The part of the engine contract about several answers to one prompt, and about priorities. */
import { expect } from 'chai';
import type { Engine, LoadOptions, SequenceEvent, SequenceRequest } from '../../src/engine/engine.js';
import type { ContractSubject } from './contract.js';
import { expectError, runSequence, say } from './run-sequence.js';

const SEED = 7;

/** All events of a request with several choices, up to the last end. */
function runChoices(engine: Engine, request: SequenceRequest, cancelAfter = Infinity): Promise<SequenceEvent[]> {
  return new Promise((resolve) => {
    const events: SequenceEvent[] = [];
    const sequence = engine.submit(request, (event) => {
      events.push(event);
      if (events.length === cancelAfter) sequence.cancel();
      const ended = events.filter((one) => one.type === 'finished');
      if (ended.length === request.choices) resolve(events);
    });
  });
}

function idsOf(events: readonly SequenceEvent[], choice: number): number[] {
  return events.flatMap((event) => (event.type === 'tokens' && (event.choice ?? 0) === choice ? event.ids : []));
}

export function choicesContract(subject: () => ContractSubject): void {
  const load = (changes: Partial<LoadOptions>): Promise<Engine> => {
    const { driver, files } = subject();
    return driver.load({ file: files.endless, purpose: 'generate', threads: 1, contextTokens: 2048, ...changes });
  };
  const request: SequenceRequest = { prompt: say('One question'), maxTokens: 12, temperature: 1, ignoreEos: true };

  it('gives several answers to one prompt, which is computed and counted once', async () => {
    // Two of the three answers have to wait for a slot.
    const engine = await load({ slots: 2, prefixCacheBytes: 0 });
    try {
      const events = await runChoices(engine, { ...request, seed: SEED, choices: 3 });
      expect(events.filter((event) => event.type === 'started')).to.have.length(1);
      const ends = events.filter((event) => event.type === 'finished');
      expect(ends.map((end) => end.choice ?? 0).sort()).to.deep.equal([0, 1, 2]);
      const { promptTokens } = engine.stats();
      expect(ends.reduce((sum, end) => sum + end.usage.promptTokens, 0)).to.equal(promptTokens);
      for (const choice of [0, 1, 2]) {
        const alone = await runSequence(engine, { ...request, seed: SEED + choice });
        expect(idsOf(events, choice), `choice ${choice}`).to.deep.equal(alone.ids);
        expect(alone.finished.usage.promptTokens).to.equal(promptTokens);
      }
    } finally {
      await engine.close();
    }
  });

  it('ends all answers with one cancel', async () => {
    const engine = await load({ slots: 3 });
    try {
      const events = await runChoices(engine, { ...request, maxTokens: 600, choices: 3 }, 9);
      const ends = events.filter((event) => event.type === 'finished');
      expect(ends.map((end) => end.reason)).to.deep.equal(['cancelled', 'cancelled', 'cancelled']);
      expect(engine.stats()).to.include({ running: 0, waiting: 0 });
    } finally {
      await engine.close();
    }
  });

  it('starts higher priorities first', async () => {
    const engine = await load({ slots: 1 });
    try {
      const order: string[] = [];
      const run = (name: string, priority: number): Promise<unknown> =>
        runSequence(engine, { ...request, priority }, (event) => {
          if (event.type === 'started') order.push(name);
        });
      await Promise.all([run('first', 10), run('low', -1), run('middle', 0), run('high', 5)]);
      expect(order.indexOf('high')).to.be.lessThan(order.indexOf('middle'));
      expect(order.indexOf('middle')).to.be.lessThan(order.indexOf('low'));
    } finally {
      await engine.close();
    }
  });

  it('refuses priorities and numbers of choices that are out of range', async () => {
    const engine = await load({ slots: 1 });
    try {
      for (const changes of [{ priority: 11 }, { priority: 0.5 }, { choices: 0 }, { choices: 17 }]) {
        const error = await expectError('invalid_request', () => engine.submit({ ...request, ...changes }, () => {}));
        expect(error.param).to.equal(Object.keys(changes)[0]);
      }
    } finally {
      await engine.close();
    }
  });

  it('lets slots hold more than their part of a shared cache, and of no other', async () => {
    const large = { slots: 4, contextTokens: 1024, contextTokensPerSlot: 1024 };
    const engine = await load({ ...large, kvLayout: 'unified' });
    expect(engine.info).to.include({ contextTokens: 1024, contextTokensPerSlot: 1024, slots: 4 });
    await engine.close();
    for (const options of [{ ...large, kvLayout: 'split' } as const, { ...large, contextTokensPerSlot: 1 }]) {
      expect((await expectError('invalid_request', () => load(options))).param).to.equal('contextTokensPerSlot');
    }
  });
}
