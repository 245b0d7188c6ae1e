/**
 * Model files for tests, made on demand into `.cache/models` (git ignores it) by scripts/make-models. The first call writes
 * the file, later calls cost one look at the manifest. Knows no engine and no server; every function returns an absolute
 * path. Files that borrow a vocabulary (bench, embedder, reranker) need the llama.cpp tree: `vendor/llama.cpp`, or
 * LLAMA_CPP_DIR.
 */
import { fileURLToPath } from 'node:url';
import {
  makeModels,
  scriptedPhrases as phrasesOf,
  scriptedSentence as sentenceOf,
} from '../../scripts/make-models/index.mjs';

/** The roles of the demo profile that generate text; each has a sentence of its own. */
export type ScriptedRole = 'router' | 'fast' | 'general' | 'coder' | 'reasoner' | 'planner' | 'critic' | 'summarizer';

/** All ten roles of the demo profile. */
export type DemoRole = ScriptedRole | 'embedder' | 'reranker';

/** The folder the files are made in; it can serve as `$LLAMAESTRO_HOME/models`, `demo/router.gguf` and so on lie in it. */
export const modelsDirectory = fileURLToPath(new URL('../../.cache/models', import.meta.url));

/** Answers `scriptedSentence('scripted')` to every prompt, then end of text; under `ignore_eos` it starts again. One token per byte of prompt. */
export async function scriptedModel(): Promise<string> {
  return makeOne('test', 'scripted');
}

/** Answers with a note and a snowman whose bytes are split over two tokens each: no delta may end inside one. */
export async function splitCharacterModel(): Promise<string> {
  return makeOne('test', 'utf8');
}

/** Answers in the form of Qwen3, whose template it has: with a thought, with a call of get_weather, with both. */
export async function chatModel(name: 'thinker' | 'caller' | 'thinking-caller'): Promise<string> {
  return makeOne('test', name);
}

/** Two layers of random weights and a vocabulary of bytes and syllables: what it says depends on the prompt and rarely ends by itself. */
export async function tinyModel(): Promise<string> {
  return makeOne('test', 'tiny');
}

/** Goes on as its prompt began: after a token it says what followed that token before. One token per byte of prompt. */
export async function copierModel(): Promise<string> {
  return makeOne('test', 'copier');
}

/** About 28M random weights, one token per byte of prompt: 2000 tokens of prompt take about a second or more on two cores. */
export async function prefillModel(): Promise<string> {
  return makeOne('test', 'prefill');
}

/** Eight layers of random weights that keep a state instead of a cache (Mamba); a vocabulary of bytes. */
export async function recurrentModel(): Promise<string> {
  return makeOne('architectures', 'mamba');
}

/** BERT shape, mean pooling, 512 tokens; texts that share words get similar vectors. */
export async function embedderModel(): Promise<string> {
  return makeOne('test', 'embedder');
}

/** BERT shape with a classification head (pooling "rank"), 512 tokens. */
export async function rerankerModel(): Promise<string> {
  return makeOne('test', 'reranker');
}

/** Random weights in a benchmark shape: '15m' llama (32,000 tokens of vocabulary), '150m' qwen3 (151,936); both Q8_0. */
export async function benchModel(shape: '15m' | '150m'): Promise<string> {
  return makeOne('bench', shape);
}

/** One file of the demo profile. */
export async function demoModel(role: DemoRole): Promise<string> {
  return makeOne('demo', role);
}

/** The folder with the ten files of the dev profile: true headers and shapes, holes for weights. */
export async function devSparseModels(): Promise<string> {
  await makeModels({ out: modelsDirectory, set: 'dev-sparse' });
  return `${modelsDirectory}/dev-sparse`;
}

/** Makes all ten files of the demo profile; returns the models folder that holds `demo/ROLE.gguf`. */
export async function demoModels(): Promise<string> {
  await makeModels({ out: modelsDirectory, set: 'demo' });
  return modelsDirectory;
}

/** The whole answer of a scripted model: 'scripted' (`scriptedModel`), 'utf8' (`splitCharacterModel`) or a role of the demo profile. */
export function scriptedSentence(name: 'scripted' | 'utf8' | ScriptedRole = 'scripted'): string {
  return sentenceOf(name);
}

/** The same answer as the pieces its tokens stand for, in order; joined they are `scriptedSentence`. */
export function scriptedPhrases(name: 'scripted' | 'utf8' | ScriptedRole = 'scripted'): readonly string[] {
  return phrasesOf(name);
}

async function makeOne(set: 'demo' | 'test' | 'bench' | 'architectures', name: string): Promise<string> {
  const [made] = await makeModels({ out: modelsDirectory, set, only: name });
  if (made === undefined) throw new Error(`no model ${name} in the set ${set}`);
  return made.path;
}
