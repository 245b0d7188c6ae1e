/**
 * Our engine in this process against node-llama-cpp in this process: tokens per second at 1 and N streams, in turn, each
 * side with a context of its own per round. The package lies in a scratch folder (npm install node-llama-cpp there; the
 * version must carry the same llama.cpp tag) and is no dependency of ours.
 *   node bench/node-llama-cpp.mjs --model FILE.gguf --peer FOLDER [--streams 1,8] [--tokens 96] [--rounds 3]
 */
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { buildDescription } from '../dist/engine/index.js';
import { median, promptOf } from './lib/client.mjs';
import { sequencesTogether, textPrompt, withEngine } from './lib/engine.mjs';
import { streamOptions } from './lib/options.mjs';
import { THREADS } from './lib/servers.mjs';

const values = streamOptions();
const counts = values.streams.split(',').map(Number);
const maxTokens = Number(values.tokens);
const tokensPerStream = 512;

const peerRequire = createRequire(join(resolve(values.peer), 'package.json'));
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(peerRequire.resolve('node-llama-cpp')));
const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: THREADS });
console.log(
  `node-llama-cpp: llama.cpp ${llama.llamaCppRelease.release}, ${llama.buildType}; ours: ${buildDescription()}`,
);

/** Tokens made; each becomes text, as ours do. */
async function peerSequence(model, sequence, index) {
  let [tokens, text] = [0, ''];
  const prompt = model.tokenize(promptOf(16, index));
  for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    text += model.detokenize([token]);
    if (++tokens === maxTokens) break;
  }
  if (text === '') throw new Error('node-llama-cpp made no text');
  return tokens;
}

const sides = {
  ours: (count) =>
    withEngine({ file: values.model, contextTokens: count * tokensPerStream, slots: count }, async (engine) => {
      const request = (index) => ({ prompt: textPrompt(promptOf(16, index)), maxTokens, cachePrompt: false });
      await sequencesTogether(engine, count, request);
      return (await sequencesTogether(engine, count, (index) => request(index + 3))).tokensPerSecond;
    }),
  peer: async (count) => {
    const model = await llama.loadModel({ modelPath: resolve(values.model), gpuLayers: 0 });
    const context = await model.createContext({ contextSize: tokensPerStream, sequences: count, threads: THREADS });
    const sequences = Array.from({ length: count }, () => context.getSequence());
    const all = (salt) => Promise.all(sequences.map((each, index) => peerSequence(model, each, index + salt)));
    await all(0);
    await Promise.all(sequences.map((each) => each.clearHistory()));
    const startMs = performance.now();
    const tokens = (await all(3)).reduce((sum, each) => sum + each, 0);
    const rate = tokens / ((performance.now() - startMs) / 1000);
    await model.dispose();
    return rate;
  },
};

const rates = {};
for (let round = 0; round < Number(values.rounds); round++) {
  for (const count of counts) {
    for (const [name, measure] of Object.entries(sides)) {
      ((rates[count] ??= {})[name] ??= []).push(await measure(count));
    }
  }
}
await llama.dispose();
for (const count of counts) {
  const [ours, peer] = [median(rates[count].ours), median(rates[count].peer)];
  console.log(
    `${count} streams: llamaestro ${ours.toFixed(1)} tokens/s, node-llama-cpp ${peer.toFixed(1)}, ratio ${(ours / peer).toFixed(3)}`,
  );
}
