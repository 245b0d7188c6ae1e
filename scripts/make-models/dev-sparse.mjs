/**
 * Turns a shape of dev-shapes.mjs into a sparse model: the tensors and metadata that the conversion and quantisation of
 * llama.cpp give the real file, data left as holes. A planner that reads headers and shapes cannot tell it from the real one;
 * the vocabulary is the nearest of the pinned tree, cut or filled to the true size.
 */
import { kv } from './gguf-format.mjs';
import { borrowedVocabulary } from './vocabulary.mjs';

const fileTypes = { Q8_0: 7, Q4_K_M: 15 };
const encoders = new Set(['bert', 'nomic-bert']);

/** The model as `writeGguf` takes it, `sparse` set. */
export async function sparseModel(shape, llamaCppDir) {
  const { name, ...options } = shape.vocabulary;
  const vocabulary = await borrowedVocabulary(llamaCppDir, name, { ...options, size: shape.vocabularySize });
  const own = metadata(shape);
  return {
    sparse: true,
    metadata: [...new Map([...own, ...vocabulary.metadata, ...tokenTypeCount(shape)])],
    tensors: tensors(shape),
  };
}

function metadata(shape) {
  const key = (suffix) => `${shape.architecture}.${suffix}`;
  const common = [
    ['general.architecture', kv.string(shape.architecture)],
    ['general.type', kv.string('model')],
    ['general.name', kv.string(shape.source.file.replace(/\.gguf$/, ''))],
    ['general.description', kv.string('Header and shapes only: for planning, cannot answer')],
    ['general.file_type', kv.u32(fileTypes[shape.source.quantisation])],
    [key('context_length'), kv.u32(shape.contextTokens)],
    [key('embedding_length'), kv.u32(shape.width)],
    [key('block_count'), kv.u32(shape.layers)],
    [key('feed_forward_length'), kv.u32(shape.feedForward)],
    [key('attention.head_count'), kv.u32(shape.heads)],
    [key('attention.head_count_kv'), kv.u32(shape.keyValueHeads)],
  ];
  const rope = shape.ropeBase === undefined ? [] : [[key('rope.freq_base'), kv.f32(shape.ropeBase)]];
  return [
    ...common,
    ...rope,
    ...(encoders.has(shape.architecture) ? encoderMetadata(shape, key) : decoderMetadata(shape, key)),
  ];
}

function decoderMetadata(shape, key) {
  return [
    [key('attention.key_length'), kv.u32(shape.headWidth)],
    [key('attention.value_length'), kv.u32(shape.headWidth)],
    [key('attention.layer_norm_rms_epsilon'), kv.f32(shape.epsilon)],
    [key('rope.dimension_count'), kv.u32(shape.headWidth)],
    [key('vocab_size'), kv.u32(shape.vocabularySize)],
  ];
}

function encoderMetadata(shape, key) {
  return [
    [key('attention.layer_norm_epsilon'), kv.f32(shape.epsilon)],
    [key('attention.causal'), kv.bool(false)],
    ...(shape.pooling === null ? [] : [[key('pooling_type'), kv.u32(shape.pooling)]]),
  ];
}

function tokenTypeCount(shape) {
  return shape.tokenTypes === undefined ? [] : [['tokenizer.ggml.token_type_count', kv.u32(shape.tokenTypes)]];
}

function tensors(shape) {
  const layers = Array.from({ length: shape.layers }, (_, layer) => layer);
  if (!encoders.has(shape.architecture)) {
    return [...decoderEnds(shape), ...layers.flatMap((layer) => decoderBlock(shape, layer))];
  }
  return [...encoderEnds(shape), ...layers.flatMap((layer) => encoderBlock(shape, layer))];
}

/** The type a weight gets: Q8_0 everywhere, or what the Q4_K_M recipe gives to this tensor of this layer. */
function weightType({ source, layers, tied }, kind, layer) {
  if (source.quantisation === 'Q8_0') return 'Q8_0';
  if (kind === 'output' || (kind === 'token_embd' && tied)) return 'Q6_K';
  if (kind === 'attn_qkv') return 'Q5_K';
  if ((kind === 'attn_v' || kind === 'ffn_down') && getsMoreBits(layer, layers)) return 'Q6_K';
  return 'Q4_K';
}

