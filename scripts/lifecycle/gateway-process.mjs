// @ts-check
/**
 * The gateway as a process: start it, wait until it is ready, end it and everything under it. Knows its command line
 * and /readyz, nothing else of it.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { rootDir } from '../lib/paths.mjs';
import { descendantsOf, isRunning, startTokenOf } from '../lib/process-identity.mjs';
import { ScriptError } from '../lib/script-error.mjs';
import { gatewayArguments, gatewayUrl } from './settings.mjs';

const pollMs = 100;
const defaultOrphanGraceMs = 15_000;
const logFileBytes = 16 * 1024 * 1024;
const shownLogLines = 20;

/**
 * @typedef {import('./settings.mjs').Settings} Settings
 * @typedef {import('../lib/process-identity.mjs').ProcessIdentity} ProcessIdentity
 * @typedef {{ pid: number, startToken: string, exited: Promise<number>, logPath: string, logStart: number }} Started
 */

/**
 * Refuses a port that somebody else holds, before anything is started.
 * @param {Settings} settings
 * @returns {Promise<void>}
 */
export function checkPortIsFree({ host, port }) {
  return new Promise((resolve, reject) => {
    // A client that finds the probe must not keep it open.
    const probe = createServer((socket) => socket.destroy());
    probe.once('error', (error) => {
      const code = 'code' in error ? String(error.code) : '';
      const why = { EADDRINUSE: 'is in use by another program', EACCES: 'may not be used by you' }[code] ?? `: ${code}`;
      reject(
        new ScriptError(`port ${port} of ${host} ${why}`, { remedy: 'choose another one: npm start -- --port 8081' }),
      );
    });
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve()));
  });
}

/**
 * @param {Settings} settings
 * @param {{ home: string, foreground: boolean, main?: string }} options `foreground`: output to our terminal instead of
 *   the log; `main`: the program, for tests
 * @returns {Started}
 */
export function startGateway(settings, { home, foreground, main = path.join(rootDir, 'dist', 'main.js') }) {
  if (!existsSync(main)) throw new ScriptError('dist/main.js is missing', { remedy: 'npm run build' });
  const logPath = gatewayLog(home);
  const log = foreground ? undefined : openSync(logPath, 'a');
  const logStart = log === undefined ? 0 : statSync(logPath).size;
  const child = spawn(process.execPath, ['--enable-source-maps', main, ...gatewayArguments(settings)], {
    cwd: rootDir,
    env: { ...process.env, LLAMAESTRO_HOME: home },
    detached: true,
    windowsHide: true,
    stdio: log === undefined ? 'inherit' : ['ignore', log, log],
  });
  if (log !== undefined) closeSync(log);
  const exited = new Promise((/** @type {(status: number) => void} */ resolve) => {
    child.once('exit', (status, signal) => resolve(status ?? (signal ? 1 : 0)));
    child.once('error', () => resolve(1));
  });
  const { pid } = child;
  const startToken = pid === undefined ? undefined : startTokenOf(pid);
  if (pid === undefined || startToken === undefined) {
    throw new ScriptError('the gateway ended at once', { logLines: lastLines(logPath, logStart), logPath });
  }
  if (!foreground) child.unref();
  return { pid, startToken, exited, logPath, logStart };
}

/**
 * Waits for `GET /readyz` to answer 200.
 * @param {Started} gateway
 * @param {Settings} settings
 * @param {{ answerMs: number, readyMs: number, status: (text: string) => void }} options until it answers at all, and
 *   until it is ready (its models may be large), both from now
 * @returns {Promise<string>} what it says is not as it should be although it is ready; '' when nothing. Rejects with the
 *   log's last lines when the process ends or the time is up (then it is ended)
 */
export async function waitUntilReady(gateway, settings, { answerMs, readyMs, status }) {
  const url = `${gatewayUrl(settings)}/readyz`;
  const startedMs = performance.now();
  let ended = false;
  let limitMs = answerMs;
  void gateway.exited.then(() => (ended = true));
  for (;;) {
    const answer = await askReady(url);
    if (ended) throw notReady(gateway, 'the gateway ended before it was ready');
    if (answer?.ready) return answer.reasons;
    if (answer) {
      status(answer.reasons);
      limitMs = readyMs;
    }
    if (performance.now() - startedMs > limitMs) {
      await endProcessTree(gateway, { graceMs: 5000, force: true });
      const what = answer ? `was not ready (${answer.reasons})` : 'did not answer';
      throw notReady(gateway, `the gateway ${what} after ${limitMs / 1000} s and was stopped`);
    }
    await sleep(pollMs);
  }
}

