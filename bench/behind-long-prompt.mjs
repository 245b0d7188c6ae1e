/**
 * A short prompt sent behind a long one, over HTTP, ours and llama-server in turn. First without anybody else: when the
 * short one has its first token, and what the long one pays for it, against the same long one alone and against
 * llama-server. Then once more beside a stream that already runs: the longest time that it waits for its next token.
 *   node bench/behind-long-prompt.mjs --model FILE.gguf --peer PATH/llama-server [--long 3000] [--short 16] [--rounds 3]
 */
import { parseArgs } from 'node:util';
import { abandonable, complete, median, promptOf, warmUp, wordsPerToken } from './lib/client.mjs';
import { THREADS, startOurs, startPeer } from './lib/servers.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    peer: { type: 'string' },
    long: { type: 'string', default: '3000' },
    short: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '3' },
  },
});
const [long, short, rounds] = ['long', 'short', 'rounds'].map((name) => Number(values[name]));
/** The short prompt is sent so long after the long one, or after a tenth of what the long one takes where that is less. */
const MOST_PAUSE_MS = 300;
/** The stream counts as running after so many events with text. */
const RUNNING_EVENTS = 16;
const WARM_TOKENS = 32;
const SLOTS = 3;
/** For the answer, and for a prompt that comes out longer than asked for. */
const SPARE_TOKENS = 1024;
const context = SLOTS * (long + SPARE_TOKENS);
const sides = {
  llamaestro: () => startOurs(['--model', values.model, '--context', String(context), '--slots', String(SLOTS)]),
  'llama-server': () =>
    startPeer(values.peer, ['-m', values.model, ...['-c', context, '-np', SLOTS, '-t', THREADS].map(String)]),
};
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Prompts of a server, none like another. */
function promptsOf(perToken) {
  let salt = 0;
  return (tokens) => promptOf(Math.round(tokens * perToken), ++salt);
}

const body = (prompt, maxTokens) => ({ model: 'default', prompt, max_tokens: maxTokens });

/** Both prompts: milliseconds to the first token of each, from its own sending. */
async function bothPrompts(url, prompt, pauseMs) {
  const sent = complete(url, body(prompt(long), 1));
  const behind = sleep(pauseMs).then(() => complete(url, body(prompt(short), 1)));
  const [longMs, shortMs] = (await Promise.all([sent, behind])).map(({ firstMs }) => firstMs);
  return { longMs, shortMs };
}

/** Both prompts beside a stream that runs; with the longest time between two of its events since they were sent. */
async function besideStream(url, prompt, pauseMs) {
  let [tokens, gapMs, lastMs] = [0, 0, 0];
  let isRunning;
  const running = new Promise((resolve) => (isRunning = resolve));
  const stream = abandonable(url, body(prompt(short), long), () => {
    const now = performance.now();
    gapMs = Math.max(gapMs, now - lastMs);
    lastMs = now;
    if (++tokens === RUNNING_EVENTS) isRunning();
  });
  await Promise.race([running, stream.ended]);
  [gapMs, lastMs] = [0, performance.now()];
  const both = await bothPrompts(url, prompt, pauseMs);
  gapMs = Math.max(gapMs, performance.now() - lastMs);
  stream.hangUp();
  if ((await stream.ended) === 'answered') throw new Error('the stream ended before the prompts were answered');
  return { gapMs, ...both };
}

async function measure({ url }) {
  const prompt = promptsOf(await wordsPerToken(url));
  await warmUp(url, SLOTS, () => body(prompt(short), WARM_TOKENS));
  const { firstMs: aloneMs } = await complete(url, body(prompt(long), 1));
  const pauseMs = Math.min(MOST_PAUSE_MS, aloneMs / 10);
  const behind = await bothPrompts(url, prompt, pauseMs);
  return { aloneMs, behind, beside: await besideStream(url, prompt, pauseMs) };
}

const seen = {};
for (let round = 0; round < rounds; round++) {
  for (const [name, start] of Object.entries(sides)) {
    const server = await start();
    (seen[name] ??= []).push(await measure(server).finally(() => server.stop()));
  }
}
const of = (pick) => Object.keys(sides).map((side) => median(seen[side].map(pick)));
const seconds = (ms) => (ms / 1000).toFixed(3);
const line = (what, [ours, peer]) =>
  console.log(
    `${what}: llamaestro ${seconds(ours)} s, llama-server ${seconds(peer)} s, ratio ${(ours / peer).toFixed(3)}`,
  );
const [alone] = of(({ aloneMs }) => aloneMs);
const longs = of(({ behind }) => behind.longMs);
line(
  'first token of the short prompt',
  of(({ behind }) => behind.shortMs),
);
console.log(
  `the long prompt: llamaestro ${seconds(longs[0])} s, alone ${seconds(alone)} s, ratio ${(longs[0] / alone).toFixed(3)}; llama-server ${seconds(longs[1])} s, ratio ${(longs[0] / longs[1]).toFixed(3)}`,
);
line(
  'longest gap of a running stream',
  of(({ beside }) => beside.gapMs),
);
line(
  'beside it, first token of the short one',
  of(({ beside }) => beside.shortMs),
);
line(
  'beside it, the long one',
  of(({ beside }) => beside.longMs),
);
