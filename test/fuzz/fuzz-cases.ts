/**
 * Which files are damaged: small models of every architecture we can make, an embedder, a reranker, and the vocabularies
 * of the llama.cpp tree cut short. Cases take turns over them, so that a few already meet many kinds.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadOptions } from '../../src/engine/engine.js';
import { borrowedVocabulary, defaultLlamaCppDir, kv, makeModels, writeGguf } from '../../scripts/make-models/index.mjs';
import { modelsDirectory } from '../support/models.js';
import type { DamageKind } from './damage.js';
import type { FuzzCase } from './fuzz-run.js';

interface Base {
  readonly path: string;
  readonly purpose: LoadOptions['purpose'];
}

const VOCABULARIES = ['bert-bge', 'gpt-2', 'llama-bpe', 'llama-spm', 'phi-3', 'qwen2'];
/** Tokens kept of a borrowed vocabulary, so that a load takes milliseconds. */
const VOCABULARY_TOKENS = 1500;

/** Makes the files where they are missing. */
export async function fuzzBases(): Promise<readonly Base[]> {
  const out = modelsDirectory;
  const generators = await makeModels({ out, set: 'architectures' });
  const scripted = await makeModels({ out, set: 'test', only: 'scripted' });
  const [embedder] = await makeModels({ out, set: 'test', only: 'embedder' });
  const [reranker] = await makeModels({ out, set: 'test', only: 'reranker' });
  const bases: Base[] = [...generators, ...scripted].map(({ path }) => ({ path, purpose: 'generate' }));
  if (embedder !== undefined) bases.push({ path: embedder.path, purpose: 'embed' });
  if (reranker !== undefined) bases.push({ path: reranker.path, purpose: 'rerank' });
  for (const name of VOCABULARIES) bases.push({ path: await vocabularyFile(name), purpose: 'vocab' });
  return bases;
}

async function vocabularyFile(name: string): Promise<string> {
  const folder = join(modelsDirectory, 'fuzz');
  const path = join(folder, `${name}-${VOCABULARY_TOKENS}.gguf`);
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  const ids = Object.fromEntries(['bos', 'eos', 'unknown', 'padding', 'seperator', 'mask'].map((one) => [one, 5]));
  const vocabulary = await borrowedVocabulary(defaultLlamaCppDir(), name, { size: VOCABULARY_TOKENS, ids });
  await writeGguf(path, {
    metadata: [['general.architecture', kv.string('llama')], ...vocabulary.metadata],
    tensors: [],
  });
  return path;
}

/** `count` cases of one kind; seeds count up from `firstSeed`. */
export function casesOf(
  bases: readonly Base[],
  kind: DamageKind,
  count: number,
  firstSeed: number,
  file: string,
): readonly FuzzCase[] {
  return Array.from({ length: count }, (_, index) => {
    const seed = firstSeed + index;
    const { path, purpose } = bases[seed % bases.length] as Base;
    return { base: path, purpose, kind, seed, file };
  });
}
