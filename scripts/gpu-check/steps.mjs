// @ts-check
/**
 * The steps of a check in their order, each done once: a call that runs out of time stops between two of them, or in a
 * build, and the next call goes on there. What a step does is in its own file.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { rootDir } from '../lib/paths.mjs';
import { stdoutReporter } from '../lib/reporter.mjs';
import { ScriptError } from '../lib/script-error.mjs';
import { buildAddon, buildPeer, unpack } from './build.mjs';
import { OutOfTime, workDir } from './context.mjs';
import { checkContract } from './contract.mjs';
import { describeMachine } from './machine.mjs';
import { compareMemory } from './memory.mjs';
import { compareSpeed, makeModel } from './speed.mjs';

const resultFile = path.join(workDir, 'gpu-check.json');

/**
 * @typedef {import('./context.mjs').CheckContext} CheckContext
 * @typedef {{ name: string, leastMs: number, run: (context: CheckContext) => Promise<unknown> }} CheckStep `leastMs`:
 *   not begun with less than that; resolves to what goes into the result, or rejects with OutOfTime
 */

/** @type {readonly CheckStep[]} */
const steps = [
  { name: 'unpack', leastMs: 20_000, run: unpack },
  { name: 'machine', leastMs: 1000, run: describeMachine },
  { name: 'addon', leastMs: 20_000, run: buildAddon },
  { name: 'model', leastMs: 30_000, run: makeModel },
  { name: 'contract', leastMs: 120_000, run: checkContract },
  { name: 'memory', leastMs: 90_000, run: compareMemory },
  { name: 'peer', leastMs: 20_000, run: buildPeer },
  { name: 'speed', leastMs: 200_000, run: compareSpeed },
];

/**
 * @param {{ budgetMs: number, gpu: string, shape: string, only?: string | undefined }} options
 * @returns {Promise<number>} 0: complete; 4: call again; 1: a step failed, its error is in the result
 */
export async function runSteps({ budgetMs, gpu, shape, only }) {
  if (only !== undefined && !steps.some(({ name }) => name === only)) {
    throw new ScriptError(`there is no step "${only}"`, { remedy: steps.map(({ name }) => name).join(', ') });
  }
  const endMs = performance.now() + budgetMs;
  const reporter = stdoutReporter();
  const context = {
    gpu,
    shape,
    leftMs: () => endMs - performance.now(),
    say: (/** @type {string} */ text) => reporter.line(text),
  };
  mkdirSync(workDir, { recursive: true });
  const result = readResult();
  for (const step of steps) {
    if (only === undefined ? result[step.name]?.outcome !== undefined : step.name !== only) continue;
    if (context.leftMs() < step.leastMs) return callAgain(context, `before ${step.name}`);
    const startedMs = performance.now();
    try {
      const outcome = (await step.run(context)) ?? 'done';
      result[step.name] = { outcome, seconds: seconds(startedMs) };
      context.say(`ok ${step.name} (${seconds(startedMs)} s)`);
    } catch (error) {
      if (error instanceof OutOfTime) return callAgain(context, `in ${step.name}: ${error.message}`);
      const message = error instanceof ScriptError ? [error.message, ...error.logLines].join('\n') : String(error);
      result[step.name] = { failure: message, seconds: seconds(startedMs) };
      writeResult(result);
      throw error;
    }
    writeResult(result);
  }
  context.say(`${only ?? 'complete'}: ${path.relative(rootDir, resultFile)}`);
  return 0;
}

/** @param {number} startedMs */
function seconds(startedMs) {
  return Math.round((performance.now() - startedMs) / 100) / 10;
}

/**
 * @param {CheckContext} context
 * @param {string} where
 */
function callAgain(context, where) {
  context.say(`time is up ${where}; call again to go on`);
  return 4;
}

/** @returns {Record<string, { outcome?: unknown, failure?: string, seconds: number }>} */
function readResult() {
  return existsSync(resultFile) ? JSON.parse(readFileSync(resultFile, 'utf8')) : {};
}

/** @param {Record<string, unknown>} result */
function writeResult(result) {
  writeFileSync(resultFile, JSON.stringify(result, undefined, 2) + '\n');
  if (process.env.OUT) copyFileSync(resultFile, path.join(process.env.OUT, 'gpu-check.json'));
}
