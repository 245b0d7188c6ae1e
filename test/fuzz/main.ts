/**
 * `npm run test:fuzz -- [--count N] [--seed N] [--kind K] [--say]`: N damaged files of each kind (default 1000), or the one
 * with that seed. Prints how they ended; failures leave their file in build/fuzz. Closes with `N passed, N failed`.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DAMAGE_KINDS, type DamageKind } from './damage.js';
import { casesOf, fuzzBases } from './fuzz-cases.js';
import { runCases } from './fuzz-run.js';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    kind: { type: 'string' },
    say: { type: 'boolean', default: false },
  },
});
const keepIn = fileURLToPath(new URL('../../build/fuzz', import.meta.url));
mkdirSync(keepIn, { recursive: true });
const scratch = mkdtempSync(join(tmpdir(), 'llamaestro-fuzz-'));
const kinds = values.kind === undefined ? DAMAGE_KINDS : [values.kind as DamageKind];
const bases = await fuzzBases();
let passed = 0;
let failed = 0;
for (const kind of kinds) {
  const cases = casesOf(bases, kind, Number(values.count), Number(values.seed), join(scratch, 'damaged.gguf'));
  const report = await runCases(cases, keepIn, (one, text) => {
    if (values.say) process.stdout.write(`${kind} ${one.seed} ${one.base.split('/').at(-1)}: ${text}\n`);
  });
  process.stdout.write(`${kind}: ${report.cases} files, slowest ${Math.round(report.slowestMs)} ms of CPU\n`);
  for (const [ending, count] of [...report.endings].sort(([, left], [, right]) => right - left)) {
    process.stdout.write(`  ${String(count).padStart(5)} ${ending.split('\n')[0]}\n`);
  }
  for (const { one, why, kept } of report.failures) {
    process.stdout.write(
      `FAILED ${kind} seed ${one.seed} of ${one.base.split('/').at(-1)}: ${why}\n  kept as ${kept}\n`,
    );
  }
  passed += report.cases - report.failures.length;
  failed += report.failures.length;
}
rmSync(scratch, { recursive: true });
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
