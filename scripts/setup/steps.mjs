// @ts-check
/**
 * The order of the set-up: which steps there are, which may run side by side, and how one is run. What a step does is
 * in its own file.
 */
import { rmSync } from 'node:fs';
import path from 'node:path';
import { buildDir, setupLogDir } from '../lib/paths.mjs';
import { withLock } from '../lib/lock.mjs';
import { ScriptError, describeError } from '../lib/script-error.mjs';
import { addonStep, chosenGpu, coreTestsStep, splitTestsStep, vendorStep } from './addon.mjs';
import { packagesStep, sqliteStep } from './dependencies.mjs';
import { checkPrerequisites } from './prerequisites.mjs';
import { demoModelsStep, distStep } from './products.mjs';

const lockWaitMs = 30 * 60_000;

/**
 * @typedef {object} StepContext
 * @property {(text: string) => void} status
 * @property {string} logPath emptied before the step
 * @property {number} startedMs by performance.now()
 * @property {Record<string, string | undefined>} env
 *
 * @typedef {object} Step
 * @property {string} name
 * @property {() => boolean} upToDate
 * @property {(context: StepContext) => Promise<string | void>} run resolves to what was done, in a few words
 * @property {() => void} [forget] the next run does it again
 *
 * @typedef {ReturnType<typeof import('../lib/reporter.mjs').createReporter>} Reporter
 */

/** The test programs; the one about devices starts processes as Windows does not. */
const testSteps = process.platform === 'win32' ? [coreTestsStep] : [coreTestsStep, splitTestsStep];

/**
 * Makes everything ready that the gateway needs.
 * @param {{ reporter: Reporter, force?: boolean, coreTests?: boolean, models?: boolean }} options `force`: also what is
 *   up to date; `coreTests`: the core's test program too; `models: false`: no demo models
 * @returns {Promise<boolean>} whether there was anything to do
 */
export async function setUp({ reporter, force = false, coreTests = false, models = true }) {
  const native = [vendorStep, ...(models ? [demoModelsStep] : []), addonStep, ...(coreTests ? testSteps : [])];
  const ours = [distStep, sqliteStep];
  const onWait = (/** @type {number} */ pid) =>
    reporter.line(`process ${pid} is setting this checkout up; waiting for it`);
  if (!force && allReady(native, ours)) return false;
  return withLock(path.join(buildDir, 'setup.lock'), { waitMs: lockWaitMs, onWait }, async () => {
    if (!force && allReady(native, ours)) return false;
    checkPrerequisites();
    chosenGpu();
    if (force) [...native, ...ours].forEach((step) => step.forget?.());
    await together([runStep(packagesStep, reporter)]);
    await together([runAll(native, reporter), runAll(ours, reporter)]);
    return true;
  });
}

/**
 * @param {readonly Step[]} native
 * @param {readonly Step[]} ours
 */
function allReady(native, ours) {
  return packagesStep.upToDate() && [...ours, ...native].every((step) => step.upToDate());
}

/**
 * Waits for both chains, so that a failure of one leaves no compiler of the other behind and loses nothing of its work.
 * Each failure was told when it happened.
 * @param {Promise<void>[]} chains
 */
async function together(chains) {
  const failed = (await Promise.allSettled(chains)).filter((result) => result.status === 'rejected');
  if (failed.length === 0) return;
  throw new ScriptError('the set-up is not complete', {
    remedy: 'put right what is told above, then run the same command again; what was built is kept',
  });
}

/**
 * @param {readonly Step[]} steps
 * @param {Reporter} reporter
 */
async function runAll(steps, reporter) {
  for (const step of steps) await runStep(step, reporter);
}

/**
 * Runs one step unless it is up to date, and says so.
 * @param {Step} step
 * @param {Reporter} reporter
 */
export async function runStep(step, reporter) {
  if (step.upToDate()) return;
  const report = reporter.step(step.name);
  const logPath = path.join(setupLogDir, `${step.name.replaceAll(' ', '-')}.log`);
  rmSync(logPath, { force: true });
  const context = { status: report.status, logPath, startedMs: performance.now(), env: process.env };
  try {
    report.done((await step.run(context)) ?? undefined);
  } catch (error) {
    report.failed();
    for (const line of describeError(error)) reporter.line(line);
    throw error;
  }
}
