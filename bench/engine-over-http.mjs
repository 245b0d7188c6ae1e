/**
 * What HTTP and the bus cost over the engine alone: tokens per second and time to the first token, in process and over
 * the full path in turn; the server has answered some rounds before.
 *   node bench/engine-over-http.mjs --model FILE.gguf [--streams 16] [--tokens 128] [--rounds 5]
 */
import { parseArgs } from 'node:util';
import { loadModel } from '../dist/engine/index.js';
import { complete, median, promptOf, together, warmUp } from './lib/client.mjs';
import { startOurs } from './lib/servers.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    streams: { type: 'string', default: '16' },
    tokens: { type: 'string', default: '128' },
    rounds: { type: 'string', default: '5' },
  },
});
const [slots, maxTokens, rounds] = [values.streams, values.tokens, values.rounds].map(Number);
const contextTokens = slots * 512;

function sequence(engine, prompt, limit) {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    let firstMs;
    engine.submit(
      { prompt: { kind: 'text', text: prompt }, maxTokens: limit, temperature: 0, ignoreEos: true },
      (event) => {
        if (event.type === 'tokens') firstMs ??= performance.now() - startMs;
        if (event.type !== 'finished') return;
        if (event.reason === 'error') reject(event.error);
        else resolve({ firstMs, tokens: event.usage.completionTokens });
      },
    );
  });
}

async function inProcess() {
  const engine = await loadModel({ file: values.model, purpose: 'generate', contextTokens, slots });
  try {
    await sequence(engine, promptOf(16, 5), 8);
    const firsts = [];
    for (let round = 0; round < 9; round++) firsts.push((await sequence(engine, promptOf(16, round), 1)).firstMs);
    const startMs = performance.now();
    const runs = await Promise.all(
      Array.from({ length: slots }, (_, index) => sequence(engine, promptOf(16, index), maxTokens)),
    );
    const seconds = (performance.now() - startMs) / 1000;
    return { firstMs: median(firsts), rate: runs.reduce((sum, run) => sum + run.tokens, 0) / seconds };
  } finally {
    await engine.close();
  }
}

async function overHttp() {
  const server = await startOurs([
    '--model',
    values.model,
    '--context',
    String(contextTokens),
    '--slots',
    String(slots),
  ]);
  try {
    const body = (salt, limit) => ({ model: 'default', prompt: promptOf(16, salt), max_tokens: limit });
    await warmUp(server.url, slots, (index) => body(index, maxTokens));
    const firsts = [];
    for (let round = 0; round < 9; round++) firsts.push((await complete(server.url, body(round, 1))).firstMs);
    const { tokensPerSecond } = await together(server.url, slots, (index) => body(index, maxTokens));
    return { firstMs: median(firsts), rate: tokensPerSecond };
  } finally {
    await server.stop();
  }
}

const seen = { inProcess: [], overHttp: [] };
for (let round = 0; round < rounds; round++) {
  seen.inProcess.push(await inProcess());
  seen.overHttp.push(await overHttp());
}
const of = (side, key) => median(seen[side].map((each) => each[key]));
const [alone, http] = [of('inProcess', 'rate'), of('overHttp', 'rate')];
const [aloneMs, httpMs] = [of('inProcess', 'firstMs'), of('overHttp', 'firstMs')];
console.log(
  `${slots} streams: engine ${alone.toFixed(1)} tokens/s, over HTTP ${http.toFixed(1)}, ratio ${(http / alone).toFixed(3)}`,
);
console.log(
  `first token: engine ${aloneMs.toFixed(2)} ms, over HTTP ${httpMs.toFixed(2)} ms, difference ${(httpMs - aloneMs).toFixed(2)} ms`,
);