/** The first and last eighth of the layers and every third between them. */
function getsMoreBits(layer, layers) {
  const eighth = Math.floor(layers / 8);
  return layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
}

function weight(shape, name, columns, rows, layer) {
  const kind = name.replace(/^blk\.\d+\./, '');
  return { name: `${name}.weight`, type: weightType(shape, kind, layer), shape: [columns, rows] };
}

function vector(name, count) {
  return { name, type: 'F32', shape: [count] };
}

function decoderEnds(shape) {
  const { width, vocabularySize, tied } = shape;
  return [
    weight(shape, 'token_embd', width, vocabularySize),
    vector('output_norm.weight', width),
    ...(tied ? [] : [weight(shape, 'output', width, vocabularySize)]),
  ];
}

function decoderBlock(shape, layer) {
  const { architecture, width, heads, keyValueHeads, headWidth, feedForward } = shape;
  const name = (suffix) => `blk.${layer}.${suffix}`;
  const matrix = (suffix, columns, rows) => weight(shape, name(suffix), columns, rows, layer);
  const queryWidth = heads * headWidth;
  const keyWidth = keyValueHeads * headWidth;
  const fused = architecture === 'phi3';
  const attention = fused
    ? [matrix('attn_qkv', width, queryWidth + 2 * keyWidth)]
    : [matrix('attn_q', width, queryWidth), matrix('attn_k', width, keyWidth), matrix('attn_v', width, keyWidth)];
  const biases = [
    vector(name('attn_q.bias'), queryWidth),
    vector(name('attn_k.bias'), keyWidth),
    vector(name('attn_v.bias'), keyWidth),
  ];
  const headNorms = [vector(name('attn_q_norm.weight'), headWidth), vector(name('attn_k_norm.weight'), headWidth)];
  return [
    vector(name('attn_norm.weight'), width),
    ...attention,
    ...(architecture === 'qwen2' ? biases : []),
    ...(architecture === 'qwen3' ? headNorms : []),
    matrix('attn_output', queryWidth, width),
    vector(name('ffn_norm.weight'), width),
    ...(fused ? [] : [matrix('ffn_gate', width, feedForward)]),
    matrix('ffn_up', width, fused ? 2 * feedForward : feedForward),
    matrix('ffn_down', feedForward, width),
  ];
}

function normPair(name, width) {
  return [vector(`${name}.weight`, width), vector(`${name}.bias`, width)];
}

function encoderEnds(shape) {
  const { architecture, width, vocabularySize, tokenTypes, contextTokens } = shape;
  const plain = (name, rows) => ({ name: `${name}.weight`, type: 'F32', shape: [width, rows] });
  const head = [
    weight(shape, 'cls', width, width),
    vector('cls.bias', width),
    plain('cls.output', 1),
    vector('cls.output.bias', 1),
  ];
  return [
    weight(shape, 'token_embd', width, vocabularySize),
    plain('token_types', tokenTypes),
    ...(architecture === 'bert' ? [plain('position_embd', contextTokens)] : []),
    ...normPair('token_embd_norm', width),
    ...(architecture === 'bert' ? head : []),
  ];
}

function encoderBlock(shape, layer) {
  const { architecture, width, feedForward } = shape;
  const name = (suffix) => `blk.${layer}.${suffix}`;
  const matrix = (suffix, columns, rows) => weight(shape, name(suffix), columns, rows, layer);
  const withBias = (suffix, columns, rows) => [matrix(suffix, columns, rows), vector(name(`${suffix}.bias`), rows)];
  const inner =
    architecture === 'bert'
      ? [
          ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].flatMap((suffix) => withBias(suffix, width, width)),
          ...withBias('ffn_up', width, feedForward),
          ...withBias('ffn_down', feedForward, width),
        ]
      : [
          matrix('attn_qkv', width, 3 * width),
          matrix('attn_output', width, width),
          matrix('ffn_up', width, feedForward),
          matrix('ffn_gate', width, feedForward),
          matrix('ffn_down', feedForward, width),
        ];
  return [...inner, ...normPair(name('attn_output_norm'), width), ...normPair(name('layer_output_norm'), width)];
}
