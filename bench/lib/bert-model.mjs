/**
 * A random BERT of the shape of a small real embedder (12 layers, 384 wide, 22M weights beside the vocabulary, Q8_0), as
 * embedder or as reranker: the demo ones are too small to measure more than the way there.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { defaultLlamaCppDir } from '../../scripts/make-models/index.mjs';
import { kv } from '../../scripts/make-models/gguf-format.mjs';
import { writeGguf } from '../../scripts/make-models/gguf-writer.mjs';
import { constantF32, randomQ8, rowsF32 } from '../../scripts/make-models/tensor-data.mjs';
import { borrowedVocabulary } from '../../scripts/make-models/vocabulary.mjs';
import { MODELS } from './models.mjs';

const [width, layers, heads, feedForward, contextTokens] = [384, 12, 12, 1536, 512];
const pooling = { embed: 1, rank: 4 };

/** The path of the 'embed' or 'rank' model, made by the first call. */
export async function bertModel(kind) {
  const path = join(MODELS, 'bench', `bert-${kind}.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(join(MODELS, 'bench'), { recursive: true });
  const vocabulary = await borrowedVocabulary(defaultLlamaCppDir(), 'bert-bge');
  const blocks = Array.from({ length: layers }, (_, layer) => blockTensors(`blk.${layer}`)).flat();
  const tensors = [...inputTensors(vocabulary.size), ...blocks, ...(kind === 'rank' ? headTensors() : [])];
  await writeGguf(path, { metadata: [...metadata(kind), ...vocabulary.metadata], tensors });
  return path;
}

function metadata(kind) {
  return [
    ['general.architecture', kv.string('bert')],
    ['general.name', kv.string(`random-bert-${kind}`)],
    ['general.file_type', kv.u32(7)],
    ['bert.context_length', kv.u32(contextTokens)],
    ['bert.embedding_length', kv.u32(width)],
    ['bert.block_count', kv.u32(layers)],
    ['bert.feed_forward_length', kv.u32(feedForward)],
    ['bert.attention.head_count', kv.u32(heads)],
    ['bert.attention.layer_norm_epsilon', kv.f32(1e-12)],
    ['bert.attention.causal', kv.bool(false)],
    ['bert.pooling_type', kv.u32(pooling[kind])],
  ];
}

let seed = 0;
const random = (name, columns, rows, deviation = 1 / Math.sqrt(columns)) => ({
  name: `${name}.weight`,
  type: 'Q8_0',
  shape: [columns, rows],
  data: randomQ8(++seed, columns, rows, deviation),
});
const constant = (name, count, value) => ({ name, type: 'F32', shape: [count], data: constantF32(count, value) });
const norm = (name) => [constant(`${name}.weight`, width, 1), constant(`${name}.bias`, width, 0)];
const plain = (name, rows, fill) => ({ name, type: 'F32', shape: [width, rows], data: rowsF32(width, rows, fill) });
const wave = (row, at) => row.forEach((_, column) => (row[column] = Math.sin(at * (column + 1)) / 4));

function inputTensors(vocabularySize) {
  return [
    random('token_embd', width, vocabularySize, 1),
    plain('token_types.weight', 2, () => {}),
    plain('position_embd.weight', contextTokens, wave),
    ...norm('token_embd_norm'),
  ];
}

function blockTensors(block) {
  return [
    ...['attn_q', 'attn_k', 'attn_v', 'attn_output'].map((name) => random(`${block}.${name}`, width, width)),
    ...norm(`${block}.attn_output_norm`),
    random(`${block}.ffn_up`, width, feedForward),
    random(`${block}.ffn_down`, feedForward, width),
    ...norm(`${block}.layer_output_norm`),
  ];
}

function headTensors() {
  return [
    plain('cls.weight', width, wave),
    constant('cls.bias', width, 0),
    plain('cls.output.weight', 1, (row) => wave(row, 1)),
    constant('cls.output.bias', 1, 0),
  ];
}
