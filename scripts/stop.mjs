// @ts-check
/**
 * `npm stop`: lets the running gateway finish its requests and end, and makes sure that no process of it is left.
 * Options: --timeout SECONDS (default 35) for the requests, --force kills instead of waiting.
 */
import { parseArgs } from 'node:util';
import { stateDir } from './lib/paths.mjs';
import { stdoutReporter } from './lib/reporter.mjs';
import { ScriptError, exitStatus, runMain } from './lib/script-error.mjs';
import { endProcessTree } from './lifecycle/gateway-process.mjs';
import { removeGatewayRecord, runningGateway } from './lifecycle/pid-file.mjs';
import { stopHelp, stopUsage, wantsHelp } from './lifecycle/usage.mjs';

const defaultTimeoutSeconds = 35;

await runMain(async () => {
  if (wantsHelp(process.argv.slice(2))) return void process.stdout.write(stopHelp);
  const { force, graceMs } = readOptions();
  const home = stateDir();
  const running = runningGateway(home);
  const reporter = stdoutReporter();
  if (!running) return reporter.line('llamaestro is not running');
  const report = reporter.step('stop');
  report.status(force ? 'ending it' : 'waiting for the running requests');
  const { ended, killed } = await endProcessTree(running, { graceMs: force ? 0 : graceMs, force });
  if (!ended) {
    report.failed();
    throw new ScriptError(`the gateway (process ${running.pid}) has not ended after ${graceMs / 1000} s`, {
      remedy: 'npm stop -- --timeout SECONDS waits longer, npm stop -- --force gives its requests up',
    });
  }
  removeGatewayRecord(home, running.pid);
  report.done(killed > 0 ? `stopped; ${killed} model hosts had to be killed` : 'stopped, no process left');
  return exitStatus.ok;
});

function readOptions() {
  try {
    const { values } = parseArgs({
      args: process.argv.slice(2).filter((word) => word !== '--'),
      options: { force: { type: 'boolean', default: false }, timeout: { type: 'string' } },
    });
    const seconds = Number(values.timeout ?? defaultTimeoutSeconds);
    if (!Number.isFinite(seconds) || seconds < 0)
      throw new Error(`--timeout is "${values.timeout}"; it must be seconds`);
    return { force: values.force || forcedThroughNpm(), graceMs: seconds * 1000 };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new ScriptError(message, { status: exitStatus.usage, remedy: stopUsage });
  }
}

/** `npm stop --force`, without the `--`, gives the option to npm. */
function forcedThroughNpm() {
  return process.env.npm_lifecycle_event === 'stop' && process.env.npm_config_force === 'true';
}
