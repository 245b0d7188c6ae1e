/** Facts about model files that exist only in a test. */
import type { GgufHeader } from '../../src/store/gguf-header.js';
import type { ModelFacts } from '../../src/store/model-facts.js';

export const HEADER: GgufHeader = {
  version: 3,
  architecture: 'llama',
  name: 'test',
  purpose: 'generate',
  blockCount: 2,
  contextLength: 32_768,
  embeddingLength: 64,
  vocabSize: 100,
  hasChatTemplate: true,
  quantisation: 'Q8_0',
  parameterCount: 1000,
  tensorCount: 1,
  tensorBytes: 1000,
  splitCount: 1,
  fileBytes: 2000,
};

export type GoodFacts = Extract<ModelFacts, { state: 'good' }>;

export function goodFacts(path: string, header: Partial<GgufHeader> = {}, more: Partial<GoodFacts> = {}): GoodFacts {
  return { state: 'good', path, bytes: 2000, mtimeMs: 1000, header: { ...HEADER, ...header }, ...more };
}

export function missingFacts(path: string): ModelFacts {
  return { state: 'missing', path, tried: [path] };
}

export function damagedFacts(path: string): ModelFacts {
  const error = { code: 'model_unusable', message: `${path}: the file is cut off`, remedy: 'again' } as const;
  return { state: 'damaged', path, bytes: 10, mtimeMs: 1, error };
}
