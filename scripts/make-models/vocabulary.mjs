/**
 * Tokenizer metadata: small vocabularies of our own (bytes, specials and whole words that no prompt can tokenise to) and
 * vocabularies borrowed from the pinned llama.cpp tree, resized where a model has more or fewer tokens. Knows no weights.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kv } from './gguf-format.mjs';
import { readGgufHeader } from './gguf-reader.mjs';

const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 };

/** The marks that begin and end a turn in `chatTemplate`. */
const turnMarks = ['<|im_start|>', '<|im_end|>'];

/** The chat form of our own models, after the widespread ChatML. */
export const chatTemplate =
  "{%- for message in messages -%}{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}{%- endfor -%}" +
  "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}";

/** Words that are tokens in a prompt too, as in the vocabularies of models that think and call tools. */
const tags = ['<think>', '</think>', '<tool_call>', '</tool_call>'];

/** A space, as sentence-piece vocabularies write it; without a token of its own it would cost three bytes. */
const space = '\u2581';

/** Tokens before the words in a vocabulary of `byteVocabulary`: three specials, 256 bytes, two turn marks, the space. */
export const firstWordToken = 3 + 256 + turnMarks.length + 1;

/** End of text in a vocabulary of `byteVocabulary`. */
export const endToken = 2;

/**
 * A sentence-piece vocabulary in which every prompt becomes one token per byte. The words (strings or buffers, spaces
 * allowed) exist for output only: the tokenizer joins two neighbours at a time and only to known tokens, so a word of three or
 * more characters is out of its reach as long as no shorter token spells a part of it. The tags are the exception.
 * `template` replaces the chat template.
 */
export function byteVocabulary(words, template = chatTemplate) {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const tokens = ['<unk>', '<s>', '</s>', ...bytes, ...turnMarks, space, ...words.map(escapeSpaces)];
  const { unknown, control, userDefined, byte, normal } = tokenType;
  const typeOf = (word) => (tags.includes(word) ? userDefined : normal);
  const ownTypes = [...bytes.map(() => byte), ...turnMarks.map(() => control), normal];
  const types = [unknown, control, control, ...ownTypes, ...words.map(typeOf)];
  assertOutOfReach(words);
  return {
    size: tokens.length,
    metadata: [
      ['tokenizer.ggml.model', kv.string('llama')],
      ['tokenizer.ggml.pre', kv.string('default')],
      ['tokenizer.ggml.tokens', kv.array('string', tokens)],
      [
        'tokenizer.ggml.scores',
        kv.array(
          'f32',
          tokens.map(() => 0),
        ),
      ],
      ['tokenizer.ggml.token_type', kv.array('i32', types)],
      ['tokenizer.ggml.bos_token_id', kv.u32(1)],
      ['tokenizer.ggml.eos_token_id', kv.u32(endToken)],
      ['tokenizer.ggml.unknown_token_id', kv.u32(0)],
      ['tokenizer.ggml.add_bos_token', kv.bool(true)],
      ['tokenizer.ggml.add_eos_token', kv.bool(false)],
      ['tokenizer.ggml.add_space_prefix', kv.bool(false)],
      ['tokenizer.chat_template', kv.string(template)],
    ],
  };
}

/** Half characters (buffers) can stand beside each other; a prompt holds whole ones. */
function assertOutOfReach(words) {
  const texts = words.map((word) => word.toString('latin1'));
  if (new Set(texts).size !== texts.length) throw new Error('a vocabulary needs distinct words');
  const short = words.find((word) => typeof word === 'string' && [...word].length < 3);
  if (short !== undefined) throw new Error(`"${short}" is short enough for the tokenizer to reach`);
}

function escapeSpaces(word) {
  return typeof word === 'string' ? word.replaceAll(' ', space) : word;
}

/** Distinct invented words of two syllables with a leading space, for models that only have to say something. */
export function inventedWords(count) {
  const consonants = [...'bdfgklmnprstvz'];
  const vowels = [...'aeiou'];
  const syllables = consonants.flatMap((consonant) => vowels.map((vowel) => consonant + vowel));
  return Array.from({ length: count }, (_, index) => {
    const first = syllables[index % syllables.length];
    const second = syllables[(index * 31 + Math.floor(index / syllables.length) * 7 + 3) % syllables.length];
    return ` ${first}${second}`;
  });
}

/** A chat template of the llama.cpp tree (`models/templates/NAME.jinja`). */
export function borrowedTemplate(llamaCppDir, name) {
  return readFile(join(llamaCppDir, 'models', 'templates', `${name}.jinja`), 'utf8');
}

/**
 * The tokenizer of a vocabulary file of the llama.cpp tree (`models/ggml-vocab-NAME.gguf`), cut or filled with unused
 * tokens to `size` (default: as it is), with a chat template of the tree (`models/templates/NAME.jinja`) when named.
 * `ids` sets special tokens (`{ bos, eos, ... }`), `addBos` whether a prompt begins with one.
 */
export async function borrowedVocabulary(llamaCppDir, name, { size, template, ids = {}, addBos } = {}) {
  const path = join(llamaCppDir, 'models', `ggml-vocab-${name}.gguf`);
  const header = await readGgufHeader(path).catch((error) => {
    throw new Error(`vocabulary ${name}: ${error.message}; set LLAMA_CPP_DIR to a llama.cpp tree or run npm run setup`);
  });
  const metadata = [...header.metadata].filter(
    ([key]) => key.startsWith('tokenizer.') && key !== 'tokenizer.chat_template',
  );
  const tokenCount = header.metadata.get('tokenizer.ggml.tokens').value.length;
  const resized = size === undefined || size === tokenCount ? metadata : metadata.map((pair) => resize(pair, size));
  const settings = Object.entries(ids).map(([special, id]) => [`tokenizer.ggml.${special}_token_id`, kv.u32(id)]);
  if (addBos !== undefined) settings.push(['tokenizer.ggml.add_bos_token', kv.bool(addBos)]);
  const text = template && (await borrowedTemplate(llamaCppDir, template));
  const chat = text === undefined ? [] : [['tokenizer.chat_template', kv.string(text)]];
  return { size: size ?? tokenCount, metadata: [...new Map([...resized, ...settings, ...chat])] };
}

const fillers = {
  'tokenizer.ggml.tokens': (index) => `<extra_${index}>`,
  'tokenizer.ggml.scores': () => -1e6,
  'tokenizer.ggml.token_type': () => tokenType.unused,
};

/** Fewer tokens also mean fewer merges: a merge past the end would name a token that is gone. */
function resize([key, entry], size) {
  if (key === 'tokenizer.ggml.merges') return [key, kv.array('string', entry.value.slice(0, size))];
  const fill = fillers[key];
  if (fill === undefined) return [key, entry];
  const items = entry.value;
  const resized = Array.from({ length: size }, (_, index) => (index < items.length ? items[index] : fill(index)));
  return [key, kv.array(entry.elementType, resized)];
}
