// @ts-check
/**
 * `npm test`: sets up what it needs, then runs every check and closes with one line, `N passed, N failed`. Arguments go
 * to mocha; --asan adds the sanitizer run (npm run test:asan) when at most LLAMAESTRO_ASAN_BEFORE_S seconds have gone.
 */
import path from 'node:path';
import { canCheckCpp } from './clang-format.mjs';
import { buildDir, rootDir } from './lib/paths.mjs';
import { stdoutReporter } from './lib/reporter.mjs';
import { describeError } from './lib/script-error.mjs';
import { coreTestsFile } from './setup/addon.mjs';
import { setUp } from './setup/steps.mjs';
import { sanitizerChecks } from './testing/asan.mjs';
import { mochaUnderCoverage, splitTests, staticCheck, testProgram } from './testing/checks.mjs';
import { closingLine, sumCounts } from './testing/counts.mjs';
import { makeCoreTestModels } from './testing/core-models.mjs';

const defaultAsanBeforeS = 900;
const startedMs = performance.now();
const elapsedS = () => Math.round((performance.now() - startedMs) / 1000);

// Tests never touch a person's own state: the demo models of the tests lie in the build folder.
process.env.LLAMAESTRO_HOME = path.join(buildDir, 'test-home');
delete process.env.NODE_ENV;

const args = process.argv.slice(2).filter((word) => word !== '--');
const withAsan = args.includes('--asan');
const mochaArgs = args.filter((word) => word !== '--asan');

/** @type {import('./testing/counts.mjs').Counts[]} */
const counted = [];
try {
  await setUp({ reporter: stdoutReporter(), coreTests: true });
  process.env.LLAMAESTRO_TEST_MODELS = await makeCoreTestModels();
  const checks = [
    staticCheck('tsc', 'typescript/bin/tsc', ['--noEmit']),
    staticCheck('tsc of the scripts', 'typescript/bin/tsc', ['--noEmit', '-p', path.join(rootDir, 'scripts')]),
    staticCheck('eslint', 'eslint/bin/eslint.js', ['.']),
    staticCheck('prettier', 'prettier/bin/prettier.cjs', ['--check', '.', '--log-level', 'warn']),
    ...(canCheckCpp() ? [staticCheck('clang-format', 'scripts/clang-format.mjs', ['--check'])] : []),
    testProgram('core-tests', coreTestsFile),
    ...(process.platform === 'win32' ? [] : [splitTests()]),
    mochaUnderCoverage(mochaArgs, process.env),
  ];
  await runChecks(checks);
  if (withAsan) await runSanitizers();
} catch (error) {
  process.stdout.write(describeError(error).join('\n') + '\n');
  counted.push({ passed: 0, failed: 1, skipped: 0 });
}
const total = sumCounts(counted);
process.stdout.write(`\n${closingLine(total)}\n`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

/** @param {readonly { name: string, run: () => Promise<import('./testing/counts.mjs').Counts> }[]} checks */
async function runChecks(checks) {
  for (const check of checks) {
    process.stdout.write(`\n== ${check.name} (${elapsedS()} s)\n`);
    const counts = await check.run();
    counted.push(counts);
    if (counts.failed > 0) process.stdout.write(`== ${check.name}: FAILED\n`);
  }
}

async function runSanitizers() {
  const beforeS = Number(process.env.LLAMAESTRO_ASAN_BEFORE_S ?? defaultAsanBeforeS);
  if (elapsedS() <= beforeS) return runChecks(await sanitizerChecks(stdoutReporter()));
  process.stdout.write(`\n== sanitizers: left out, ${elapsedS()} s have gone already (limit ${beforeS} s)\n`);
  counted.push({ passed: 0, failed: 0, skipped: 1 });
}
