// @ts-check
/**
 * `npm run setup` and `npm run build`: makes this checkout ready to run. Options: --force does again what is up to
 * date, --core-tests builds the core's test program too, --no-models leaves the demo models out.
 */
import { parseArgs } from 'node:util';
import { stdoutReporter } from './lib/reporter.mjs';
import { ScriptError, exitStatus, runMain } from './lib/script-error.mjs';
import { setUp } from './setup/steps.mjs';

await runMain(async () => {
  const reporter = stdoutReporter();
  const startedMs = performance.now();
  const worked = await setUp({ reporter, ...readOptions() });
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  reporter.line(worked ? `set-up complete in ${seconds} s` : `everything is up to date (${seconds} s)`);
});

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        force: { type: 'boolean', default: false },
        'core-tests': { type: 'boolean', default: false },
        'no-models': { type: 'boolean', default: false },
      },
    });
    return { force: values.force, coreTests: values['core-tests'], models: !values['no-models'] };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ScriptError(message, { status: exitStatus.usage, remedy: 'options: --force --core-tests --no-models' });
  }
}
