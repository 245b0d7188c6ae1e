/**
 * The first request to a model that is not loaded, to its first token over HTTP: ours (a model loaded on demand; its memory
 * plan made for this request, and known from an earlier one), llama-server as a router (--models-dir), and what reading
 * the file takes, from the page cache each time. One slot, context 2048. Requests are far enough apart that our spare host
 * is up when one comes, as on a server that is not asked for another model every second.
 *   node bench/cold-model.mjs --model FILE.gguf --peer PATH/llama-server [--rounds 3]
 */
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { complete, median, promptOf } from './lib/client.mjs';
import { onDemandProfile } from './lib/models.mjs';
import { THREADS, startOurs, startPeer } from './lib/servers.mjs';

const { values } = parseArgs({
  options: { model: { type: 'string' }, peer: { type: 'string' }, rounds: { type: 'string', default: '3' } },
});
const WAIT_MS = 30_000;
const LATER_REQUESTS = 2;
/** A spare host is started half a second after a load and is up a quarter of a second later. */
const SPARE_MS = 2_000;
const folder = mkdtempSync(join(tmpdir(), 'llamaestro-cold-'));
const profile = onDemandProfile(folder, 'cold', { file: values.model, contextTokens: 2048, slots: 1, ttl: '250ms' });
mkdirSync(join(folder, 'models'));
symlinkSync(resolve(values.model), join(folder, 'models/cold.gguf'));
const seen = { uncached: [], cached: [], peer: [], file: [] };

const firstToken = async ({ url }, salt) =>
  (await complete(url, { model: 'cold', prompt: promptOf(16, salt), max_tokens: 1 })).firstMs;

async function untilState(url, stateOf) {
  const until = performance.now() + WAIT_MS;
  while (performance.now() < until) {
    if (stateOf(await (await fetch(url)).json()) === 'unloaded') return;
    await new Promise((done) => setTimeout(done, 100));
  }
  throw new Error(`the model is still loaded after ${WAIT_MS} ms`);
}

async function ours(salt) {
  const server = await startOurs(['--profile', profile]);
  const gone = () =>
    untilState(`${server.url}/v1/status`, ({ models }) => models.find((model) => model.name === 'cold').state);
  try {
    await new Promise((done) => setTimeout(done, SPARE_MS));
    seen.uncached.push(await firstToken(server, salt));
    for (let request = 0; request < LATER_REQUESTS; request++) {
      await gone();
      await new Promise((done) => setTimeout(done, SPARE_MS));
      seen.cached.push(await firstToken(server, salt));
    }
  } finally {
    await server.stop();
  }
}

async function router(salt) {
  const figures = ['-c', '2048', '-np', '1', '-t', String(THREADS)];
  const server = await startPeer(values.peer, ['--models-dir', join(folder, 'models'), ...figures]);
  try {
    seen.peer.push(await firstToken(server, salt));
    for (let request = 0; request < LATER_REQUESTS; request++) {
      const headers = { 'content-type': 'application/json' };
      await fetch(`${server.url}/models/unload`, { method: 'POST', headers, body: '{"model":"cold"}' });
      await untilState(`${server.url}/models`, ({ data }) => data.find((model) => model.id === 'cold').status.value);
      seen.peer.push(await firstToken(server, salt));
    }
  } finally {
    await server.stop();
  }
}

function readFile() {
  const buffer = Buffer.allocUnsafe(1 << 20);
  const startMs = performance.now();
  const file = openSync(values.model);
  while (readSync(file, buffer) > 0);
  closeSync(file);
  seen.file.push(performance.now() - startMs);
}

try {
  readFile();
  for (let round = 0; round < Number(values.rounds); round++) {
    await ours(round);
    await router(round);
    readFile();
  }
} finally {
  rmSync(folder, { recursive: true });
}
const [uncached, cached, peer, file] = Object.values(seen).map(median);
console.log(`reading the file ${file.toFixed(0)} ms`);
console.log(`plan made first: llamaestro ${uncached.toFixed(0)} ms, ratio ${(uncached / peer).toFixed(3)}`);
console.log(
  `plan known: llamaestro ${cached.toFixed(0)} ms, llama-server as a router ${peer.toFixed(0)} ms, ratio ${(cached / peer).toFixed(3)}`,
);
