/**
 * Model files on disk: which ones a folder holds, and which file a profile means by a relative name. Looks at names, sizes and
 * times only; what is inside a file is `gguf-header`'s.
 */
import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';

/** Folders below the models folder that are looked into. */
export const MAX_FOLDER_DEPTH = 8;
/** Entries of all folders together that one index looks at. */
export const MAX_INDEXED_ENTRIES = 20_000;
const EXTENSION = '.gguf';

/** A file as it was when looked at; equal size and time count as the same content. */
export interface ModelFile {
  /** Absolute. */
  readonly path: string;
  readonly bytes: number;
  readonly mtimeMs: number;
}

export interface IndexedFile extends ModelFile {
  /** As a profile can write it: relative to the models folder, with forward slashes. */
  readonly file: string;
}

export interface ModelIndex {
  /** In the order of their names. */
  readonly files: readonly IndexedFile[];
  /** False when a limit ended the search. */
  readonly complete: boolean;
}

/** Every GGUF file under `folder`; a folder that is missing or closed to us counts as empty. Follows links to files only. */
export async function indexModels(folder: string): Promise<ModelIndex> {
  const root = resolve(folder);
  const files: IndexedFile[] = [];
  let complete = true;
  let seen = 0;
  const pending = [{ path: root, depth: 0 }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const entries = await readdir(next.path, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      const path = join(next.path, entry.name);
      if (++seen > MAX_INDEXED_ENTRIES) return { files: sorted(files), complete: false };
      if (entry.isDirectory()) {
        if (next.depth < MAX_FOLDER_DEPTH) pending.push({ path, depth: next.depth + 1 });
        else complete = false;
      } else if (entry.name.toLowerCase().endsWith(EXTENSION)) {
        const found = await lookAt(path);
        if (found !== undefined) files.push({ ...found, file: relative(root, path).replaceAll('\\', '/') });
      }
    }
  }
  return { files: sorted(files), complete };
}

function sorted(files: readonly IndexedFile[]): readonly IndexedFile[] {
  return [...files].sort((a, b) => (a.file < b.file ? -1 : 1));
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
