/**
 * How the cost grows over HTTP, ours and llama-server in turn: tokens per second as streams grow, then, with one stream,
 * prompt tokens per second and generated tokens per second as the prompt grows. Growth is seen down a column.
 *   node bench/growth.mjs --model FILE.gguf --peer PATH/llama-server [--streams 1,2,4,8,16,32] [--contexts 1024,4096,16384]
 *     [--tokens 64] [--rounds 1]
 */
import { parseArgs } from 'node:util';
import { complete, median, promptOf, together, wordsPerToken } from './lib/client.mjs';
import { THREADS, startOurs, startPeer } from './lib/servers.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    peer: { type: 'string' },
    streams: { type: 'string', default: '1,2,4,8,16,32' },
    contexts: { type: 'string', default: '1024,4096,16384' },
    tokens: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '1' },
  },
});
const list = (text) => text.split(',').filter(Boolean).map(Number);
const [streams, contexts] = [list(values.streams), list(values.contexts)];
const maxTokens = Number(values.tokens);
const sides = {
  llamaestro: ({ context, slots }) =>
    startOurs(['--model', values.model, '--context', String(context), '--slots', String(slots)]),
  'llama-server': ({ context, slots }) =>
    startPeer(values.peer, ['-m', values.model, ...['-c', context, '-np', slots, '-t', THREADS].map(String)]),
};
const body = (words, salt, limit) => ({ model: 'default', prompt: promptOf(words, salt), max_tokens: limit });

async function overStreams(server, note) {
  const most = Math.max(...streams);
  await together(server.url, most, (index) => body(16, index + 5, 16));
  for (const count of streams) {
    const { tokensPerSecond } = await together(server.url, count, (index) => body(16, index, maxTokens));
    note(`${count} streams, generating`, tokensPerSecond);
  }
}

async function overContexts(server, note) {
  const perToken = await wordsPerToken(server.url);
  for (const [salt, context] of contexts.entries()) {
    const words = Math.floor((context - maxTokens) * perToken);
    const { firstMs, totalMs, tokens, promptTokens } = await complete(server.url, body(words, salt, maxTokens));
    note(`context ${context}, prompt`, (1000 * promptTokens) / firstMs);
    note(`context ${context}, generating`, (1000 * (tokens - 1)) / (totalMs - firstMs));
  }
}

const parts = [];
if (streams.length > 0) parts.push([overStreams, { context: 512 * Math.max(...streams), slots: Math.max(...streams) }]);
if (contexts.length > 0) parts.push([overContexts, { context: Math.max(...contexts) + 512, slots: 1 }]);
const rates = {};
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [measure, shape] of parts) {
    for (const [side, start] of Object.entries(sides)) {
      const server = await start(shape);
      const note = (what, rate) => ((rates[what] ??= {})[side] ??= []).push(rate);
      await measure(server, note).finally(() => server.stop());
    }
  }
}
for (const [what, seen] of Object.entries(rates)) {
  const [ours, peer] = Object.keys(sides).map((side) => median(seen[side]));
  console.log(
    `${what}: llamaestro ${ours.toFixed(1)} tokens/s, llama-server ${peer.toFixed(1)}, ratio ${(ours / peer).toFixed(3)}`,
  );
}
