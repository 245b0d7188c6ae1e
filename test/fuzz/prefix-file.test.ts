/** Files of saved prefixes, cut and flipped anywhere: refused by name, and the engine says what it said before. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Engine } from '../../src/engine/engine.js';
import { createNativeDriver } from '../../src/engine/native-engine.js';
import { hasAddon } from '../engine/native-subject.js';
import { expectError, runSequence } from '../engine/run-sequence.js';
import { copierModel } from '../support/models.js';
import { answerTo, promptOf, randomTask } from '../torture/copier-task.js';
import { SeededRandom } from './seeded-random.js';

const DAMAGES = 120;

describe('damaged prefix files', function () {
  this.timeout(120_000);
  let folder: string;
  let engine: Engine;

  before(async function () {
    if (!hasAddon) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'llamaestro-prefix-'));
    const file = await copierModel();
    engine = await createNativeDriver().load({
      file,
      purpose: 'generate',
      contextTokens: 700,
      threads: 1,
      chunkTokens: 32,
    });
  });

  after(async () => {
    await engine?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  it('are refused, and no block of them is used', async () => {
    const random = new SeededRandom(3);
    const task = { ...randomTask(random, 9, 320), length: 400 };
    const say = async (): Promise<void> => {
      const prompt = { kind: 'tokens', tokens: promptOf(task) } as const;
      const { ids } = await runSequence(engine, { prompt, temperature: 0, maxTokens: 120, ignoreEos: true });
      expect(ids).to.deep.equal(answerTo(task, 120));
    };
    await say();
    const saved = join(folder, 'saved');
    await engine.savePrefixes(saved);
    const whole = readFileSync(saved);
    const damaged = join(folder, 'damaged');
    for (let index = 0; index < DAMAGES; index++) {
      const bytes = Buffer.from(random.chance(0.3) ? whole.subarray(0, random.below(whole.length)) : whole);
      if (bytes.length === whole.length) {
        const at = random.below(random.chance(0.5) ? 256 : whole.length);
        bytes.writeUInt8(bytes.readUInt8(at) ^ (1 << random.below(8)), at);
      }
      writeFileSync(damaged, bytes);
      await expectError('invalid_request', () => engine.restorePrefixes(damaged));
    }
    await say();
    await engine.restorePrefixes(saved);
    await say();
  });
});
