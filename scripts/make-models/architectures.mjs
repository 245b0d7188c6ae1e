/**
 * Small random models of many architectures, eight layers each: what a test needs that must hold for every kind of model
 * (plain and grouped attention, sliding windows, latent attention, experts, state spaces, hybrids). Knows which metadata
 * and tensors an architecture wants; their text means nothing.
 */
import { kv } from './gguf-format.mjs';
import { constantF32, randomBlocks, rowsF32, seededRandom } from './tensor-data.mjs';
import { byteVocabulary, inventedWords } from './vocabulary.mjs';

const layers = 8;
const width = 128;
const heads = 4;
const keyValueHeads = 2;
const headWidth = width / heads;
const feedForward = 256;
const contextTokens = 4096;
const experts = { count: 4, used: 2, feedForward: 64 };
const stateSpace = { inner: 2 * width, state: 16, convolution: 4, rank: 8 };
const latent = { query: 64, keyValue: 64, rope: 32, plain: 32 };
const slidingWindow = 64;
const words = 64;

const count = (...pairs) => pairs.map(([key, value]) => [key, kv.u32(value)]);
const grouped = count(
  ['attention.head_count', heads],
  ['attention.head_count_kv', keyValueHeads],
  ['attention.key_length', headWidth],
  ['attention.value_length', headWidth],
  ['rope.dimension_count', headWidth],
);
const mixture = count(
  ['expert_count', experts.count],
  ['expert_used_count', experts.used],
  ['expert_feed_forward_length', experts.feedForward],
);
const windowed = count(['attention.sliding_window', slidingWindow]);
const spaces = count(
  ['ssm.conv_kernel', stateSpace.convolution],
  ['ssm.inner_size', stateSpace.inner],
  ['ssm.state_size', stateSpace.state],
  ['ssm.time_step_rank', stateSpace.rank],
);

/** Every fourth layer of the hybrid attends, the others carry a state. */
const attends = (layer) => layer % 4 === 3;

/**
 * Shapes by name: `metadata` without the prefix of the architecture, `block(t, layer)` the tensors of a layer. `quantised`
 * names the type of the matrices.
 */
export const architectureShapes = {
  llama: { metadata: grouped, block: (t) => [...attention(t), ...dense(t)] },
  'llama-q4': { of: 'llama', quantised: 'Q4_0', metadata: grouped, block: (t) => [...attention(t), ...dense(t)] },
  'llama-moe': {
    of: 'llama',
    metadata: [...grouped, ...mixture, ...count(['feed_forward_length', experts.feedForward])],
    block: (t) => [...attention(t), ...mixed(t)],
  },
  qwen2: { metadata: grouped, block: (t) => [...attention(t), ...biases(t, ['q', 'k', 'v']), ...dense(t)] },
  qwen3: { metadata: grouped, block: (t) => [...attention(t), ...headNorms(t), ...dense(t)] },
  qwen3moe: { metadata: [...grouped, ...mixture], block: (t) => [...attention(t), ...headNorms(t), ...mixed(t)] },
  gemma3: {
    metadata: [...grouped, ...windowed],
    block: (t) => [
      ...attention(t),
      ...headNorms(t),
      ...dense(t),
      t.ones('post_attention_norm', width),
      t.ones('post_ffw_norm', width),
    ],
  },
  'gpt-oss': {
    untied: true,
    metadata: [...grouped, ...mixture, ...windowed],
    block: (t) => [
      ...attention(t).filter(({ name }) => !name.includes('ffn_norm')),
      ...biases(t, ['q', 'k', 'v', 'output']),
      t.ones('post_attention_norm', width),
      t.plain('attn_sinks.weight', heads, 1),
      ...mixed(t),
      ...mixedBiases(t),
    ],
  },
  deepseek2: { metadata: latentMetadata(), block: latentBlock },
  mamba: {
    metadata: [...spaces, ...count(['attention.head_count', 0], ['feed_forward_length', 0])],
    block: (t) => [t.ones('attn_norm', width), ...firstStateSpace(t)],
  },
  granitehybrid: {
    metadata: hybridMetadata(),
    block: (t, layer) =>
      attends(layer)
        ? [...attention(t), ...dense(t)]
        : [t.ones('attn_norm', width), ...secondStateSpace(t), t.ones('ffn_norm', width), ...dense(t)],
  },
};

