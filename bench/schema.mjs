/**
 * Tokens per second with a JSON schema, and of free text for scale: our engine in this process (the server takes no schema
 * yet) against llama-server with its field json_schema, at several stream counts, in turn.
 *   node bench/schema.mjs --model FILE.gguf --peer PATH/llama-server [--streams 1,8] [--tokens 96] [--rounds 3]
 */
import { median, promptOf, together } from './lib/client.mjs';
import { sequence, sequencesTogether, textPrompt, withEngine } from './lib/engine.mjs';
import { streamOptions } from './lib/options.mjs';
import { THREADS, startPeer } from './lib/servers.mjs';

const values = streamOptions();
const counts = values.streams.split(',').map(Number);
const slots = Math.max(...counts);
const contextTokens = slots * 512;
const maxTokens = Number(values.tokens);
/** Long enough that no answer ends before its tokens do. */
const jsonSchema = {
  type: 'array',
  minItems: 32,
  items: {
    type: 'object',
    properties: {
      id: { type: 'integer' },
      name: { type: 'string', maxLength: 24 },
      kind: { enum: ['small', 'medium', 'large'] },
      tags: { type: 'array', items: { type: 'string', maxLength: 12 }, maxItems: 4 },
    },
    required: ['id', 'name', 'kind', 'tags'],
    additionalProperties: false,
  },
};
const works = { free: {}, schema: { jsonSchema } };
const rates = {};
const note = (count, work, side, rate) => ((rates[`${count} ${work}`] ??= {})[side] ??= []).push(rate);

async function ours(round) {
  await withEngine({ file: values.model, contextTokens, slots }, async (engine) => {
    const request = (index) => ({ prompt: textPrompt(promptOf(16, round + index)), maxTokens, cachePrompt: false });
    for (const [work, options] of Object.entries(works)) {
      await sequence(engine, { ...request(5), ...options, maxTokens: 8 });
      for (const count of counts) {
        const { tokensPerSecond } = await sequencesTogether(engine, count, (index) => ({
          ...request(index),
          ...options,
        }));
        note(count, work, 'ours', tokensPerSecond);
      }
    }
  });
}

async function theirs(round) {
  const figures = ['-c', contextTokens, '-np', slots, '-t', THREADS].map(String);
  const server = await startPeer(values.peer, ['-m', values.model, ...figures]);
  try {
    for (const [work, options] of Object.entries({ free: {}, schema: { json_schema: jsonSchema } })) {
      const body = (index, limit) => ({
        prompt: promptOf(16, round + index),
        max_tokens: limit,
        cache_prompt: false,
        ...options,
      });
      await together(server.url, 1, (index) => body(index + 5, 8));
      for (const count of counts) {
        const { tokensPerSecond } = await together(server.url, count, (index) => body(index, maxTokens));
        note(count, work, 'peer', tokensPerSecond);
      }
    }
  } finally {
    await server.stop();
  }
}

for (let round = 0; round < Number(values.rounds); round++) {
  await ours(round);
  await theirs(round);
}
for (const work of Object.keys(works)) {
  for (const count of counts) {
    const [own, peer] = ['ours', 'peer'].map((side) => median(rates[`${count} ${work}`][side]));
    console.log(
      `${count} streams, ${work}: llamaestro (engine in process) ${own.toFixed(1)} tokens/s, llama-server (HTTP) ${peer.toFixed(1)}, ratio ${(own / peer).toFixed(3)}`,
    );
  }
}
