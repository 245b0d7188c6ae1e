// @ts-check
/**
 * `npm start`: sets up what is not set up, starts the gateway in the background, waits until it is ready and says where
 * it is and what to try. Exit status 3: a gateway with other settings is running.
 */
import path from 'node:path';
import { withLock } from './lib/lock.mjs';
import { rootDir, shortPath, stateDir } from './lib/paths.mjs';
import { stdoutReporter } from './lib/reporter.mjs';
import { exitStatus, runMain } from './lib/script-error.mjs';
import { askActiveProfile } from './lifecycle/active-profile.mjs';
import {
  checkPortIsFree,
  endProcessTree,
  startGateway,
  tokensPerSlot,
  waitUntilReady,
} from './lifecycle/gateway-process.mjs';
import { removeGatewayRecord, runningGateway, writeGatewayRecord } from './lifecycle/pid-file.mjs';
import {
  checkFiles,
  gatewayUrl,
  namedSettings,
  parseStartRequest,
  settingsDifference,
  settingsText,
} from './lifecycle/settings.mjs';
import { startHelp, wantsHelp } from './lifecycle/usage.mjs';
import { setUp } from './setup/steps.mjs';

const lockWaitMs = 30 * 60_000;
const drainMs = 35_000;
const answerMs = 60_000;

/**
 * @typedef {import('./lifecycle/settings.mjs').StartRequest} StartRequest
 * @typedef {import('./lib/reporter.mjs').StepReport} StepReport
 */

const home = stateDir();
const profileFolders = [path.join(home, 'profiles'), path.join(rootDir, 'profiles')];
const reporter = stdoutReporter();

await runMain(async () => {
  if (wantsHelp(process.argv.slice(2))) return void process.stdout.write(startHelp);
  const request = parseStartRequest(process.argv.slice(2), process.env, process.env.INIT_CWD ?? process.cwd());
  checkFiles(request.settings, profileFolders);
  const onWait = (/** @type {number} */ pid) => reporter.line(`process ${pid} is starting a gateway; waiting for it`);
  const outcome = await withLock(path.join(home, 'start.lock'), { waitMs: lockWaitMs, onWait }, () => start(request));
  return outcome instanceof Function ? outcome() : outcome;
});

/**
 * @param {StartRequest} request
 * @returns {Promise<number | (() => Promise<number>)>} an exit status, or what is left to do in the foreground
 */
async function start(request) {
  const running = runningGateway(home);
  if (running) return tellRunning(running, request.settings);
  await checkPortIsFree(request.settings);
  await setUp({ reporter });
  await checkPortIsFree(request.settings);

  const gateway = startGateway(request.settings, { home, foreground: request.foreground });
  const url = gatewayUrl(request.settings);
  const { pid, startToken, logPath } = gateway;
  const record = { pid, startToken, url, logPath, startedAt: new Date().toISOString(), settings: request.settings };
  writeGatewayRecord(home, record);
  const stopListening = request.foreground ? passSignalsTo(gateway) : () => {};
  const report = reporter.step('gateway');
  let reasons = '';
  try {
    report.status('waiting for its first answer');
    const limits = { answerMs: Math.min(answerMs, request.waitMs), readyMs: request.waitMs };
    reasons = await waitUntilReady(gateway, request.settings, { ...limits, status: report.status });
  } catch (error) {
    report.failed();
    removeGatewayRecord(home, pid);
    throw error;
  }
  report.done(reasons ? `ready, but ${reasons}` : 'ready');
  const settings = namedSettings(request.settings, profileFolders, await askActiveProfile(record));
  writeGatewayRecord(home, { ...record, settings });
  await tellReady({ ...request, settings }, pid, logPath);
  if (!request.foreground) return exitStatus.ok;
  return async () => {
    const status = await gateway.exited;
    stopListening();
    removeGatewayRecord(home, pid);
    return status;
  };
}

/**
 * @param {import('./lifecycle/pid-file.mjs').GatewayRecord} running
 * @param {import('./lifecycle/settings.mjs').Settings} wanted
 * @returns {Promise<number>}
 */
async function tellRunning(running, wanted) {
  const settings = namedSettings(running.settings, profileFolders, await askActiveProfile(running));
  const differences = settingsDifference(settings, namedSettings(wanted, profileFolders));
  const where = `at ${running.url} (${settingsText(settings)}, process ${running.pid})`;
  if (differences.length === 0) {
    reporter.line(`llamaestro is already running ${where}`);
    return exitStatus.ok;
  }
  process.stderr.write(
    `error: a gateway with other settings is running ${where}:\n` +
      differences.map((text) => `  - ${text}\n`).join('') +
      'what to do: npm stop, then start again; or a second one beside it with another LLAMAESTRO_HOME and port; ' +
      'to change only the profile: npm run switch -- NAME\n',
  );
  return exitStatus.otherSettings;
}

/**
 * @param {StartRequest} request
 * @param {number} pid
 * @param {string} logPath
 */
async function tellReady({ settings, foreground }, pid, logPath) {
  const url = gatewayUrl(settings);
  const perSlot = 'model' in settings ? await tokensPerSlot(settings) : undefined;
  const json = "-H 'content-type: application/json'";
  const task = `{"task":"Say hello.","stream":true}`;
  const chat = `{"model":"${'model' in settings ? 'default' : 'auto'}","messages":[{"role":"user","content":"Say hello."}]}`;
  const lines = [
    '',
    `llamaestro is ready at ${url} (${settingsText(settings, perSlot)})`,
    '',
    'try:',
    `  curl -N ${url}/v1/execute ${json} -d '${task}'`,
    `  curl ${url}/v1/chat/completions ${json} -d '${chat}'`,
    '',
    foreground ? `process ${pid}; Ctrl-C stops it` : `process ${pid}, log ${shortPath(logPath)}; stop it: npm stop`,
  ];
  for (const line of lines) reporter.line(line);
}

/**
 * The first signal lets the gateway drain, the second ends it.
 * @param {import('./lib/process-identity.mjs').ProcessIdentity} gateway
 * @returns {() => void} stops listening
 */
function passSignalsTo(gateway) {
  let asked = 0;
  const onSignal = () => {
    asked += 1;
    void endProcessTree(gateway, { graceMs: asked > 1 ? 0 : drainMs, force: true });
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return () => {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  };
}