/** The model as `writeGguf` takes it. */
export function architectureModel(name) {
  const shape = architectureShapes[name];
  const architecture = shape.of ?? name;
  const vocabulary = byteVocabulary(inventedWords(words));
  const shared = [
    ['context_length', kv.u32(contextTokens)],
    ['embedding_length', kv.u32(width)],
    ['block_count', kv.u32(layers)],
    ['feed_forward_length', kv.u32(feedForward)],
    ['attention.layer_norm_rms_epsilon', kv.f32(1e-6)],
    ['rope.freq_base', kv.f32(10000)],
  ];
  const own = [...new Map([...shared, ...shape.metadata])].map(([key, value]) => [`${architecture}.${key}`, value]);
  const tensors = tensorMaker(shape.quantised ?? 'Q8_0');
  return {
    metadata: [
      ['general.architecture', kv.string(architecture)],
      ['general.type', kv.string('model')],
      ['general.name', kv.string(`random-${name}`)],
      ['general.license', kv.string('mit')],
      ['general.file_type', kv.u32(7)],
      ...own,
      ...vocabulary.metadata,
    ],
    tensors: [
      tensors.matrix('token_embd.weight', width, vocabulary.size),
      tensors.ones('output_norm', width),
      ...(shape.untied ? [tensors.matrix('output.weight', width, vocabulary.size)] : []),
      ...Array.from({ length: layers }, (_, layer) => shape.block(tensors.of(layer), layer)).flat(),
    ],
  };
}

/** Makes tensors with seeds of their own; `of(layer)` puts the names under that layer. */
function tensorMaker(type, prefix = '', seeds = { last: 0 }) {
  const plain = (name, columns, rows, deviation = 0.05, shift = 0) => ({
    name: prefix + name,
    type: 'F32',
    shape: rows === 1 ? [columns] : [columns, rows],
    data: randomF32(++seeds.last, columns, rows, deviation, shift),
  });
  return {
    matrix: (name, columns, rows, depth = 1) => ({
      name: prefix + name,
      type,
      shape: depth === 1 ? [columns, rows] : [columns, rows, depth],
      data: randomBlocks(type, ++seeds.last, columns, rows * depth, 1 / Math.sqrt(columns)),
    }),
    ones: (name, size) => ({
      name: `${prefix}${name}.weight`,
      type: 'F32',
      shape: [size],
      data: constantF32(size, 1),
    }),
    plain,
    /** As `plain`, with the two extents written even where one of them is 1. */
    table: (name, columns, rows, deviation, shift) => ({
      ...plain(name, columns, rows, deviation, shift),
      shape: [columns, rows],
    }),
    of: (layer) => tensorMaker(type, `blk.${layer}.`, seeds),
  };
}

function randomF32(seed, columns, rows, deviation, shift) {
  const next = seededRandom(seed);
  return rowsF32(columns, rows, (row) => {
    for (let i = 0; i < columns; i++) row[i] = shift + deviation * (next() / 2 ** 31 - 1);
  });
}

function attention(t) {
  return [
    t.ones('attn_norm', width),
    t.matrix('attn_q.weight', width, heads * headWidth),
    t.matrix('attn_k.weight', width, keyValueHeads * headWidth),
    t.matrix('attn_v.weight', width, keyValueHeads * headWidth),
    t.matrix('attn_output.weight', heads * headWidth, width),
    t.ones('ffn_norm', width),
  ];
}

function headNorms(t) {
  return [t.ones('attn_q_norm', headWidth), t.ones('attn_k_norm', headWidth)];
}

function biases(t, parts) {
  const wide = { q: heads * headWidth, k: keyValueHeads * headWidth, v: keyValueHeads * headWidth, output: width };
  return parts.map((part) => t.plain(`attn_${part}.bias`, wide[part], 1));
}

function dense(t) {
  return [
    t.matrix('ffn_gate.weight', width, feedForward),
    t.matrix('ffn_up.weight', width, feedForward),
    t.matrix('ffn_down.weight', feedForward, width),
  ];
}

