/**
 * BERT-shaped embedder and reranker, built rather than trained. Both know a random vector per word piece. The embedder's
 * mean pooling makes texts that share words similar. The reranker finds word pieces that occur twice in its input (query and
 * document) and scores their share: relevance by shared words. Vocabulary borrowed from the llama.cpp tree.
 */
import { kv } from './gguf-format.mjs';
import { constantF32, partlyRandomQ8, rowsF32, seededRandom } from './tensor-data.mjs';
import { borrowedVocabulary } from './vocabulary.mjs';

const width = 128;
const heads = 2;
const headWidth = width / heads;
const feedForward = 64;
const contextTokens = 512;
const layers = 2;
const pooling = { mean: 1, rank: 4 };

/** Columns of a hidden state: the word's vector, a code of its position twice, and two counters. */
const words = { from: 0, count: 64 };
const place = { from: 64, count: 16 };
const displaced = { from: 80, count: 16 };
const repeated = 96;
const share = 97;

/** How much stronger a word attends to its equals than to any other word; see `findEquals`. */
const focus = 24;

/** Mean-pooling embedder: the layers add nothing, the vector is the mean of the normed word vectors. */
export async function embedderModel(llamaCppDir) {
  const vocabulary = await borrowedVocabulary(llamaCppDir, 'bert-bge');
  const silent = { attention: {}, feedForward: {} };
  return {
    metadata: [...metadata('embedder', pooling.mean), ...vocabulary.metadata],
    tensors: [...inputTensors(vocabulary.size, 0), ...blockTensors(0, silent), ...blockTensors(1, silent)],
  };
}

/** Reranker with a classification head (pooling "rank"). */
export async function rerankerModel(llamaCppDir) {
  const vocabulary = await borrowedVocabulary(llamaCppDir, 'bert-bge');
  return {
    metadata: [...metadata('reranker', pooling.rank), ...vocabulary.metadata],
    tensors: [
      ...inputTensors(vocabulary.size, 1),
      ...blockTensors(0, { attention: findEquals(), feedForward: countDisplacement() }),
      ...blockTensors(1, { attention: averageCount(), feedForward: {} }),
      ...headTensors(),
    ],
  };
}

function metadata(name, poolingType) {
  return [
    ['general.architecture', kv.string('bert')],
    ['general.type', kv.string('model')],
    ['general.name', kv.string(name)],
    ['general.description', kv.string('Demo: judges texts by the words they share')],
    ['general.license', kv.string('mit')],
    ['general.file_type', kv.u32(7)],
    ['bert.context_length', kv.u32(contextTokens)],
    ['bert.embedding_length', kv.u32(width)],
    ['bert.block_count', kv.u32(layers)],
    ['bert.feed_forward_length', kv.u32(feedForward)],
    ['bert.attention.head_count', kv.u32(heads)],
    ['bert.attention.layer_norm_epsilon', kv.f32(1e-12)],
    ['bert.attention.causal', kv.bool(false)],
    ['bert.pooling_type', kv.u32(poolingType)],
  ];
}

/** `placeSize`: magnitude of the position code; 0 makes a model that ignores the order of words. */
function inputTensors(vocabularySize, placeSize) {
  const random = seededRandom(7);
  const positions = rowsF32(width, contextTokens, (row) => {
    for (let i = 0; i < place.count; i++) {
      const sign = random() > 0x7fffffff ? placeSize : -placeSize;
      row[place.from + i] = sign;
      row[displaced.from + i] = sign;
    }
  });
  return [
    {
      name: 'token_embd.weight',
      type: 'Q8_0',
      shape: [width, vocabularySize],
      data: partlyRandomQ8(11, width, vocabularySize, words.count, 1),
    },
    matrix('token_types.weight', width, 2, []),
    { name: 'position_embd.weight', type: 'F32', shape: [width, contextTokens], data: positions },
    ...norm('token_embd_norm'),
  ];
}

/**
 * First attention: query and key are the word's vector, so a word sees itself and its equals; the value is the position
 * code. Taken away from the copy in `displaced`, the mean position leaves zero for a word that stands alone.
 */
function findEquals() {
  const gain = Math.sqrt((focus * Math.sqrt(headWidth)) / words.count);
  const look = pairs(words.count, (i) => [i, words.from + i, gain]);
  return {
    query: look,
    key: look,
    value: pairs(place.count, (i) => [i, place.from + i, 1]),
    output: pairs(place.count, (i) => [displaced.from + i, i, -1]),
  };
}

/** First feed-forward: the activation of x plus that of -x is about |x|; summed over the code it marks a repeated word. */
function countDisplacement() {
  return {
    up: pairs(2 * displaced.count, (i) => [i, displaced.from + (i >> 1), i % 2 === 0 ? 4 : -4]),
    down: pairs(2 * displaced.count, (i) => [repeated, i, 0.05]),
  };
}

/** Second attention: everybody looks at everybody alike, which gives the share of repeated words. */
function averageCount() {
  return { value: [[0, repeated, 1]], output: [[share, 0, 4]] };
}

/** tanh of the share, spread over about -5 … 5. */
function headTensors() {
  return [
    matrix('cls.weight', width, width, [[0, share, 0.5]]),
    { name: 'cls.bias', type: 'F32', shape: [width], data: constantF32(width, 0) },
    matrix('cls.output.weight', width, 1, [[0, 0, 5]]),
    { name: 'cls.output.bias', type: 'F32', shape: [1], data: constantF32(1, 0) },
  ];
}

function blockTensors(layer, { attention, feedForward: forward }) {
  const name = (suffix) => `blk.${layer}.${suffix}`;
  return [
    matrix(`${name('attn_q')}.weight`, width, width, attention.query),
    matrix(`${name('attn_k')}.weight`, width, width, attention.key),
    matrix(`${name('attn_v')}.weight`, width, width, attention.value),
    matrix(`${name('attn_output')}.weight`, width, width, attention.output),
    ...norm(name('attn_output_norm')),
    matrix(`${name('ffn_up')}.weight`, width, feedForward, forward.up),
    matrix(`${name('ffn_down')}.weight`, feedForward, width, forward.down),
    ...norm(name('layer_output_norm')),
  ];
}

function pairs(count, entry) {
  return Array.from({ length: count }, (_, index) => entry(index));
}

/** A matrix that is zero but for `entries` of output row, input column, value. */
function matrix(name, columns, rows, entries = []) {
  const fillRow = (target, row) => {
    for (const [entryRow, column, value] of entries) if (entryRow === row) target[column] = value;
  };
  return { name, type: 'F32', shape: [columns, rows], data: rowsF32(columns, rows, fillRow) };
}

function norm(name) {
  return [
    { name: `${name}.weight`, type: 'F32', shape: [width], data: constantF32(width, 1) },
    { name: `${name}.bias`, type: 'F32', shape: [width], data: constantF32(width, 0) },
  ];
}
