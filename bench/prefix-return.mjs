/**
 * Coming back to one of many earlier prompts, in process: milliseconds from the slot to the first token when the prefix
 * comes from host memory, against computing it again, in turn.
 *   node bench/prefix-return.mjs --model FILE.gguf [--prefixes 16] [--length 1024] [--own 1] [--threads N]
 */
import { parseArgs } from 'node:util';
import { loadModel } from '../dist/engine/index.js';
import { median } from './lib/client.mjs';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    prefixes: { type: 'string', default: '16' },
    length: { type: 'string', default: '1024' },
    own: { type: 'string', default: '1' },
    threads: { type: 'string' },
  },
});
const [prefixes, length, own] = ['prefixes', 'length', 'own'].map((name) => Number(values[name]));

const engine = await loadModel({
  file: values.model,
  purpose: 'generate',
  slots: 1,
  contextTokens: length + own + 64,
  ...(values.threads === undefined ? {} : { threads: Number(values.threads) }),
});

/** Prompt `index`, the same prefix and another ending each time it comes back. */
function promptTokens(index, visit) {
  return Array.from(
    { length: length + own },
    (_, at) => 100 + ((at * 7 + index * 131 + (at < length ? 0 : visit * 17)) % 1000),
  );
}

function run(index, visit, cachePrompt) {
  return new Promise((resolve, reject) => {
    const prompt = { kind: 'tokens', tokens: promptTokens(index, visit) };
    engine.submit({ prompt, maxTokens: 2, temperature: 0, ignoreEos: true, cachePrompt }, (event) => {
      if (event.type !== 'finished') return;
      if (event.reason === 'error') reject(event.error);
      else resolve({ ms: event.timings.prefillMs, cachedTokens: event.usage.cachedTokens });
    });
  });
}

try {
  for (let index = 0; index < prefixes; index++) await run(index, 0, true);
  const [returns, recomputes, cached] = [[], [], []];
  for (let index = 0; index < prefixes; index++) {
    const back = await run(index, 1, true);
    returns.push(back.ms);
    cached.push(back.cachedTokens);
    recomputes.push((await run(index, 2, false)).ms);
  }
  const [back, again] = [median(returns), median(recomputes)];
  const stats = engine.stats();
  console.log(
    `${prefixes} prefixes of ${length} tokens (${median(cached)} taken over, ${(stats.prefixBytes / 2 ** 20).toFixed(0)} MiB kept): back in ${back.toFixed(1)} ms, computed in ${again.toFixed(1)} ms, ratio ${(back / again).toFixed(4)}`,
  );
} finally {
  await engine.close();
}
