/**
 * A model that goes on as its text began: after a token it says what followed that token before. Two attention layers made
 * by hand: the first writes into each place which token stands before it, the second looks for the place that stands
 * behind the current token and takes the token there. What it says depends on every cell of its cache, and sharply, so
 * that one lost, doubled or foreign cell shows in the text. Feed-forward parts are zero.
 */
import { kv } from './gguf-format.mjs';
import { constantF32, rowsF32, seededRandom } from './tensor-data.mjs';
import { byteVocabulary } from './vocabulary.mjs';

/** Entries of the code of a token, each 1 or -1. The residual holds four parts: own code, code before, answer, ones. */
const code = 64;
const parts = { own: 0, before: code, answer: 2 * code, ones: 3 * code };
const width = 4 * code;
const heads = 2;
const headWidth = width / heads;
/** The first half of a head turns with the position; the second so slowly that it stands still within the context. */
const turning = headWidth / 2;
const ropeBase = 1e12;
const feedForward = 32;
const contextTokens = 32768;

/** Scores between the right place and the next best, as powers of e: 0.8 of the first, about 28 of 64 of the second. */
const positionSharpness = 40;
const contentSharpness = 1.2;
/** Times the agreement of two codes this is a logit. */
const strength = 1;

/** The model as `writeGguf` takes it. */
export function copierModel() {
  const vocabulary = byteVocabulary([]);
  const codes = tokenCodes(vocabulary.size);
  return {
    metadata: [...metadata(), ...vocabulary.metadata],
    tensors: [
      matrix('token_embd.weight', width, vocabulary.size, (row, token) => {
        row.set(codes[token], parts.own);
        row.fill(1, parts.ones);
      }),
      matrix('output.weight', width, vocabulary.size, (row, token) => {
        row.set(
          codes[token].map((bit) => bit * strength),
          parts.answer,
        );
      }),
      vector('output_norm.weight'),
      ...layer(0, (row, index) => lookOneBack(row, index), {
        key: (row, index) => (index < turning && isCosine(index) ? (row[parts.ones] = 1) : undefined),
        from: parts.own,
        to: parts.before,
      }),
      ...layer(1, (row, index) => findContent(row, index), {
        key: (row, index) => (index >= turning ? (row[parts.before + index - turning] = 1) : undefined),
        from: parts.own,
        to: parts.answer,
      }),
    ],
  };
}

function tokenCodes(size) {
  const next = seededRandom(7);
  return Array.from({ length: size }, () => Float32Array.from({ length: code }, () => ((next() >>> 16) & 1 ? 1 : -1)));
}

/** Rows come in pairs (cosine, sine) of one frequency each. */
function isCosine(index) {
  return index % 2 === 0;
}

/** A query that turns itself one place back, so that it agrees with the constant key of the place before. */
function lookOneBack(row, index) {
  if (index >= headWidth || index >= turning) return;
  const pair = Math.floor(index / 2);
  const angle = ropeBase ** ((-2 * pair) / headWidth);
  const gain = positionSharpness * Math.sqrt(headWidth);
  row[parts.ones] = gain * (isCosine(index) ? Math.cos(angle) : -Math.sin(angle));
}

/** A query for the places whose predecessor is the token of this one. */
function findContent(row, index) {
  if (index >= headWidth || index < turning) return;
  row[parts.own + index - turning] = contentSharpness * Math.sqrt(headWidth);
}

/** One layer; the second head has queries of zero and its values are not used. */
function layer(number, query, { key, from, to }) {
  const name = (part) => `blk.${number}.${part}.weight`;
  return [
    vector(name('attn_norm')),
    matrix(name('attn_q'), width, width, query),
    matrix(name('attn_k'), width, headWidth, key),
    matrix(name('attn_v'), width, headWidth, (row, index) => {
      if (index < code) row[from + index] = 1;
    }),
    matrix(name('attn_output'), width, width, (row, index) => {
      if (index >= to && index < to + code) row[index - to] = 1;
    }),
    vector(name('ffn_norm')),
    matrix(name('ffn_gate'), width, feedForward, () => undefined),
    matrix(name('ffn_up'), width, feedForward, () => undefined),
    matrix(name('ffn_down'), feedForward, width, () => undefined),
  ];
}

function metadata() {
  return [
    ['general.architecture', kv.string('llama')],
    ['general.type', kv.string('model')],
    ['general.name', kv.string('copier')],
    ['general.license', kv.string('mit')],
    ['general.file_type', kv.u32(0)],
    ['llama.context_length', kv.u32(contextTokens)],
    ['llama.embedding_length', kv.u32(width)],
    ['llama.block_count', kv.u32(2)],
    ['llama.feed_forward_length', kv.u32(feedForward)],
    ['llama.attention.head_count', kv.u32(heads)],
    ['llama.attention.head_count_kv', kv.u32(1)],
    ['llama.attention.layer_norm_rms_epsilon', kv.f32(1e-5)],
    ['llama.rope.dimension_count', kv.u32(headWidth)],
    ['llama.rope.freq_base', kv.f32(ropeBase)],
  ];
}

function matrix(name, columns, rows, fillRow) {
  return { name, type: 'F32', shape: [columns, rows], data: rowsF32(columns, rows, fillRow) };
}

function vector(name) {
  return { name, type: 'F32', shape: [width], data: constantF32(width, 1) };
}
