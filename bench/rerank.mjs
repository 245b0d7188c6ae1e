/**
 * Documents scored per second: our engine in this process (the server has no such route yet) against llama-server
 * --reranking over HTTP with all documents in one request. Scores of both sides are compared; random layers make of the
 * roundings that another grouping of documents brings a few per cent.
 *   node bench/rerank.mjs --peer PATH/llama-server [--model FILE.gguf] [--documents 64] [--words 100] [--rounds 3]
 * Without --model: a random BERT of 12 layers.
 */
import { parseArgs } from 'node:util';
import { bertModel } from './lib/bert-model.mjs';
import { inTurn, post, printRates, texts } from './lib/pooled.mjs';

const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    model: { type: 'string' },
    documents: { type: 'string', default: '64' },
    words: { type: 'string', default: '100' },
    rounds: { type: 'string', default: '3' },
  },
});
const documents = texts(Number(values.documents), Number(values.words));
const query = 'green garden by the river';

const { oursMs, peerMs, ours, peer } = await inTurn({
  model: values.model ?? (await bertModel('rank')),
  peer: values.peer,
  rounds: Number(values.rounds),
  load: { purpose: 'rerank' },
  args: ['--reranking'],
  ours: (engine) => engine.rerank(query, documents),
  theirs: async (url) => {
    const { results } = await post(`${url}/v1/rerank`, { query, documents });
    return results.sort((one, other) => one.index - other.index).map((each) => each.relevance_score);
  },
});
const largest = Math.max(...ours.map((score, index) => Math.abs(score - peer[index])));
console.log(`largest difference between the two sides' scores of a document: ${largest.toExponential(1)}`);
printRates(documents.length, `documents of ${values.words} words`, oursMs, peerMs);