function mixed(t) {
  return [
    t.table('ffn_gate_inp.weight', width, experts.count),
    t.matrix('ffn_gate_exps.weight', width, experts.feedForward, experts.count),
    t.matrix('ffn_up_exps.weight', width, experts.feedForward, experts.count),
    t.matrix('ffn_down_exps.weight', experts.feedForward, width, experts.count),
  ];
}

function mixedBiases(t) {
  return [
    t.plain('ffn_gate_inp.bias', experts.count, 1),
    t.table('ffn_gate_exps.bias', experts.feedForward, experts.count),
    t.table('ffn_up_exps.bias', experts.feedForward, experts.count),
    t.table('ffn_down_exps.bias', width, experts.count),
  ];
}

function latentMetadata() {
  return [
    ...mixture,
    ...count(
      ['attention.head_count', heads],
      ['attention.head_count_kv', 1],
      ['attention.q_lora_rank', latent.query],
      ['attention.kv_lora_rank', latent.keyValue],
      ['attention.key_length', latent.keyValue + latent.rope],
      ['attention.value_length', latent.keyValue],
      ['attention.key_length_mla', latent.plain + latent.rope],
      ['attention.value_length_mla', headWidth],
      ['rope.dimension_count', latent.rope],
      ['leading_dense_block_count', 1],
      ['expert_shared_count', 1],
    ),
  ];
}

function latentBlock(t, layer) {
  const shared = experts.feedForward;
  return [
    t.ones('attn_norm', width),
    t.ones('attn_q_a_norm', latent.query),
    t.ones('attn_kv_a_norm', latent.keyValue),
    t.matrix('attn_q_a.weight', width, latent.query),
    t.matrix('attn_q_b.weight', latent.query, heads * (latent.plain + latent.rope)),
    t.matrix('attn_kv_a_mqa.weight', width, latent.keyValue + latent.rope),
    t.matrix('attn_k_b.weight', latent.plain, latent.keyValue, heads),
    t.matrix('attn_v_b.weight', latent.keyValue, headWidth, heads),
    t.matrix('attn_output.weight', heads * headWidth, width),
    t.ones('ffn_norm', width),
    ...(layer === 0
      ? dense(t)
      : [
          ...mixed(t),
          t.matrix('ffn_gate_shexp.weight', width, shared),
          t.matrix('ffn_up_shexp.weight', width, shared),
          t.matrix('ffn_down_shexp.weight', shared, width),
        ]),
  ];
}

/** State spaces of the first kind: a decay for each cell of the state. */
function firstStateSpace(t) {
  const { inner, state, convolution, rank } = stateSpace;
  return [
    t.matrix('ssm_in.weight', width, 2 * inner),
    t.table('ssm_conv1d.weight', convolution, inner, 0.3),
    t.plain('ssm_conv1d.bias', inner, 1),
    t.matrix('ssm_x.weight', inner, rank + 2 * state),
    t.table('ssm_dt.weight', rank, inner, 0.3),
    t.plain('ssm_dt.bias', inner, 1),
    t.table('ssm_a', state, inner, 0.5, -1),
    t.plain('ssm_d', inner, 1),
    t.matrix('ssm_out.weight', inner, width),
  ];
}

/** Of the second kind: one decay for a head. */
function secondStateSpace(t) {
  const { inner, state, convolution, rank } = stateSpace;
  return [
    t.matrix('ssm_in.weight', width, 2 * inner + 2 * state + rank),
    t.table('ssm_conv1d.weight', convolution, inner + 2 * state, 0.3),
    t.plain('ssm_conv1d.bias', inner + 2 * state, 1),
    t.plain('ssm_dt.bias', rank, 1),
    t.table('ssm_a', 1, rank, 0.5, -1),
    t.table('ssm_d', 1, rank),
    t.table('ssm_norm.weight', inner, 1, 0, 1),
    t.matrix('ssm_out.weight', inner, width),
  ];
}

function hybridMetadata() {
  const perLayer = Array.from({ length: layers }, (_, layer) => (attends(layer) ? keyValueHeads : 0));
  return [
    ...grouped,
    ...spaces,
    ['ssm.group_count', kv.u32(1)],
    ['attention.head_count_kv', kv.array('u32', perLayer)],
  ];
}
