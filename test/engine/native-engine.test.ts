import { copyFileSync, rmSync } from 'node:fs';
import { expect } from 'chai';
import type { EngineDriver, LoadOptions, MemoryPlan } from '../../src/engine/engine.js';
import { planFit } from '../../src/engine/plan-fit.js';
import { engineContract } from './contract.js';
import { hasAddon, nativeSubject } from './native-subject.js';
import { expectError, runSequence, say } from './run-sequence.js';

if (hasAddon) {
  engineContract('native engine', nativeSubject);
} else {
  describe('engine contract: native engine', () => {
    it('needs the addon ("npm run build")');
  });
}

describe('native engine', function () {
  this.timeout(60_000);
  let driver: EngineDriver;
  let files: Awaited<ReturnType<typeof nativeSubject>>['files'];

  before(async function () {
    if (!hasAddon) this.skip();
    ({ driver, files } = await nativeSubject());
  });

  /** Everything but the time the simulation took. */
  const bytesOf = ({
    simulatedMs: _,
    observed: __,
    ...plan
  }: MemoryPlan & { observed?: unknown }): Omit<MemoryPlan, 'simulatedMs'> => plan;

  it('allocates to the byte what it planned', async () => {
    const variants: readonly Partial<LoadOptions>[] = [
      {},
      { slots: 4, contextTokens: 2048 },
      { slots: 2, contextTokens: 1024, kvTypeK: 'q8_0', kvTypeV: 'q8_0' },
      { slots: 4, contextTokens: 1024, kvLayout: 'unified', chunkTokens: 64 },
      { flashAttention: 'off', contextTokens: 512 },
    ];
    for (const variant of variants) {
      const options: LoadOptions = { file: files.endless, purpose: 'generate', threads: 1, ...variant };
      const planned = await driver.planMemory(options);
      const engine = await driver.load(options);
      expect(bytesOf(engine.memory()), JSON.stringify(variant)).to.deep.equal(bytesOf(planned));
      expect(bytesOf(engine.planned)).to.deep.equal(bytesOf(planned));
      await engine.close();
      expect(engine.memory().devices.every(({ weightsBytes, kvBytes }) => weightsBytes + kvBytes === 0)).to.equal(true);
    }
  });

  it('reports planned, allocated and observed bytes side by side', async () => {
    const options: LoadOptions = { file: files.heavy, purpose: 'generate', threads: 1, contextTokens: 4096 };
    const planned = await driver.planMemory(options);
    const engine = await driver.load(options);
    const { observed } = engine.memory();
    const cpu = observed.find(({ device }) => device === 'cpu');
    expect(cpu?.plannedBytes).to.equal(planned.totalBytes);
    expect(cpu?.allocatedBytes).to.equal(planned.totalBytes);
    if (process.platform === 'linux') {
      // Engines of other tests in this process leave memory behind that is used again: there is no lower bound here.
      expect(cpu?.observedBytes).to.be.within(0, planned.totalBytes * 2);
      expect(cpu?.differenceBytes).to.equal((cpu?.observedBytes ?? 0) - planned.totalBytes);
    }
    await engine.close();
    expect(engine.memory().observed).to.deep.equal([]);
  });

  it('finds options that fit into fewer bytes, and they load with exactly the planned bytes', async () => {
    const options: LoadOptions = {
      file: files.heavy,
      purpose: 'generate',
      threads: 1,
      slots: 4,
      contextTokens: 4 * 8192,
    };
    const wanted = await driver.planMemory({ ...options, devices: [] });
    const budget = Math.round(wanted.totalBytes * 0.6);
    const fit = await planFit(driver, { options, budgets: { cpu: budget } });
    expect(fit.plan.totalBytes).to.be.within(budget / 2, budget);
    expect(fit.plan.contextTokensPerSlot).to.be.within(512, 8191);
    expect(fit.reasons).to.have.length.greaterThan(1);
    const engine = await driver.load(fit.options);
    expect(bytesOf(engine.memory())).to.deep.equal(bytesOf(fit.plan));
    await engine.close();
  });

  it('plans the same load again from memory, and anew when the file has changed', async () => {
    const file = `${files.endless}.copy.gguf`;
    copyFileSync(files.endless, file);
    try {
      const options: LoadOptions = { file, purpose: 'generate', contextTokens: 640, slots: 2 };
      const first = await driver.planMemory(options);
      expect(bytesOf(await driver.planMemory(options))).to.deep.equal(bytesOf(first));
      copyFileSync(files.heavy, file);
      expect((await driver.planMemory(options)).totalBytes).to.be.greaterThan(first.totalBytes);
    } finally {
      rmSync(file);
    }
  });

  it('keeps the event loop free while it loads, plans and decodes', async () => {
    let turns = 0;
    let isOver = false;
    const turn = (): void => {
      turns += 1;
      if (!isOver) setImmediate(turn);
    };
    turn();
    const plan = driver.planMemory({ file: files.heavy, purpose: 'generate' });
    const engine = await driver.load({ file: files.heavy, purpose: 'generate', contextTokens: 2048, threads: 1 });
    await plan;
    await runSequence(engine, { prompt: say('x'.repeat(300)), maxTokens: 4, ignoreEos: true });
    isOver = true;
    await engine.close();
    expect(turns).to.be.greaterThan(50);
  });

  it('names the file that is not there', async () => {
    const file = `${files.talk}.missing`;
    const error = await expectError('model_unusable', () => driver.load({ file, purpose: 'generate' }));
    expect(error.message).to.include('.missing');
  });

  it('refuses before it allocates what cannot fit', async () => {
    const options: LoadOptions = { file: files.heavy, purpose: 'generate', contextTokens: 2 ** 24, slots: 1 };
    const plan = await driver.planMemory(options);
    const free = driver.devices().find(({ id }) => id === 'cpu')?.freeBytes ?? 0;
    if (plan.totalBytes < free) return;
    const error = await expectError('does_not_fit', () => driver.load(options));
    expect(error.details).to.be.an('object');
  });

  it('runs several engines at once and closes each by itself', async () => {
    const load = (): ReturnType<EngineDriver['load']> =>
      driver.load({ file: files.talk, purpose: 'generate', contextTokens: 512, threads: 1 });
    const engines = await Promise.all([load(), load(), load()]);
    const [first, ...others] = engines;
    await first?.close();
    const transcripts = await Promise.all(
      others.map((engine) => runSequence(engine, { prompt: say('hi'), temperature: 0 })),
    );
    for (const { text } of transcripts) expect(text).to.equal(files.sentence);
    await Promise.all(others.map((engine) => engine.close()));
  });
});
