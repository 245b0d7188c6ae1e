/**
 * Tokens per second over HTTP at 1 and N streams: ours and llama-server in turn, ratios printed.
 *   node bench/streams.mjs --model FILE.gguf --peer PATH/llama-server [--streams 1,8] [--tokens 96] [--rounds 3]
 */
import { median, promptOf, together, warmUp } from './lib/client.mjs';
import { streamOptions } from './lib/options.mjs';
import { THREADS, startOurs, startPeer } from './lib/servers.mjs';

const values = streamOptions();
const counts = values.streams.split(',').map(Number);
const slots = Math.max(...counts);
const context = slots * 512;
const sides = {
  llamaestro: () => startOurs(['--model', values.model, '--context', String(context), '--slots', String(slots)]),
  'llama-server': () =>
    startPeer(values.peer, ['-m', values.model, '-c', String(context), '-np', String(slots), '-t', String(THREADS)]),
};

const rates = {};
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, start] of Object.entries(sides)) {
    const server = await start();
    try {
      await warmUp(server.url, slots, () => ({ model: 'default', prompt: promptOf(16, 5), max_tokens: 96 }));
      for (const count of counts) {
        const body = (index) => ({
          model: 'default',
          prompt: promptOf(16, round + index),
          max_tokens: Number(values.tokens),
        });
        const { tokensPerSecond } = await together(server.url, count, body);
        ((rates[count] ??= {})[name] ??= []).push(tokensPerSecond);
      }
    } finally {
      await server.stop();
    }
  }
}
for (const count of counts) {
  const [ours, peer] = [median(rates[count].llamaestro), median(rates[count]['llama-server'])];
  console.log(
    `${count} streams: llamaestro ${ours.toFixed(1)} tokens/s, llama-server ${peer.toFixed(1)}, ratio ${(ours / peer).toFixed(3)}`,
  );
}
