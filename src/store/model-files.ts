/**
 * Model files on disk: which file a profile means by a relative name. Looks at names, sizes and times only; what is inside
 * a file is `gguf-header`'s.
 */
import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';

/** A file as it was when looked at; equal size and time count as the same content. */
export interface ModelFile {
  /** Absolute. */
  readonly path: string;
  readonly bytes: number;
  readonly mtimeMs: number;
}

/** The file at `path`, links followed; undefined when there is none. */
export async function lookAt(path: string): Promise<ModelFile | undefined> {
  let stats: Stats;
  try {
    stats = await stat(path);
  } catch {
    return undefined;
  }
  return stats.isFile() ? { path: resolve(path), bytes: stats.size, mtimeMs: stats.mtimeMs } : undefined;
}

/** A relative name is looked for in each root in turn; `tried` is every path looked at, the first being the expected one. */
export interface FoundModel {
  readonly found: ModelFile | undefined;
  readonly tried: readonly string[];
}

/** Finds `file`, absolute or relative to one of `roots`. */
export async function findModelFile(file: string, roots: readonly string[]): Promise<FoundModel> {
  const candidates = isAbsolute(file) ? [file] : roots.map((root) => resolve(root, file));
  const tried: string[] = [];
  for (const path of candidates) {
    tried.push(path);
    const found = await lookAt(path);
    if (found !== undefined) return { found, tried };
  }
  return { found: undefined, tried };
}
