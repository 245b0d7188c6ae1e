// @ts-check
/**
 * The steps of a check in their order, each done once: a call that runs out of time stops between two of them, between
 * two parts of one, or in a build, and the next call goes on there. What a step does is in its own file.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { endAll } from '../../bench/lib/child-run.mjs';
import { rootDir } from '../lib/paths.mjs';
import { stdoutReporter } from '../lib/reporter.mjs';
import { ScriptError, exitStatus } from '../lib/script-error.mjs';
import { buildAddon, buildPeer, unpack } from './build.mjs';
import { OutOfTime, workDir } from './context.mjs';
import { contractParts } from './contract.mjs';
import { describeMachine } from './machine.mjs';
import { memoryParts } from './memory.mjs';
import { runParts } from './parts.mjs';
import { makeModel, speedParts } from './speed.mjs';

const resultFile = path.join(workDir, 'gpu-check.json');

/**
 * @typedef {import('./context.mjs').CheckContext} CheckContext
 * @typedef {object} CheckStep
 * @property {string} name
 * @property {number} leastMs it, or a part of it, is not begun with less than that
 * @property {(context: CheckContext) => Promise<unknown>} [run] what goes into the result, or rejects with OutOfTime
 * @property {(context: CheckContext) => import('./parts.mjs').Parts} [parts] instead of `run`
 *
 * @typedef {{ outcome?: unknown, parts?: Record<string, object>, failure?: string, seconds: number }} StepResult
 *   `parts`: those that are done while others are not
 * @typedef {{ settings: object, steps: Record<string, StepResult> }} Result
 */

/** @type {readonly CheckStep[]} */
const steps = [
  { name: 'unpack', leastMs: 20_000, run: unpack },
  { name: 'machine', leastMs: 1000, run: describeMachine },
  { name: 'addon', leastMs: 30_000, run: buildAddon },
  { name: 'model', leastMs: 30_000, run: makeModel },
  { name: 'contract', leastMs: 60_000, parts: contractParts },
  { name: 'memory', leastMs: 30_000, parts: memoryParts },
  { name: 'peer', leastMs: 30_000, run: buildPeer },
  { name: 'speed', leastMs: 90_000, parts: speedParts },
];

/**
 * @param {{ budgetMs: number, gpu: string, shape: string, only?: string | undefined }} options
 * @returns {Promise<number>} 0: complete; 4: call again; 1: a step or a part of one failed, the result says how
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
    budgetMs,
    leftMs: () => endMs - performance.now(),
    isEnded: endWithSignals(),
    say: (/** @type {string} */ text) => reporter.line(text),
  };
  mkdirSync(workDir, { recursive: true });
  const result = readResult({ gpu, shape, dryRun: gpu === 'cpu' });
  for (const step of steps) {
    if (only === undefined ? result.steps[step.name]?.outcome !== undefined : step.name !== only) continue;
    if (context.leftMs() < step.leastMs) return callAgain(context, `before ${step.name}`);
    try {
      await runStep(context, step, result);
    } catch (error) {
      if (error instanceof OutOfTime) return callAgain(context, `in ${step.name}: ${error.message}`);
      throw error;
    }
  }
  return closing(context, result, only);
}

/**
 * @param {CheckContext} context
 * @param {CheckStep} step
 * @param {Result} result
 */
async function runStep(context, step, result) {
  const startedMs = performance.now();
  const before = result.steps[step.name];
  const done = before?.parts ?? {};
  const seconds = () => Math.round((before?.seconds ?? 0) * 10 + (performance.now() - startedMs) / 100) / 10;
  /** @param {Omit<StepResult, 'seconds'>} what */
  const keep = (what) => {
    result.steps[step.name] = { ...what, seconds: seconds() };
    writeResult(result);
  };
  try {
    const keepParts = () => keep({ parts: done });
    const outcome = step.parts
      ? await runParts(context, step.parts(context), { leastMs: step.leastMs, done, keep: keepParts })
      : await step.run?.(context);
    keep({ outcome: outcome ?? 'done' });
    context.say(`ok ${step.name} (${seconds()} s)`);
  } catch (error) {
    if (error instanceof OutOfTime) {
      keep(step.parts ? { parts: done } : {});
    } else {
      const message = error instanceof ScriptError ? [error.message, ...error.logLines].join('\n') : String(error);
      keep({ parts: done, failure: message });
    }
    throw error;
  }
}

/**
 * @param {CheckContext} context
 * @param {Result} result
 * @param {string | undefined} only
 */
function closing(context, result, only) {
  const failed = Object.entries(result.steps).flatMap(([name, { outcome }]) =>
    Object.entries(typeof outcome === 'object' && outcome !== null ? outcome : {})
      .filter(([, part]) => typeof part === 'object' && part !== null && 'failure' in part)
      .map(([part]) => `${name}/${part}`),
  );
  context.say(`${only ?? 'complete'}: ${path.relative(rootDir, resultFile)}`);
  if (failed.length > 0) context.say(`FAILED: ${failed.join(', ')}`);
  return failed.length > 0 ? 1 : 0;
}

/**
 * @param {CheckContext} context
 * @param {string} where
 */
function callAgain(context, where) {
  context.say(`time is up ${where}; call again to go on`);
  return 4;
}

/** A call that is ended takes with it what it has started; the function returned tells that this is so. */
function endWithSignals() {
  let isEnded = false;
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => {
      isEnded = true;
      void endAll().then(() => process.exit(exitStatus.failed));
    });
  }
  return () => isEnded;
}

/**
 * What earlier calls with the same settings found; those with others begin anew, and keep their builds.
 * @param {object} settings
 * @returns {Result}
 */
function readResult(settings) {
  const empty = { settings, steps: {} };
  if (!existsSync(resultFile)) return empty;
  const earlier = JSON.parse(readFileSync(resultFile, 'utf8'));
  return JSON.stringify(earlier.settings) === JSON.stringify(settings) ? earlier : empty;
}

/** @param {Result} result */
function writeResult(result) {
  writeFileSync(`${resultFile}.new`, JSON.stringify(result, undefined, 2) + '\n');
  renameSync(`${resultFile}.new`, resultFile);
  if (process.env.OUT) copyFileSync(resultFile, path.join(process.env.OUT, 'gpu-check.json'));
}
