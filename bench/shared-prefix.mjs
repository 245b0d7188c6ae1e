/**
 * Requests that share most of their prompt, all sent at once over HTTP: wall time until the last one has ended, ours and
 * llama-server in turn. Every round has a prefix that neither side has seen.
 *   node bench/shared-prefix.mjs --model FILE.gguf --peer PATH/llama-server [--requests 64] [--shared 600] [--own 47]
 *     [--tokens 8] [--slots 8] [--rounds 3] [--peer-slots N: default as --slots; 0: llama-server's own default]
 */
import { parseArgs } from 'node:util';
import { median, promptOf, together, warmUp, wordsPerToken } from './lib/client.mjs';
import { startOurs, startPeer } from './lib/servers.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    peer: { type: 'string' },
    requests: { type: 'string', default: '64' },
    shared: { type: 'string', default: '600' },
    own: { type: 'string', default: '47' },
    tokens: { type: 'string', default: '8' },
    slots: { type: 'string', default: '8' },
    'peer-slots': { type: 'string' },
    rounds: { type: 'string', default: '3' },
  },
});
const [requests, shared, own, tokens, slots, rounds] = ['requests', 'shared', 'own', 'tokens', 'slots', 'rounds'].map(
  (name) => Number(values[name]),
);
const peerSlots = Number(values['peer-slots'] ?? slots);
const perSlot = 1024;
const sides = {
  llamaestro: () =>
    startOurs(['--model', values.model, '--context', String(slots * perSlot), '--slots', String(slots)]),
  'llama-server': () => {
    const choice = peerSlots === 0 ? ['-c', '4096'] : ['-c', String(peerSlots * perSlot), '-np', String(peerSlots)];
    return startPeer(values.peer, ['-m', values.model, '-t', '2', ...choice]);
  },
};

function body(prompt, maxTokens) {
  return { model: 'default', prompt, max_tokens: maxTokens };
}

const seen = {};
for (let round = 0; round < rounds; round++) {
  for (const [name, start] of Object.entries(sides)) {
    const server = await start();
    try {
      const perToken = await wordsPerToken(server.url);
      await warmUp(server.url, slots, () => body(promptOf(16, 5), 16));
      const prefix = `Round ${round}: ${promptOf(Math.round(shared * perToken), round)}`;
      const prompt = (index) => `${prefix} number ${index} ${promptOf(Math.round((own - 6) * perToken), index)}`;
      const { seconds, runs } = await together(server.url, requests, (index) => body(prompt(index), tokens));
      ((seen[name] ??= { seconds: [] }).seconds ??= []).push(seconds);
      seen[name].promptTokens = median(runs.map((run) => run.promptTokens));
      seen[name].cachedTokens = median(runs.map((run) => run.cachedTokens));
    } finally {
      await server.stop();
    }
  }
}
for (const [name, { seconds, promptTokens, cachedTokens }] of Object.entries(seen)) {
  console.log(
    `${name}: ${requests} requests of ${promptTokens} tokens (about ${shared} shared, ${cachedTokens} cached) in ${median(seconds).toFixed(2)} s`,
  );
}
const [ours, peer] = [median(seen.llamaestro.seconds), median(seen['llama-server'].seconds)];
console.log(`ratio ${(ours / peer).toFixed(3)}`);
