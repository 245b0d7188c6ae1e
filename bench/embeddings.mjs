/**
 * Embeddings per second: our engine in this process (the server has no such route yet) against llama-server --embedding
 * over HTTP with all texts in one request; the same vectors are expected of both.
 *   node bench/embeddings.mjs --peer PATH/llama-server [--model FILE.gguf] [--texts 64] [--words 100] [--rounds 3]
 * Without --model: a random BERT of 12 layers.
 */
import { parseArgs } from 'node:util';
import { bertModel } from './lib/bert-model.mjs';
import { inTurn, post, printRates, texts } from './lib/pooled.mjs';

const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    model: { type: 'string' },
    texts: { type: 'string', default: '64' },
    words: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '3' },
  },
});
const input = texts(Number(values.texts), Number(values.words));
const cosine = (one, other) => one.reduce((sum, value, index) => sum + value * other[index], 0);

const { oursMs, peerMs, ours, peer } = await inTurn({
  model: values.model ?? (await bertModel('embed')),
  peer: values.peer,
  rounds: Number(values.rounds),
  load: { purpose: 'embed' },
  args: ['--embedding'],
  ours: (engine) => engine.embed(input),
  theirs: async (url) => (await post(`${url}/v1/embeddings`, { input })).data.map((each) => each.embedding),
});
const least = Math.min(...ours.map((vector, index) => cosine(vector, peer[index])));
console.log(`least cosine between the two sides' vectors of a text: ${least.toFixed(5)}`);
printRates(input.length, `texts of ${values.words} words`, oursMs, peerMs);
