/**
 * What HTTP and the bus cost over the engine alone: tokens per second and time to the first token, in process and over
 * the full path in turn; the server has answered some rounds before.
 *   node bench/engine-over-http.mjs --model FILE.gguf [--streams 16] [--tokens 128] [--rounds 5]
 */
import { parseArgs } from 'node:util';
import { complete, median, promptOf, together, warmUp } from './lib/client.mjs';
import { sequence, sequencesTogether, textPrompt, withEngine } from './lib/engine.mjs';
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

const request = (salt, limit) => ({ prompt: textPrompt(promptOf(16, salt)), maxTokens: limit });

async function inProcess() {
  return withEngine({ file: values.model, contextTokens, slots }, async (engine) => {
    await sequence(engine, request(5, 8));
    const firsts = [];
    for (let round = 0; round < 9; round++) firsts.push((await sequence(engine, request(round, 1))).firstMs);
    const { tokensPerSecond } = await sequencesTogether(engine, slots, (index) => request(index, maxTokens));
    return { firstMs: median(firsts), rate: tokensPerSecond };
  });
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