/**
 * @param {string} url
 * @returns {Promise<{ ready: boolean, reasons: string } | undefined>} undefined while nothing answers
 */
async function askReady(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
    const body = /** @type {{ reasons?: string[] }} */ (await response.json());
    return { ready: response.status === 200, reasons: (body.reasons ?? []).join('; ') };
  } catch {
    return undefined;
  }
}

/**
 * How many tokens a sequence may have in a gateway that is made up for one model file.
 * @param {Settings} settings
 * @returns {Promise<number | undefined>} undefined when it does not say
 */
export async function tokensPerSlot(settings) {
  try {
    const response = await fetch(`${gatewayUrl(settings)}/v1/models/default`, { signal: AbortSignal.timeout(5000) });
    const body = /** @type {{ context_length?: number }} */ (await response.json());
    return body.context_length;
  } catch {
    return undefined;
  }
}

/**
 * @param {Started} gateway
 * @param {string} message
 */
function notReady({ logPath, logStart }, message) {
  return new ScriptError(message, {
    logLines: lastLines(logPath, logStart),
    logPath,
    remedy: 'the lines above say why; after it is put right run the same command again',
  });
}

/**
 * Ends a gateway and makes sure that nothing under it is left.
 * @param {ProcessIdentity} gateway
 * @param {{ graceMs: number, force: boolean, orphanGraceMs?: number }} options how long it may drain; `force`: then it is
 *   killed; how long the processes under it may take to notice
 * @returns {Promise<{ ended: boolean, killed: number }>} `killed` counts processes that did not end by themselves
 */
export async function endProcessTree(gateway, { graceMs, force, orphanGraceMs = defaultOrphanGraceMs }) {
  const below = descendantsOf(gateway.pid);
  signal(gateway, 'SIGTERM');
  if (!(await allEnded([gateway], graceMs, below))) {
    if (!force) return { ended: false, killed: 0 };
    signal(gateway, 'SIGKILL');
    await allEnded([gateway], 5000);
  }
  await allEnded(below, orphanGraceMs);
  const left = below.filter(isRunning);
  for (const orphan of left) signal(orphan, 'SIGKILL');
  const ended = await allEnded([gateway, ...left], 5000);
  return { ended, killed: left.length };
}

/**
 * @param {readonly ProcessIdentity[]} processes
 * @param {number} waitMs
 * @param {ProcessIdentity[]} [below] grows by children that appear while we wait
 */
async function allEnded(processes, waitMs, below) {
  const deadlineMs = performance.now() + waitMs;
  while (processes.some(isRunning)) {
    if (performance.now() > deadlineMs) return false;
    await sleep(pollMs);
    for (const found of below ? processes.flatMap(({ pid }) => descendantsOf(pid)) : []) {
      if (!below?.some(({ pid, startToken }) => pid === found.pid && startToken === found.startToken))
        below?.push(found);
    }
  }
  return true;
}

/**
 * @param {ProcessIdentity} target
 * @param {NodeJS.Signals} name
 */
function signal(target, name) {
  try {
    if (isRunning(target)) process.kill(target.pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/**
 * The log file, begun anew when it has grown large; one former file is kept.
 * @param {string} home
 */
function gatewayLog(home) {
  const file = path.join(home, 'logs', 'gateway.log');
  mkdirSync(path.dirname(file), { recursive: true });
  if (existsSync(file) && statSync(file).size > logFileBytes) renameSync(file, `${file}.1`);
  return file;
}

/**
 * The end of what this start wrote; of a line in JSON only its message.
 * @param {string} file
 * @param {number} start byte where this start's output begins
 * @returns {string[]}
 */
function lastLines(file, start) {
  if (!existsSync(file)) return [];
  const text = readFileSync(file).subarray(start).toString('utf8');
  return text.trimEnd().split('\n').slice(-shownLogLines).map(plainLine);
}

/** @param {string} line */
function plainLine(line) {
  if (!line.startsWith('{')) return line;
  try {
    const { msg, err } = JSON.parse(line);
    return [msg, err?.message].filter(Boolean).join(': ') || line;
  } catch {
    return line;
  }
}
