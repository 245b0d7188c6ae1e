// @ts-check
/**
 * Checks the engine on a machine with a GPU that has a compiler, cmake and ninja, but neither Node.js nor a network.
 *   node scripts/gpu-check.mjs bundle            here: packs what the machine lacks into .gpu-bundle (at most 64 MiB)
 *   scripts/gpu-check.sh [--budget SECONDS] …    there, in a copy of this checkout with .gpu-bundle: again until it says
 *                                                "complete"; each call goes on where the last one stopped
 * Options of the second: --budget (540), --gpu cuda|cpu (cuda), --shape 600m|150m|15m, --only STEP. The outcome is one
 * JSON file, build-gpu/gpu-check.json, and a copy in $OUT where that is set. --gpu cpu --shape 15m tries the check itself
 * on a machine without a GPU; its file says "dryRun": true.
 */
import { parseArgs } from 'node:util';
import { ScriptError, exitStatus, runMain } from './lib/script-error.mjs';
import { makeBundle } from './gpu-check/bundle.mjs';
import { runSteps } from './gpu-check/steps.mjs';

const usage = 'gpu-check.mjs bundle | run [--budget SECONDS] [--gpu cuda|cpu] [--shape 600m|150m|15m] [--only STEP]';

await runMain(async () => {
  const { verb, values } = read();
  if (verb === 'bundle') return makeBundle();
  if (verb !== 'run') throw new ScriptError('what is to be done?', { status: exitStatus.usage, remedy: usage });
  const budgetMs = Number(values.budget) * 1000;
  if (!(budgetMs >= 10_000 && budgetMs <= 3_600_000)) {
    throw new ScriptError('--budget is a number of seconds, 10 … 3600', { status: exitStatus.usage, remedy: usage });
  }
  return runSteps({ budgetMs, gpu: values.gpu, shape: values.shape, only: values.only });
});

function read() {
  try {
    const { positionals, values } = parseArgs({
      allowPositionals: true,
      options: {
        budget: { type: 'string', default: '540' },
        gpu: { type: 'string', default: 'cuda' },
        shape: { type: 'string', default: '600m' },
        only: { type: 'string' },
      },
    });
    return { verb: positionals[0], values };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ScriptError(message, { status: exitStatus.usage, remedy: usage });
  }
}
