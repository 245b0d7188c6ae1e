/** What the rows of embeddings and of reranking share: texts, the two sides in turn, the last line. */
import { loadModel } from '../../dist/engine/index.js';
import { median } from './client.mjs';
import { THREADS, startPeer } from './servers.mjs';

const SLOTS = 8;
const TOKENS_PER_SLOT = 512;

/** `count` different texts of about `words` word pieces. */
export function texts(count, words) {
  const some = ['river', 'stone', 'green', 'winter', 'paper', 'music', 'garden', 'light', 'road', 'water', 'house'];
  return Array.from({ length: count }, (_, text) =>
    Array.from({ length: words }, (_, word) => some[(word * (text + 3) + text * 5) % some.length]).join(' '),
  );
}

/** One POST; the parsed answer. */
export async function post(url, body) {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return response.json();
}

/** Milliseconds of `work` after a first run of it, and what it gave. */
async function timed(work) {
  await work();
  const startMs = performance.now();
  const result = await work();
  return { ms: performance.now() - startMs, result };
}

/**
 * `ours(engine)` and `theirs(url)` in turn, `rounds` times; the median milliseconds of each and the results of the last
 * round. `load` and `args` are what the two sides need beyond model, slots and context.
 */
export async function inTurn({ model, peer, rounds, load, args, ours, theirs }) {
  const seen = { ours: [], peer: [] };
  let results;
  for (let round = 0; round < rounds; round++) {
    const contextTokens = SLOTS * TOKENS_PER_SLOT;
    const engine = await loadModel({ file: model, slots: SLOTS, contextTokens, ...load });
    const own = await timed(() => ours(engine)).finally(() => engine.close());
    const figures = ['-c', contextTokens, '-np', SLOTS, '-t', THREADS].map(String);
    const server = await startPeer(peer, ['-m', model, ...figures, ...args]);
    const other = await timed(() => theirs(server.url)).finally(() => server.stop());
    seen.ours.push(own.ms);
    seen.peer.push(other.ms);
    results = { ours: own.result, peer: other.result };
  }
  return { oursMs: median(seen.ours), peerMs: median(seen.peer), ...results };
}

/** The last line: `count` things in each of the two times. */
export function printRates(count, what, oursMs, peerMs) {
  const rate = (ms) => ((1000 * count) / ms).toFixed(1);
  console.log(
    `${count} ${what}: llamaestro (engine in process) ${rate(oursMs)}/s, llama-server (HTTP) ${rate(peerMs)}/s, ratio ${(peerMs / oursMs).toFixed(3)}`,
  );
}
