/**
 * All that is known about a model file before anything loads it: where it is, its identity, its header or what is wrong with
 * it. Headers are remembered by path, size and time, so that looking at a folder of profiles again costs nothing.
 */
import type { WireError } from '../base/errors.js';
import { toLlamaestroError } from '../base/errors.js';
import { readGgufHeader, type GgufHeader } from './gguf-header.js';
import { findModelFile } from './model-files.js';

/** Headers remembered; the one unused the longest goes. */
export const MAX_REMEMBERED_HEADERS = 256;

export type ModelFacts =
  | { readonly state: 'missing'; readonly path: string; readonly tried: readonly string[] }
  | {
      readonly state: 'damaged';
      readonly path: string;
      readonly bytes: number;
      readonly mtimeMs: number;
      readonly error: WireError;
    }
  | {
      readonly state: 'good';
      readonly path: string;
      readonly bytes: number;
      readonly mtimeMs: number;
      readonly header: GgufHeader;
    };

/** Looks `file` up, absolute or relative to the roots. Never rejects for what is wrong with the file. */
export type LookUpModel = (file: string, roots: readonly string[]) => Promise<ModelFacts>;

/** A look-up with a memory of its own. */
export function createModelLookUp(): LookUpModel {
  const remembered = new Map<string, ModelFacts>();
  return async (file, roots) => {
    const { found, tried } = await findModelFile(file, roots);
    if (found === undefined) return { state: 'missing', path: tried[0] ?? file, tried };
    const key = JSON.stringify(found);
    const known = remembered.get(key);
    remembered.delete(key);
    const facts = known ?? (await inspect(found));
    remembered.set(key, facts);
    const [oldest] = remembered.keys();
    if (remembered.size > MAX_REMEMBERED_HEADERS && oldest !== undefined) remembered.delete(oldest);
    return facts;
  };
}

async function inspect(file: {
  readonly path: string;
  readonly bytes: number;
  readonly mtimeMs: number;
}): Promise<ModelFacts> {
  try {
    return { state: 'good', ...file, header: await readGgufHeader(file.path) };
  } catch (error) {
    return { state: 'damaged', ...file, error: toLlamaestroError(error).toWire() };
  }
}
