/** The part of the engine contract about LoRA adapters. */
import { expect } from 'chai';
import type { AdapterOption, AdapterUse, Engine, SequenceRequest } from '../../src/engine/engine.js';
import type { ContractSubject } from './contract.js';
import { expectError, runSequence, say } from './run-sequence.js';

const NONE: readonly AdapterUse[] = [];
const FIRST: readonly AdapterUse[] = [{ name: 'first' }];
const SECOND: readonly AdapterUse[] = [{ name: 'second' }];
const BOTH: readonly AdapterUse[] = [{ name: 'first', scale: 0.5 }, { name: 'second' }];

function request(lora: readonly AdapterUse[], promptTokens = 40, salt = 0): SequenceRequest {
  const tokens = Array.from({ length: promptTokens }, (_, at) => 10 + ((at * 7 + salt) % 200));
  return { prompt: { kind: 'tokens', tokens }, maxTokens: 24, temperature: 0, ignoreEos: true, lora };
}

export function adapterContract(subject: () => ContractSubject): void {
  const load = (adapters?: readonly AdapterOption[]): Promise<Engine> => {
    const { driver, files } = subject();
    const { first, second } = files.adapters;
    return driver.load({
      file: files.endless,
      purpose: 'generate',
      threads: 1,
      slots: 4,
      contextTokens: 4096,
      adapters: adapters ?? [
        { name: 'first', file: first },
        { name: 'second', file: second },
      ],
    });
  };

  it('says with each set of adapters what it says alone, beside requests with other ones', async () => {
    const engine = await load();
    try {
      expect(engine.info.adapters).to.deep.equal(['first', 'second']);
      const says = async (lora: readonly AdapterUse[]): Promise<readonly number[]> =>
        (await runSequence(engine, request(lora))).ids;
      const sets = [NONE, FIRST, SECOND, BOTH];
      const alone = [];
      for (const lora of sets) alone.push(await says(lora));
      expect(new Set(alone.map(String)).size).to.equal(sets.length);
      expect(await Promise.all(sets.map(says))).to.deep.equal(alone);
      expect(await says([{ name: 'first', scale: 0 }])).to.deep.equal(alone[0]);
      expect(await says([{ name: 'second' }, { name: 'first', scale: 0.5 }])).to.deep.equal(alone[3]);
      const plain = await load([]);
      expect(plain.info.adapters).to.equal(undefined);
      expect((await runSequence(plain, request(NONE))).ids).to.deep.equal(alone[0]);
      await plain.close();
    } finally {
      await engine.close();
    }
  });

  it('remembers a prompt for its own set of adapters only', async () => {
    const engine = await load();
    try {
      for (const lora of [FIRST, NONE, SECOND, BOTH]) {
        const { finished } = await runSequence(engine, request(lora, 600));
        expect(finished.usage.cachedTokens).to.equal(0);
      }
      for (const lora of [BOTH, SECOND, NONE, FIRST]) {
        const { finished } = await runSequence(engine, request(lora, 600));
        expect(finished.usage.cachedTokens).to.be.greaterThan(255);
      }
    } finally {
      await engine.close();
    }
  });

  it('scores labels and makes vectors with adapters', async () => {
    const { driver, files } = subject();
    const [engine, embedder] = await Promise.all([
      load(),
      driver.load({
        file: files.embedder,
        purpose: 'embed',
        contextTokens: 512,
        threads: 1,
        adapters: [{ name: 'first', file: files.adapters.embedder }],
      }),
    ]);
    try {
      const labels = ['alpha', 'beta', 'gamma'];
      const scores = (lora: readonly AdapterUse[]): Promise<number[]> =>
        engine.classify(say('a b c'), labels, undefined, { lora });
      expect(await scores(NONE)).to.deep.equal(await engine.classify(say('a b c'), labels));
      expect(await scores(FIRST)).to.not.deep.equal(await scores(NONE));
      const [plain] = await embedder.embed(['some text']);
      const [adapted] = await embedder.embed({ inputs: ['some text'], lora: FIRST });
      expect(adapted).to.not.deep.equal(plain);
      const [again] = await embedder.embed({ inputs: ['some text'], lora: NONE });
      expect(again).to.deep.equal(plain);
    } finally {
      await Promise.all([engine.close(), embedder.close()]);
    }
  });

  it('counts adapters as weights', async () => {
    const { driver, files } = subject();
    const options = { file: files.endless, purpose: 'generate', contextTokens: 1024, threads: 1 } as const;
    const adapters = [{ name: 'first', file: files.adapters.first }];
    const [without, planned] = [await driver.planMemory(options), await driver.planMemory({ ...options, adapters })];
    const weights = (plan: typeof planned): number => plan.devices.reduce((sum, one) => sum + one.weightsBytes, 0);
    expect(weights(planned)).to.be.greaterThan(weights(without));
    const engine = await driver.load({ ...options, adapters });
    expect(engine.memory().totalBytes).to.equal(planned.totalBytes);
    await engine.close();
  });

  it('refuses adapters and uses of them that make no sense', async () => {
    const { files } = subject();
    const file = files.adapters.first;
    const sets = [
      [{ name: '', file }],
      [{ name: 'x', file: '' }],
      [{ name: 'x', file: 7 }],
      [undefined],
      'first',
      Array.from({ length: 17 }, (_, index) => ({ name: `x${index}`, file })),
      Array.from({ length: 2 }, () => ({ name: 'x', file })),
      [{ name: 'x'.repeat(65), file }],
    ] as unknown as readonly AdapterOption[][];
    for (const adapters of sets) {
      expect((await expectError('invalid_request', () => load(adapters))).param).to.equal('adapters');
    }
    const broken = await expectError('model_unusable', () => load([{ name: 'broken', file: files.broken }]));
    expect(broken.param).to.equal('adapters');
    const engine = await load();
    const uses = [
      [{ name: 'third' }],
      [{ name: 'first', scale: NaN }],
      [{ name: 'first', scale: -Infinity }],
      [{ name: 'first', scale: 1e9 }],
      [{ name: 'first', scale: '1' }],
      [{ name: 'first' }, { name: 'first' }],
      [undefined],
      'first',
      Array.from({ length: 5 }, () => ({ name: 'first' })),
    ] as unknown as readonly AdapterUse[][];
    for (const lora of uses) {
      const error = await expectError('invalid_request', () => engine.submit(request(lora), () => undefined));
      expect(error.param).to.equal('lora');
      const job = await expectError('invalid_request', () =>
        engine.classify(say('a'), ['b', 'c'], undefined, { lora }),
      );
      expect(job.param).to.equal('lora');
    }
    await engine.close();
  });
}
