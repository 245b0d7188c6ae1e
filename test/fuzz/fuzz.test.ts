/** A few damaged files of each kind against the real engine; `npm run test:fuzz` does a thousand of each. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { hasAddon } from '../engine/native-subject.js';
import { DAMAGE_KINDS } from './damage.js';
import { casesOf, fuzzBases } from './fuzz-cases.js';
import { runCases } from './fuzz-run.js';

const COUNT = 60;

describe('damaged model files', function () {
  this.timeout(120_000);
  let folder: string;

  before(function () {
    if (!hasAddon) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'llamaestro-fuzz-'));
  });
  after(() => {
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  for (const kind of DAMAGE_KINDS) {
    it(`get a typed error or an answer, and the process lives: ${kind}`, async () => {
      const cases = casesOf(await fuzzBases(), kind, COUNT, 1, join(folder, 'damaged.gguf'));
      const report = await runCases(cases, join(folder, 'kept'));
      expect(report.failures.map(({ one, why }) => `seed ${one.seed}: ${why}`)).to.deep.equal([]);
      const refused = [...report.endings].filter(([ending]) => ending !== 'done');
      expect(
        refused.reduce((sum, [, count]) => sum + count, 0),
        'files refused',
      ).to.be.greaterThan(COUNT / 4);
    });
  }
});
