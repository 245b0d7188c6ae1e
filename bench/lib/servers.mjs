/** Starts and stops the two sides of a comparison: our gateway and a llama-server built from the same source. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const READY_MS = 60_000;
/** A llama-server told to end sometimes never does (seen: all its threads waiting for each other). */
const STOP_MS = 10_000;

/** Compute threads of both sides. */
export const THREADS = availableParallelism();

/** The environment of a program whose shared libraries lie in `folder`, beside it. */
export function libraryEnv(folder) {
  const known = process.env.LD_LIBRARY_PATH;
  return { ...process.env, LD_LIBRARY_PATH: known ? `${folder}:${known}` : folder };
}

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function waitFor(url, child) {
  const until = performance.now() + READY_MS;
  while (performance.now() < until) {
    if (child.exitCode !== null) throw new Error(`the server ended with code ${child.exitCode}`);
    const response = await fetch(url).catch(() => undefined);
    if (response?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} is not ready after ${READY_MS} ms`);
}

async function stop(child, cleanUp = () => {}) {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
  }
  cleanUp();
}

/** Our gateway with its own home; `args` as of `node dist/main.js`. */
export async function startOurs(args, env = {}) {
  const home = mkdtempSync(join(tmpdir(), 'llamaestro-bench-'));
  const port = await freePort();
  const log = openSync(join(home, 'gateway.log'), 'a');
  const child = spawn(process.execPath, [join(ROOT, 'dist/main.js'), '--port', String(port), ...args], {
    env: { ...process.env, LLAMAESTRO_HOME: home, ...env },
    stdio: ['ignore', log, log],
  });
  const url = `http://127.0.0.1:${port}`;
  await waitFor(`${url}/readyz`, child);
  return { name: 'llamaestro', url, pid: child.pid, stop: () => stop(child, () => rmSync(home, { recursive: true })) };
}

/** A llama-server; `binary` from --peer. */
export async function startPeer(binary, args) {
  const port = await freePort();
  const child = spawn(binary, ['--host', '127.0.0.1', '--port', String(port), '--no-webui', ...args], {
    stdio: 'ignore',
    env: libraryEnv(dirname(binary)),
  });
  const url = `http://127.0.0.1:${port}`;
  await waitFor(`${url}/health`, child);
  return { name: 'llama-server', url, pid: child.pid, stop: () => stop(child) };
}
