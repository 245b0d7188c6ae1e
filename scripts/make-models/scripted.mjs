/**
 * Scripted models: a transformer whose weights are a table of successors. Attention output and feed-forward output are
 * zero, so the last hidden state is the embedding of the last token; the embedding names a place in the sentence and the
 * output row of the next phrase answers to that place. Every token that is not a phrase names place 0, the beginning. This
 * file holds the sentences and the weights; files and sets are made elsewhere.
 */
import { kv } from './gguf-format.mjs';
import { constantF32, rowsF32 } from './tensor-data.mjs';
import { borrowedTemplate, byteVocabulary, endToken, firstWordToken } from './vocabulary.mjs';

const width = 64;
const feedForward = 32;
const heads = 2;
const contextTokens = 32768;
/** Times the norm's factor of sqrt(width) this is the winning logit, 64 above all others: no usual sampler leaves the path. */
const strength = 8;

const howToGoOn = 'For real answers start the server with a GGUF file of your own: npm start -- --model FILE.gguf';

const trades = {
  router: 'With a real model in my place I would judge how hard each task is and name the model that should take it.',
  fast: 'With a real model in my place I would answer the easy questions quickly.',
  general: 'With a real model in my place I would answer whatever no specialist takes.',
  coder: 'With a real model in my place I would write, explain and repair program code.',
  reasoner: 'With a real model in my place I would think a hard problem through step by step.',
  planner: 'With a real model in my place I would break a large task into steps in a sensible order.',
  critic: 'With a real model in my place I would check the work of the others and say what is wrong with it.',
  summarizer: 'With a real model in my place I would make long texts short.',
};

const texts = {
  scripted: `This is the scripted test model, a demo of fixed weights. ${howToGoOn}`,
  ...Object.fromEntries(
    Object.entries(trades).map(([role, trade]) => [
      role,
      `This is ${role}, a demo model: it knows one sentence and gives it to every prompt. ${trade} ${howToGoOn}`,
    ]),
  ),
};

/** Names that have a script, in a fixed order. */
export const scriptedNames = [...Object.keys(texts), 'utf8'];

/** A note and a snowman, each cut in the middle of its bytes, so that no delta may end where a token ends. */
const splitCharacters = [
  'Two characters ',
  'in halves: ',
  Buffer.from([0xf0, 0x9f]),
  Buffer.from([0x8e, 0xb5]),
  ' and then ',
  Buffer.from([0xe2, 0x98]),
  Buffer.from([0x83]),
  ' and the end.',
];

const weatherCall = [
  '<tool_call>',
  '\n{"name": ',
  '"get_weather", ',
  '"arguments": ',
  '{"city": ',
  '"Paris", ',
  '"days": 3',
  '}}\n',
  '</tool_call>',
];

/** Answers in the form that the template of Qwen3 asks for: thoughts, calls of tools. */
const chats = {
  thinker: [
    '<think>',
    '\nI look ',
    'at the question. ',
    'It is easy.\n',
    '</think>',
    '\n\nThe answer ',
    'is forty-two.',
  ],
  caller: weatherCall,
  'thinking-caller': ['<think>', '\nNot <tool_call> ', 'yet.\n', '</think>', '\n\nLet me look.\n', ...weatherCall],
};

/** Names of the scripts with a chat template that knows reasoning and tools. */
export const chatNames = Object.keys(chats);

function tokensOf(name) {
  if (name === 'utf8') return splitCharacters;
  if (chats[name] !== undefined) return chats[name];
  const text = texts[name];
  if (text === undefined) throw new Error(`no script for "${name}"; there are ${scriptedNames.join(', ')}`);
  return splitText(text);
}

/** Two words to a phrase, with the spaces before them. */
function splitText(text) {
  const words = text.split(/(?= )/);
  const phrases = [];
  for (let i = 0; i < words.length; i += 2) phrases.push(words.slice(i, i + 2).join(''));
  return phrases;
}

/** The answer of a scripted model, one string per token; the half characters of 'utf8' are joined to whole ones. */
export function scriptedPhrases(name) {
  if (name !== 'utf8') return tokensOf(name);
  return ['Two characters ', 'in halves: ', '🎵', ' and then ', '☃', ' and the end.'];
}

/** The whole answer of a scripted model. */
export function scriptedSentence(name) {
  return Buffer.concat(tokensOf(name).map((token) => Buffer.from(token))).toString('utf8');
}

/** One of `chatNames` as `writeGguf` takes it. */
export async function chatModel(name, llamaCppDir) {
  return scriptedModel(name, await borrowedTemplate(llamaCppDir, 'Qwen-Qwen3-0.6B'));
}

/** The model as `writeGguf` takes it. */
export function scriptedModel(name, template) {
  const phrases = tokensOf(name);
  if (phrases.length >= width) throw new Error(`the sentence of ${name} has more phrases than the model is wide`);
  const vocabulary = byteVocabulary(phrases, template);
  return {
    metadata: [...metadata(name), ...vocabulary.metadata],
    tensors: [
      matrix('token_embd.weight', width, vocabulary.size, (row, token) => {
        row[token < firstWordToken ? 0 : token - firstWordToken + 1] = 1;
      }),
      matrix('output.weight', width, vocabulary.size, (row, token) => fillOutputRow(row, token, phrases.length)),
      vector('output_norm.weight'),
      ...block(),
    ],
  };
}

/** Past the last phrase comes the end; the first phrase comes second there, so that ignoring the end repeats the sentence. */
function fillOutputRow(row, token, phraseCount) {
  if (token >= firstWordToken) row[token - firstWordToken] = strength;
  if (token === firstWordToken) row[phraseCount] = strength / 2;
  if (token === endToken) row[phraseCount] = strength;
}

function metadata(name) {
  return [
    ['general.architecture', kv.string('llama')],
    ['general.type', kv.string('model')],
    ['general.name', kv.string(name)],
    ['general.description', kv.string('Demo: always answers one sentence')],
    ['general.license', kv.string('mit')],
    ['general.file_type', kv.u32(0)],
    ['llama.context_length', kv.u32(contextTokens)],
    ['llama.embedding_length', kv.u32(width)],
    ['llama.block_count', kv.u32(1)],
    ['llama.feed_forward_length', kv.u32(feedForward)],
    ['llama.attention.head_count', kv.u32(heads)],
    ['llama.attention.head_count_kv', kv.u32(1)],
    ['llama.attention.layer_norm_rms_epsilon', kv.f32(1e-5)],
    ['llama.rope.dimension_count', kv.u32(width / heads)],
  ];
}

function block() {
  const keyWidth = width / heads;
  const zeros = (name, columns, rows) => matrix(`blk.0.${name}.weight`, columns, rows, () => undefined);
  return [
    vector('blk.0.attn_norm.weight'),
    zeros('attn_q', width, width),
    zeros('attn_k', width, keyWidth),
    zeros('attn_v', width, keyWidth),
    zeros('attn_output', width, width),
    vector('blk.0.ffn_norm.weight'),
    zeros('ffn_gate', width, feedForward),
    zeros('ffn_up', width, feedForward),
    zeros('ffn_down', feedForward, width),
  ];
}

function matrix(name, columns, rows, fillRow) {
  return { name, type: 'F32', shape: [columns, rows], data: rowsF32(columns, rows, fillRow) };
}

function vector(name) {
  return { name, type: 'F32', shape: [width], data: constantF32(width, 1) };
}
