/**
 * Streams that end at different times, in process: tokens per second while somebody new comes for each that ends, against
 * the same number of answers of one length, which all end together; in turn. The engine has twice as many slots as there
 * are streams, so that holes among them can appear.
 *   node bench/uneven.mjs --model FILE.gguf [--streams 8] [--tokens 48] [--rounds 3]
 */
import { parseArgs } from 'node:util';
import { median, promptOf } from './lib/client.mjs';
import { sequence, sequencesTogether, textPrompt, withEngine } from './lib/engine.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    streams: { type: 'string', default: '8' },
    tokens: { type: 'string', default: '48' },
    rounds: { type: 'string', default: '3' },
  },
});
const [streams, tokens, rounds] = ['streams', 'tokens', 'rounds'].map((name) => Number(values[name]));
/** Answers that a stream gives one after the other. */
const TURNS = 8;
/** Which length comes when: neither all long ones first nor last. */
const STRIDE = 3;
const slots = 2 * streams;

/** Lengths of the answers of a stream: from an eighth of `tokens` to almost twice it, of the same sum for every stream. */
function unevenLengths(stream) {
  return Array.from({ length: TURNS }, (_, turn) => {
    const step = ((turn + stream) * STRIDE) % TURNS;
    return Math.max(1, Math.round((tokens * (2 * step + 1)) / TURNS));
  });
}
const lengthsOf = { even: () => Array.from({ length: TURNS }, () => tokens), uneven: unevenLengths };

const request = (salt, maxTokens) => ({ prompt: textPrompt(promptOf(16, salt)), maxTokens, cachePrompt: false });

/** All streams side by side; tokens of all over the wall time. */
async function rate(engine, lengths) {
  const startMs = performance.now();
  const counts = await Promise.all(
    Array.from({ length: streams }, async (_, stream) => {
      let count = 0;
      for (const [turn, length] of lengths(stream).entries()) {
        count += (await sequence(engine, request(stream + turn, length))).tokens;
      }
      return count;
    }),
  );
  return (1000 * counts.reduce((sum, count) => sum + count, 0)) / (performance.now() - startMs);
}

const seen = { even: [], uneven: [] };
await withEngine({ file: values.model, contextTokens: slots * 512, slots }, async (engine) => {
  await sequencesTogether(engine, streams, (index) => request(index, tokens));
  for (let round = 0; round < rounds; round++) {
    for (const [name, lengths] of Object.entries(lengthsOf)) seen[name].push(await rate(engine, lengths));
  }
});
const [even, uneven] = [median(seen.even), median(seen.uneven)];
console.log(
  `${streams} streams: ending together ${even.toFixed(1)} tokens/s, at different times ${uneven.toFixed(1)}, ratio ${(uneven / even).toFixed(3)}`,
);
