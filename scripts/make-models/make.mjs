/**
 * Makes the models of a set under a folder, once: a manifest there remembers which content each file has, so that a second
 * run costs a few stats. The content version is a hash of the files of this folder; whoever edits a recipe gets new models.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeGguf } from './gguf-writer.mjs';
import { fileOf, sets } from './sets.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const manifestName = 'made-models.json';

/** Names of the sets. */
export const setNames = Object.keys(sets);

/** Makes what is missing or out of date under `out`; see index.d.mts. */
export async function makeModels({
  out,
  set = 'demo',
  only,
  llamaCppDir = defaultLlamaCppDir(),
  log = () => undefined,
}) {
  const names = namesOf(set, only);
  const version = await contentVersion();
  const root = resolve(out);
  const results = [];
  for (const name of names) {
    const file = fileOf(set, name);
    const path = join(root, file);
    const known = await upToDate(root, file, version);
    const bytes = known ?? (await makeOne({ root, file, version, recipe: sets[set].get(name), llamaCppDir }));
    if (known === undefined) log(`${file}: ${(bytes / 1e6).toFixed(1)} MB`);
    results.push({ name, path, bytes, made: known === undefined });
  }
  return results;
}

function namesOf(set, only) {
  const models = sets[set];
  if (models === undefined) throw new Error(`no set "${set}"; there are ${setNames.join(', ')}`);
  if (only === undefined) return [...models.keys()];
  if (!models.has(only))
    throw new Error(`no model "${only}" in the set ${set}; there are ${[...models.keys()].join(', ')}`);
  return [only];
}

async function makeOne({ root, file, version, recipe, llamaCppDir }) {
  const path = join(root, file);
  await mkdir(dirname(path), { recursive: true });
  const bytes = await writeGguf(path, await recipe(llamaCppDir));
  await remember(root, file, { version, bytes });
  return bytes;
}

/** Size of the file when manifest and disk agree that it is current, else undefined. */
async function upToDate(root, file, version) {
  const entry = (await readManifest(root))[file];
  if (entry?.version !== version) return undefined;
  const found = await stat(join(root, file)).catch(() => undefined);
  return found?.size === entry.bytes ? entry.bytes : undefined;
}

async function readManifest(root) {
  try {
    return JSON.parse(await readFile(join(root, manifestName), 'utf8'));
  } catch {
    return {};
  }
}

/** Two makers at once may lose one entry to each other: that file is made again next time, nothing worse. */
async function remember(root, file, entry) {
  const manifest = { ...(await readManifest(root)), [file]: entry };
  const path = join(root, manifestName);
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, `${JSON.stringify(manifest, null, 2)}\n`);
  await rename(temporary, path);
}

let versionPromise;

function contentVersion() {
  versionPromise ??= hashOwnFiles();
  return versionPromise;
}

async function hashOwnFiles() {
  const hash = createHash('sha256');
  const files = (await readdir(here)).filter((name) => name.endsWith('.mjs')).sort();
  for (const name of files) hash.update(name).update(await readFile(join(here, name)));
  return hash.digest('hex').slice(0, 16);
}

/** LLAMA_CPP_DIR, else the tree that set-up unpacks. */
export function defaultLlamaCppDir() {
  return process.env['LLAMA_CPP_DIR'] || join(here, '..', '..', 'vendor', 'llama.cpp');
}
