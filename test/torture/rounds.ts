/**
 * Rounds of torture, each on an engine of another shape: both cache layouts, few and many slots, cells that do not
 * suffice for all, with and without a prefix cache that is far too small, with and without answers in it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EngineDriver, LoadOptions } from '../../src/engine/engine.js';
import { SeededRandom } from '../fuzz/seeded-random.js';
import { runSequence } from '../engine/run-sequence.js';
import { expect } from 'chai';
import { copierModel } from '../support/models.js';
import { answerTo, promptOf, randomTask } from './copier-task.js';
import { torture, type TortureReport } from './torture-run.js';

export interface Round {
  readonly options: Partial<LoadOptions>;
  readonly report: TortureReport;
}

/** Tortures one engine after the other until `totalMs` have gone, each for `roundMs`. */
export async function tortureRounds(
  driver: EngineDriver,
  seed: number,
  totalMs: number,
  roundMs: number,
  onRound: (round: Round) => void = () => undefined,
): Promise<readonly Round[]> {
  const random = new SeededRandom(seed);
  const file = await copierModel();
  const folder = mkdtempSync(join(tmpdir(), 'torture-'));
  const rounds: Round[] = [];
  const end = performance.now() + totalMs;
  while (performance.now() < end) {
    const options = roundOptions(random, rounds.length);
    const engine = await driver.load({ file, purpose: 'generate', threads: 1, ...options });
    try {
      const familySeed = seed + rounds.length;
      const durationMs = Math.min(roundMs, end - performance.now());
      const report = await torture(engine, { random, familySeed, durationMs, prefixFile: join(folder, 'prefixes') });
      const round = { options, report };
      rounds.push(round);
      onRound(round);
    } finally {
      await engine.close();
    }
  }
  rmSync(folder, { recursive: true });
  await checkSolo(driver, file, random, seed);
  return rounds;
}

function roundOptions(random: SeededRandom, round: number): Partial<LoadOptions> {
  const slots = random.pick([1, 2, 4, 7]);
  const contextTokens = slots * random.pick([400, 512, 700]);
  const isUnified = round % 2 === 1;
  return {
    kvLayout: isUnified ? 'unified' : 'split',
    slots,
    contextTokens,
    // All slots together may want more than there is: somebody is put aside then.
    ...(isUnified && random.chance(0.7) ? { contextTokensPerSlot: Math.min(contextTokens, 700) } : {}),
    chunkTokens: random.pick([16, 32, 64, 256]),
    // A token takes a KiB: from nothing over a few prompts to all of them.
    prefixCacheBytes: random.pick([0, 2 ** 18, 2 ** 20, 2 ** 26]),
    reuseGenerated: random.chance(0.7),
  };
}

/** What was expected all along is what the model says when it runs alone. */
async function checkSolo(driver: EngineDriver, file: string, random: SeededRandom, seed: number): Promise<void> {
  const options: LoadOptions = { file, purpose: 'generate', threads: 1, contextTokens: 700, prefixCacheBytes: 0 };
  const engine = await driver.load(options);
  try {
    for (let index = 0; index < 10; index++) {
      const task = randomTask(random, seed, 320);
      const prompt = { kind: 'tokens', tokens: promptOf(task) } as const;
      const { ids } = await runSequence(engine, { prompt, temperature: 0, maxTokens: 200, ignoreEos: true });
      expect(ids).to.deep.equal(answerTo(task, 200));
    }
  } finally {
    await engine.close();
  }
}
