// @ts-check
/**
 * `npm run test:asan`: the core's tests, the engine's contract suite and a program that ends in the midst of work, with
 * AddressSanitizer and UndefinedBehaviorSanitizer. `npm run test:tsan` (--tsan): the core's tests and the contract suite
 * with ThreadSanitizer. Closes with `N passed, N failed`.
 */
import path from 'node:path';
import { buildDir } from './lib/paths.mjs';
import { stdoutReporter } from './lib/reporter.mjs';
import { describeError } from './lib/script-error.mjs';
import { setUp } from './setup/steps.mjs';
import { sanitizerChecks } from './testing/asan.mjs';
import { makeCoreTestModels } from './testing/core-models.mjs';
import { closingLine, nothingRan, sumCounts } from './testing/counts.mjs';

process.env.LLAMAESTRO_HOME = path.join(buildDir, 'test-home');
const which = process.argv.includes('--tsan') ? 'tsan' : 'asan';
let total = nothingRan;
try {
  const reporter = stdoutReporter();
  await setUp({ reporter, coreTests: true });
  process.env.LLAMAESTRO_TEST_MODELS = await makeCoreTestModels();
  for (const check of await sanitizerChecks(reporter, which)) total = sumCounts([total, await check.run()]);
} catch (error) {
  process.stdout.write(describeError(error).join('\n') + '\n');
  total = sumCounts([total, { passed: 0, failed: 1, skipped: 0 }]);
}
process.stdout.write(`\n${closingLine(total)}\n`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
