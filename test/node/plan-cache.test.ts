import { expect } from 'chai';
import { PlanCache } from '../../src/node/plan-cache.js';
import type { LoadOptions, MemoryPlan } from '../../src/schema/load.js';

const LOAD: LoadOptions = { file: '/m/a.gguf', purpose: 'generate', slots: 2, contextTokens: 64 };
const always = (): boolean => true;

/** A question that counts how often it was asked and whose answers differ. */
function counting(): { ask: () => Promise<MemoryPlan>; count: () => number } {
  let count = 0;
  return { ask: async () => ({ totalBytes: ++count }) as MemoryPlan, count: () => count };
}

describe('PlanCache', () => {
  it('asks once for equal options in any order, whatever the step lock', async () => {
    const cache = new PlanCache(4, async () => 'same');
    const { ask, count } = counting();
    await cache.get(LOAD, ask, always);
    const same = {
      contextTokens: 64,
      stepLock: '/run/lock',
      slots: 2,
      purpose: 'generate',
      file: '/m/a.gguf',
    } as const;
    expect(await cache.get(same, ask, always)).to.include({ totalBytes: 1 });
    expect(count()).to.equal(1);
  });

  it('asks again when an option or the file changes', async () => {
    let identity = 'first';
    const cache = new PlanCache(4, async () => identity);
    const { ask, count } = counting();
    await cache.get(LOAD, ask, always);
    await cache.get({ ...LOAD, slots: 3 }, ask, always);
    identity = 'second';
    await cache.get(LOAD, ask, always);
    expect(count()).to.equal(3);
  });

  it('shares one answer among those who ask at the same time', async () => {
    const cache = new PlanCache(4, async () => 'same');
    const { ask, count } = counting();
    await Promise.all([1, 2, 3].map(() => cache.get(LOAD, ask, always)));
    expect(count()).to.equal(1);
  });

  it('keeps nothing that may not be kept: refused plans, errors, files that cannot be told apart', async () => {
    const { ask, count } = counting();
    const cache = new PlanCache(4, async (file) => (file === LOAD.file ? 'same' : undefined));
    await cache.get(LOAD, ask, () => false);
    await cache.get(LOAD, async () => Promise.reject(new Error('no')), always).catch(() => undefined);
    await cache.get({ ...LOAD, file: '/gone' }, ask, always);
    await cache.get({ ...LOAD, file: '/gone' }, ask, always);
    await cache.get(LOAD, ask, always);
    expect(count()).to.equal(4);
  });

  it('drops the plan that was used least recently', async () => {
    const cache = new PlanCache(2, async (file) => file);
    const { ask, count } = counting();
    const get = (file: string): Promise<MemoryPlan> => cache.get({ ...LOAD, file }, ask, always);
    for (const file of ['a', 'b', 'a', 'c']) await get(file);
    expect(count()).to.equal(3);
    await get('a');
    expect(count()).to.equal(3);
    await get('b');
    expect(count()).to.equal(4);
  });
});
