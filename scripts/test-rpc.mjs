// @ts-check
/**
 * `npm run test:rpc`: plans against allocations on several devices, two servers of llama.cpp's RPC backend on this machine
 * standing in for GPUs. Arguments are parts of names of tests. Closes with `N passed, N failed`.
 */
import path from 'node:path';
import { buildDir } from './lib/paths.mjs';
import { stdoutReporter } from './lib/reporter.mjs';
import { describeError } from './lib/script-error.mjs';
import { setUp } from './setup/steps.mjs';
import { makeCoreTestModels } from './testing/core-models.mjs';
import { splitTests } from './testing/checks.mjs';
import { closingLine, nothingRan, sumCounts } from './testing/counts.mjs';

process.env.LLAMAESTRO_HOME = path.join(buildDir, 'test-home');
let total = nothingRan;
try {
  await setUp({ reporter: stdoutReporter(), coreTests: true });
  process.env.LLAMAESTRO_TEST_MODELS = await makeCoreTestModels();
  total = await splitTests(process.argv.slice(2)).run();
} catch (error) {
  process.stdout.write(describeError(error).join('\n') + '\n');
  total = sumCounts([total, { passed: 0, failed: 1, skipped: 0 }]);
}
process.stdout.write(`\n${closingLine(total)}\n`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
