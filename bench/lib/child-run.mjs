/** Runs a program to its end or its time limit, and leaves no process behind either way. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** From SIGTERM to SIGKILL, and what the system gets to clean up afterwards. */
const GRACE_MS = 5000;
const LOOK_MS = 100;
const running = new Set();
let isEnding = false;

/** Signals a process group; false when nobody is left in it. */
function signalGroup(group, signal) {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false;
  }
}

/** Sends the signal; true when nobody is left within `waitMs`. */
async function end(group, signal, waitMs) {
  const until = performance.now() + waitMs;
  let isThere = signalGroup(group, signal);
  while (isThere && performance.now() < until) {
    await new Promise((done) => setTimeout(done, LOOK_MS));
    isThere = signalGroup(group, 0);
  }
  return !isThere;
}

const sweep = async (group) => (await end(group, 'SIGTERM', GRACE_MS)) || end(group, 'SIGKILL', GRACE_MS);

/** Ends what runs and starts nothing more; for a signal to this process. */
export async function endAll() {
  isEnding = true;
  await Promise.all([...running].map(sweep));
}

/** Runs node with `args`; the rest as `runProgram`. */
export const runNode = (args, options) => runProgram(process.execPath, args, options);

/** What a program printed, and why it failed where it did. `options`: `limitMs`, and `env` and `cwd` as of spawn. */
export async function runProgram(command, args, { limitMs, ...options }) {
  if (isEnding) return { output: '', failure: 'not started' };
  const child = spawn(command, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'], ...options });
  await once(child, 'spawn');
  running.add(child.pid);
  let [output, errors, isLate] = ['', '', false];
  child.stdout.setEncoding('utf8').on('data', (chunk) => (output += chunk));
  child.stderr.setEncoding('utf8').on('data', (chunk) => (errors += chunk));
  const timer = setTimeout(() => {
    isLate = true;
    void sweep(child.pid);
  }, limitMs);
  const closed = once(child, 'close');
  const [code, signal] = await once(child, 'exit');
  clearTimeout(timer);
  await sweep(child.pid);
  await closed;
  running.delete(child.pid);
  if (isLate) return { output, failure: `not done in ${(limitMs / 1000).toFixed(0)} s` };
  if (code === 0) return { output };
  const said = errors.split('\n').find((line) => /\w*Error\b.*:/.test(line)) ?? errors.trim().split('\n').at(-1);
  return { output, failure: said || `ended by ${signal ?? `code ${code}`}` };
}
