/**
 * Random-weight models in given shapes (llama and qwen3): seeded, Q8_0, fast to write. Their text means nothing; their
 * cost per token is that of a real model of the shape. Weights are scaled so that activations stay near one, logits are
 * neither flat nor one-sided, and a token rarely repeats itself.
 */
import { kv } from './gguf-format.mjs';
import { constantF32, randomQ8 } from './tensor-data.mjs';
import { borrowedVocabulary, byteVocabulary, firstWordToken, inventedWords } from './vocabulary.mjs';

/** Standard deviation of the logits: sampling stays varied, the best token stands out. */
const logitDeviation = 2.5;

const qwenChat = { template: 'Qwen-Qwen3-0.6B', ids: { eos: 151645 }, addBos: false };
const ownVocabulary = (words) => async () => byteVocabulary(inventedWords(words));

/** Shapes by name; `vocabulary(llamaCppDir)` resolves to size and metadata. `tied`: the output reuses the embedding. */
export const randomShapes = {
  tiny: {
    architecture: 'llama',
    contextTokens: 32768,
    width: 64,
    layers: 2,
    heads: 4,
    keyValueHeads: 2,
    headWidth: 32,
    feedForward: 128,
    tied: false,
    vocabulary: ownVocabulary(256),
  },
  prefill: {
    architecture: 'llama',
    contextTokens: 32768,
    width: 512,
    layers: 8,
    heads: 8,
    keyValueHeads: 4,
    headWidth: 64,
    feedForward: 1792,
    tied: false,
    vocabulary: ownVocabulary(256),
  },
  '15m': {
    architecture: 'llama',
    contextTokens: 8192,
    width: 256,
    layers: 8,
    heads: 8,
    keyValueHeads: 8,
    headWidth: 32,
    feedForward: 704,
    tied: true,
    vocabulary: async (dir) => withChatTemplate(await borrowedVocabulary(dir, 'llama-spm')),
  },
  '150m': {
    architecture: 'qwen3',
    contextTokens: 32768,
    width: 512,
    layers: 12,
    heads: 16,
    keyValueHeads: 8,
    headWidth: 64,
    feedForward: 3072,
    tied: true,
    vocabulary: async (dir) => borrowedVocabulary(dir, 'qwen2', qwenChat),
  },
  '600m': {
    architecture: 'qwen3',
    contextTokens: 40960,
    width: 1024,
    layers: 28,
    heads: 16,
    keyValueHeads: 8,
    headWidth: 128,
    feedForward: 3072,
    tied: true,
    vocabulary: async (dir) => borrowedVocabulary(dir, 'qwen2', qwenChat),
  },
};

const plainTemplate =
  "{%- for message in messages -%}{{- '[' + message['role'] + ']: ' + message['content'] + '\\n' -}}{%- endfor -%}" +
  "{%- if add_generation_prompt -%}{{- '[assistant]:' -}}{%- endif -%}";

function withChatTemplate(vocabulary) {
  return { ...vocabulary, metadata: [...vocabulary.metadata, ['tokenizer.chat_template', kv.string(plainTemplate)]] };
}

/** The model as `writeGguf` takes it; equal seeds give equal files. */
export async function randomModel(name, llamaCppDir, seed = 1) {
  const shape = randomShapes[name];
  const vocabulary = await shape.vocabulary(llamaCppDir);
  return {
    metadata: [...shapeMetadata(name, shape), ...vocabulary.metadata],
    tensors: shapeTensors(shape, vocabulary.size, seed),
  };
}

function shapeMetadata(name, shape) {
  const key = (suffix) => `${shape.architecture}.${suffix}`;
  return [
    ['general.architecture', kv.string(shape.architecture)],
    ['general.type', kv.string('model')],
    ['general.name', kv.string(`random-${name}`)],
    ['general.description', kv.string('Random weights: for tests and benchmarks, its text means nothing')],
    ['general.license', kv.string('mit')],
    ['general.file_type', kv.u32(7)],
    [key('context_length'), kv.u32(shape.contextTokens)],
    [key('embedding_length'), kv.u32(shape.width)],
    [key('block_count'), kv.u32(shape.layers)],
    [key('feed_forward_length'), kv.u32(shape.feedForward)],
    [key('attention.head_count'), kv.u32(shape.heads)],
    [key('attention.head_count_kv'), kv.u32(shape.keyValueHeads)],
    [key('attention.key_length'), kv.u32(shape.headWidth)],
    [key('attention.value_length'), kv.u32(shape.headWidth)],
    [key('attention.layer_norm_rms_epsilon'), kv.f32(1e-6)],
    [key('rope.dimension_count'), kv.u32(shape.headWidth)],
    [key('rope.freq_base'), kv.f32(10000)],
  ];
}

function shapeTensors(shape, vocabularySize, seed) {
  let tensorSeed = seed * 1000;
  const matrix = (name, columns, rows, gain = 1, isZero = undefined) => ({
    name,
    type: 'Q8_0',
    shape: [columns, rows],
    data: randomQ8(++tensorSeed, columns, rows, gain / Math.sqrt(columns), isZero),
  });
  const ones = (name, count) => ({ name, type: 'F32', shape: [count], data: constantF32(count, 1) });
  const { width, layers, tied } = shape;
  const ownWords = vocabularySize < 1000;
  const isSilent = ownWords ? (token) => token < firstWordToken : undefined;
  return [
    matrix('token_embd.weight', width, vocabularySize, tied ? logitDeviation : Math.sqrt(width)),
    ones('output_norm.weight', width),
    ...(tied ? [] : [matrix('output.weight', width, vocabularySize, logitDeviation, isSilent)]),
    ...Array.from({ length: layers }, (_, layer) => blockTensors(shape, layer, matrix, ones)).flat(),
  ];
}

function blockTensors(shape, layer, matrix, ones) {
  const { width, heads, keyValueHeads, headWidth, feedForward } = shape;
  const name = (suffix) => `blk.${layer}.${suffix}.weight`;
  const headNorms = shape.architecture === 'qwen3' ? ['attn_q_norm', 'attn_k_norm'] : [];
  return [
    ones(name('attn_norm'), width),
    matrix(name('attn_q'), width, heads * headWidth),
    matrix(name('attn_k'), width, keyValueHeads * headWidth),
    matrix(name('attn_v'), width, keyValueHeads * headWidth),
    matrix(name('attn_output'), heads * headWidth, width),
    ...headNorms.map((suffix) => ones(name(suffix), headWidth)),
    ones(name('ffn_norm'), width),
    matrix(name('ffn_gate'), width, feedForward),
    matrix(name('ffn_up'), width, feedForward),
    matrix(name('ffn_down'), feedForward, width),
  ];
}
