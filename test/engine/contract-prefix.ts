/** The part of the engine contract about prompts that begin alike. */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Engine, LoadOptions, SequenceRequest } from '../../src/engine/engine.js';
import type { ContractSubject } from './contract.js';
import { expectError, runSequence } from './run-sequence.js';

const SHARED_TOKENS = 600;
const PROMPT_TOKENS = 700;

/** A greedy request whose first SHARED_TOKENS tokens are always the same; `salt` decides the rest. */
function request(salt: number, changes: Partial<SequenceRequest> = {}): SequenceRequest {
  const tokens = Array.from(
    { length: PROMPT_TOKENS },
    (_, at) => 10 + ((at * 7 + (at < SHARED_TOKENS ? 0 : salt * 31)) % 200),
  );
  return { prompt: { kind: 'tokens', tokens }, maxTokens: 8, temperature: 0, ignoreEos: true, ...changes };
}

export function prefixContract(subject: () => ContractSubject): void {
  const load = (prefixCacheBytes?: number): Promise<Engine> => {
    const { driver, files } = subject();
    const options = { file: files.endless, purpose: 'generate', threads: 1, slots: 2, contextTokens: 2048 } as const;
    return driver.load(prefixCacheBytes === undefined ? options : { ...options, prefixCacheBytes });
  };

  it('takes over what is known of a prompt, says so, and gives the same tokens', async () => {
    const [cold, warm] = await Promise.all([load(0), load()]);
    try {
      expect(cold.planned.prefixCacheBytes).to.equal(0);
      expect(warm.planned.prefixCacheBytes).to.be.greaterThan(0);
      await runSequence(warm, request(1));
      const again = await runSequence(warm, request(2));
      const started = again.events.find((event) => event.type === 'started');
      expect(started?.cachedTokens).to.be.within(SHARED_TOKENS - 256, SHARED_TOKENS);
      expect(again.finished.usage.cachedTokens).to.equal(started?.cachedTokens);
      expect(again.finished.usage.promptTokens).to.equal(PROMPT_TOKENS);
      const prefills = again.events.filter((event) => event.type === 'prefill');
      expect(prefills.at(-1)).to.include({ doneTokens: PROMPT_TOKENS, totalTokens: PROMPT_TOKENS });
      const alone = await runSequence(cold, request(2));
      expect(alone.finished.usage.cachedTokens).to.equal(0);
      expect(again.ids).to.deep.equal(alone.ids);
      const stats = warm.stats();
      expect(stats).to.include({ prefixHits: 1, cachedTokens: again.finished.usage.cachedTokens });
      expect(stats.prefixBytes).to.be.within(1, warm.planned.prefixCacheBytes);
      expect(stats.prefixBlocks).to.be.greaterThan(0);
      expect(stats.inPlaceTokens).to.be.within(0, stats.cachedTokens);
      // Nobody runs: what is in use is left over, and with a budget of 0 nothing is.
      expect(stats.cells).to.include({ recounted: stats.cells.counted, held: stats.cells.counted });
      expect(cold.stats().cells).to.deep.equal({ counted: 0, recounted: 0, held: 0 });
      const none = { prefixHits: 0, cachedTokens: 0, inPlaceTokens: 0, prefixBlocks: 0, prefixBytes: 0 };
      expect(cold.stats()).to.include(none);
    } finally {
      await Promise.all([cold.close(), warm.close()]);
    }
  });

  it('leaves out a request that says so', async () => {
    const engine = await load();
    try {
      await runSequence(engine, request(1, { cachePrompt: false }));
      expect(engine.stats().prefixBlocks).to.equal(0);
      await runSequence(engine, request(1));
      const { finished } = await runSequence(engine, request(1, { cachePrompt: false }));
      expect(finished.usage.cachedTokens).to.equal(0);
      const refused = { ...request(1), cachePrompt: 'no' } as unknown as SequenceRequest;
      const error = await expectError('invalid_request', () => engine.submit(refused, () => undefined));
      expect(error.param).to.equal('cachePrompt');
    } finally {
      await engine.close();
    }
  });

  it('takes over the last answer in the next turn, unless the engine was loaded without', async () => {
    for (const reuseGenerated of [true, false]) {
      const { driver, files } = subject();
      const options = { file: files.endless, purpose: 'generate', threads: 1, contextTokens: 2048 } as const;
      const engine = await driver.load({ ...options, reuseGenerated });
      try {
        const question = Array.from({ length: 300 }, (_, at) => 10 + ((at * 7) % 200));
        const asked = { maxTokens: 150, temperature: 0, ignoreEos: true } as const;
        const first = await runSequence(engine, { ...asked, prompt: { kind: 'tokens', tokens: question } });
        const tokens = [...question, ...first.ids, ...question.slice(0, 100)];
        const second = await runSequence(engine, { ...asked, prompt: { kind: 'tokens', tokens } });
        const answered = question.length + first.ids.length;
        const [least, most] = reuseGenerated ? [answered - 64, answered - 1] : [256, question.length];
        expect(second.finished.usage.cachedTokens).to.be.within(least, most);
      } finally {
        await engine.close();
      }
    }
    const { driver, files } = subject();
    const wrong = { file: files.endless, purpose: 'generate', reuseGenerated: 1 } as unknown as LoadOptions;
    expect((await expectError('invalid_request', () => driver.load(wrong))).param).to.equal('reuseGenerated');
  });

  it('saves prefixes to a file that another engine takes over, and no other kind of file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'prefixes-'));
    const file = join(folder, 'saved');
    const [first, second] = await Promise.all([load(), load()]);
    try {
      await runSequence(first, request(1));
      await runSequence(first, { ...request(1), prompt: { kind: 'tokens', tokens: Array(130).fill(7) as number[] } });
      const saved = await first.savePrefixes(file);
      expect(saved.prefixes).to.equal(2);
      expect(saved.tokens).to.be.within(SHARED_TOKENS, PROMPT_TOKENS + 130 + 2 * 8);
      expect(saved.bytes).to.equal(statSync(file).size);
      const one = await first.savePrefixes(`${file}.one`, request(1).prompt);
      expect(one.prefixes).to.equal(1);
      const restored = await second.restorePrefixes(file);
      expect(restored).to.include({ prefixes: saved.prefixes, tokens: saved.tokens });
      expect((await second.restorePrefixes(file)).tokens).to.equal(0);
      const [cold, warm] = [await runSequence(first, request(3)), await runSequence(second, request(3))];
      expect(warm.finished.usage.cachedTokens).to.be.within(SHARED_TOKENS - 256, SHARED_TOKENS);
      expect(warm.ids).to.deep.equal(cold.ids);
      expect(readdirSync(folder)).to.have.members(['saved', 'saved.one']);

      writeFileSync(join(folder, 'foreign'), 'something else');
      const refusals = { foreign: 'foreign', missing: 'unreadable' };
      for (const [name, reason] of Object.entries(refusals)) {
        const error = await expectError('invalid_request', () => second.restorePrefixes(join(folder, name)));
        expect([error.param, error.details?.['reason']]).to.deep.equal(['file', reason]);
      }
      const unwritable = await expectError('invalid_request', () => first.savePrefixes(join(folder, 'no', 'saved')));
      expect(unwritable.details?.['reason']).to.equal('unwritable');
      expect((await expectError('invalid_request', () => first.savePrefixes(''))).param).to.equal('file');
      await expectError('cancelled', () => first.savePrefixes(file, undefined, AbortSignal.abort()));
      await expectError('cancelled', () => second.restorePrefixes(file, AbortSignal.abort()));
    } finally {
      await Promise.all([first.close(), second.close()]);
      rmSync(folder, { recursive: true });
    }
    await expectError('cancelled', () => first.savePrefixes(file));
  });

  it('refuses a budget out of range by name', async () => {
    for (const budget of [-1, 0.5, 2 ** 41]) {
      expect((await expectError('invalid_request', () => load(budget))).param).to.equal('prefixCacheBytes');
    }
  });
}
