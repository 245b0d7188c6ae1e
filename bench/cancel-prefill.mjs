/**
 * A client that hangs up while its long prompt is computed, over HTTP, ours and llama-server in turn: from there until the
 * only slot is free. Seen by the next client: a short request is sent at the hang-up, and what it takes to its first token
 * on an idle server is subtracted.
 *   node bench/cancel-prefill.mjs --model FILE.gguf --peer PATH/llama-server [--prompt 4000] [--rounds 3]
 */
import { parseArgs } from 'node:util';
import { abandonable, complete, median, promptOf, warmUp, wordsPerToken } from './lib/client.mjs';
import { THREADS, startOurs, startPeer } from './lib/servers.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    peer: { type: 'string' },
    prompt: { type: 'string', default: '4000' },
    rounds: { type: 'string', default: '3' },
  },
});
const [long, rounds] = [values.prompt, values.rounds].map(Number);
const SHORT_WORDS = 16;
const IDLE_REQUESTS = 5;
/** When the client hangs up, as parts of what its whole prompt takes. */
const DROPS = [0.25, 0.5];
/** Earlier than that no prompt is dropped: it may not have arrived. */
const LEAST_MS = 5;
/** For the answer, and for a prompt that comes out longer than asked for. */
const SPARE_TOKENS = 512;
const context = String(long + SPARE_TOKENS);
const sides = {
  llamaestro: () => startOurs(['--model', values.model, '--context', context, '--slots', '1']),
  'llama-server': () => startPeer(values.peer, ['-m', values.model, '-c', context, '-np', '1', '-t', String(THREADS)]),
};
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const body = (words, salt) => ({ model: 'default', prompt: promptOf(words, salt), max_tokens: 1 });

/**
 * Milliseconds from a hang-up, `afterMs` into a prompt of so many words, to the first token of the next client; undefined
 * where the prompt was answered before, as when a busy machine has calmed down since its time was taken.
 */
async function dropped(url, words, salt, afterMs) {
  const client = abandonable(url, body(words, salt));
  if ((await Promise.race([client.ended, sleep(afterMs)])) === 'answered') return undefined;
  client.hangUp();
  const { firstMs } = await complete(url, body(SHORT_WORDS, salt + 1));
  await client.ended;
  return firstMs;
}

/** Milliseconds to the first token: of a short request to an idle server, of one sent at each hang-up. */
async function measure({ url }) {
  const words = Math.round(long * (await wordsPerToken(url)));
  await warmUp(url, 1, (index) => body(SHORT_WORDS, index + 5));
  let salt = 10;
  const idle = [];
  for (let request = 0; request < IDLE_REQUESTS; request++) {
    idle.push((await complete(url, body(SHORT_WORDS, ++salt))).firstMs);
  }
  const { firstMs: wholeMs } = await complete(url, body(words, ++salt));
  const behind = [];
  for (const part of DROPS) {
    let firstMs;
    for (let afterMs = part * wholeMs; firstMs === undefined; afterMs /= 2) {
      if (afterMs < LEAST_MS) throw new Error('every prompt was answered before its client hung up');
      firstMs = await dropped(url, words, (salt += 2), afterMs);
    }
    behind.push(firstMs);
  }
  return { idleMs: median(idle), behind };
}

const seen = {};
for (let round = 0; round < rounds; round++) {
  for (const [name, start] of Object.entries(sides)) {
    const server = await start();
    (seen[name] ??= []).push(await measure(server).finally(() => server.stop()));
  }
}
/** No less than 0: with nothing to wait for, the two differ by chance. */
function freeMs(side) {
  const idleMs = median(seen[side].map((each) => each.idleMs));
  return Math.max(0, median(seen[side].flatMap(({ behind }) => behind)) - idleMs);
}
const [ours, peer] = Object.keys(sides).map(freeMs);
for (const side of Object.keys(sides)) {
  const waits = seen[side].flatMap(({ idleMs, behind }) => behind.map((ms) => `${(ms - idleMs).toFixed(0)}`));
  console.log(`each of ${side}: ${waits.join(', ')} ms`);
}
console.log(
  `slot free after: llamaestro ${ours.toFixed(1)} ms, llama-server ${peer.toFixed(1)} ms, ratio ${(ours / peer).toFixed(4)}`,
);
