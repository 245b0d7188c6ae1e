// @ts-check
/**
 * Puts the pinned llama.cpp source in vendor/llama.cpp: fetch the package that carries it, check its integrity, check
 * the tree hash of the source inside, unpack what the build needs, apply our patches, record the licences. Knows
 * nothing about how it is built.
 */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { capture, npmCommand, run } from '../lib/exec.mjs';
import { rootDir, vendoredLlamaDir } from '../lib/paths.mjs';
import { ScriptError } from '../lib/script-error.mjs';
import { filesUnder, hashInputs, stampMatches, writeStamp } from '../lib/stamps.mjs';

const vendorDir = path.join(rootDir, 'vendor');
const pinFile = path.join(vendorDir, 'llama.cpp.json');
const cacheDir = path.join(vendorDir, 'cache');
const patchDir = path.join(vendorDir, 'patches');

/** Name of the stamp inside the unpacked tree; its content changes whenever the source does. */
export const vendorStampName = '.llamaestro-stamp';

const stampFile = path.join(vendoredLlamaDir, vendorStampName);

/**
 * @typedef {{ component: string, licence: string, file?: string, header?: string, lines?: number,
 *   text?: string }} Notice
 * @typedef {{ package: string, version: string, integrity: string, bundle: string, upstream: string, tag: string,
 *   tree: string, paths: string[], notices: Notice[] }} Pin
 */

/** @returns {Pin} what vendor/llama.cpp.json says */
export function readPin() {
  return JSON.parse(readFileSync(pinFile, 'utf8'));
}

/**
 * The llama.cpp tree to build from, made ready.
 * @param {{ status: (text: string) => void, logPath: string, env?: Record<string, string | undefined> }} context
 * @returns {Promise<{ dir: string, changed: boolean, own: boolean }>} `own`: LLAMA_CPP_DIR chose it, we touch nothing
 */
export async function ensureLlamaSource({ status, logPath, env = process.env }) {
  if (env.LLAMA_CPP_DIR) return { dir: checkOwnTree(env.LLAMA_CPP_DIR), changed: false, own: true };
  const pin = readPin();
  const patches = listPatches();
  const hash = sourceHash(pin, patches);
  if (stampMatches(stampFile, hash)) return { dir: vendoredLlamaDir, changed: false, own: false };

  mkdirSync(cacheDir, { recursive: true });
  const archive = await fetchPackage(pin, status, logPath);
  const work = mkdtempSync(path.join(vendorDir, '.unpack-'));
  try {
    const tree = path.join(work, 'tree');
    await unpackSource(pin, archive, work, tree, { status, logPath });
    const patched = await applyPatches(patches, tree, { status, logPath });
    writeNotices(pin, tree);
    writeFileSync(path.join(tree, '.patched-files'), patched.join('\n'));
    touchFormerlyPatched(tree);
    writeStamp(path.join(tree, vendorStampName), hash);
    replaceFolder(tree, vendoredLlamaDir, work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { dir: vendoredLlamaDir, changed: true, own: false };
}

/** @returns {boolean} whether there is nothing to fetch or unpack */
export function llamaSourceReady(env = process.env) {
  return Boolean(env.LLAMA_CPP_DIR) || stampMatches(stampFile, sourceHash(readPin(), listPatches()));
}

function listPatches() {
  return filesUnder(patchDir, (file) => file.endsWith('.patch'));
}

/**
 * @param {Pin} pin
 * @param {readonly string[]} patches
 */
function sourceHash({ tree, paths, notices }, patches) {
  return hashInputs({ files: patches, values: { tree, paths, notices } });
}

/** @param {string} dir */
function checkOwnTree(dir) {
  const tree = path.resolve(rootDir, dir);
  if (existsSync(path.join(tree, 'include', 'llama.h')) && existsSync(path.join(tree, 'CMakeLists.txt'))) return tree;
  throw new ScriptError(`LLAMA_CPP_DIR names ${tree}, which is not a llama.cpp source tree (no include/llama.h)`, {
    remedy: 'name a llama.cpp checkout, or unset LLAMA_CPP_DIR to use the pinned source',
  });
}

/**
 * @param {Pin} pin
 * @param {(text: string) => void} status
 * @param {string} logPath
 * @returns {Promise<string>} the package file, its integrity checked
 */
async function fetchPackage(pin, status, logPath) {
  const archive = path.join(cacheDir, `${pin.package}-${pin.version}.tgz`);
  if (existsSync(archive) && integrityOf(archive) === pin.integrity) return archive;
  status(`fetching ${pin.package} ${pin.version} (36 MB, carries llama.cpp ${pin.tag})`);
  rmSync(archive, { force: true });
  const npm = npmCommand();
  const wanted = `${pin.package}@${pin.version}`;
  await run(npm.command, [...npm.args, 'pack', wanted, '--ignore-scripts', '--pack-destination', cacheDir], {
    cwd: cacheDir,
    env: npmEnv(),
    logPath,
    what: `fetching ${wanted} from the package registry`,
    remedy: `check that npm reaches its registry (npm view ${pin.package} version), then run this again`,
  });
  const found = existsSync(archive) ? integrityOf(archive) : 'no file';
  if (found === pin.integrity) return archive;
  rmSync(archive, { force: true });
  throw new ScriptError(`the package ${wanted} is not the pinned one: expected ${pin.integrity}, got ${found}`, {
    remedy: 'do not build from it; check the registry that npm is set to use',
  });
}

/** @param {string} file */
function integrityOf(file) {
  return 'sha512-' + createHash('sha512').update(readFileSync(file)).digest('base64');
}

/**
 * @param {Pin} pin
 * @param {string} archive
 * @param {string} work an empty folder of ours
 * @param {string} tree where the source goes
 * @param {{ status: (text: string) => void, logPath: string }} context
 */
async function unpackSource(pin, archive, work, tree, { status, logPath }) {
  status(`checking and unpacking llama.cpp ${pin.tag}`);
  const env = cleanGitEnv();
  const bare = path.join(work, 'source.git');
  const tar = path.join(work, 'tree.tar');
  const bundle = path.join(work, ...pin.bundle.split('/'));
  const step = { cwd: work, env, logPath, what: 'unpacking llama.cpp' };
  await run('tar', ['-xzf', archive, pin.bundle], step);
  await run('git', ['clone', '-q', '--bare', bundle, bare], step);
  const found = capture('git', [`--git-dir=${bare}`, 'rev-parse', 'HEAD^{tree}'], { env })?.output.trim();
  if (found !== pin.tree) {
    throw new ScriptError(`the llama.cpp source has tree ${found}, not the pinned ${pin.tree}`, {
      remedy: 'do not build from it; the pin in vendor/llama.cpp.json and the package do not belong together',
    });
  }
  const archiveArgs = ['archive', '--format=tar', `--output=${tar}`, 'HEAD', ...pin.paths];
  await run('git', ['-c', 'core.autocrlf=false', `--git-dir=${bare}`, ...archiveArgs], step);
  mkdirSync(tree);
  await run('tar', ['-xf', tar], { ...step, cwd: tree });
}

/**
 * @param {readonly string[]} patches
 * @param {string} tree
 * @param {{ status: (text: string) => void, logPath: string }} context
 * @returns {Promise<string[]>} the files they touch, relative to the tree
 */
async function applyPatches(patches, tree, { status, logPath }) {
  const env = { ...cleanGitEnv(), GIT_CEILING_DIRECTORIES: path.dirname(tree) };
  /** @type {Set<string>} */
  const touched = new Set();
  for (const patch of patches) {
    status(`applying ${path.basename(patch)}`);
    await run('git', ['apply', '--whitespace=nowarn', '-p1', patch], {
      cwd: tree,
      env,
      logPath,
      what: `applying vendor/patches/${path.basename(patch)}`,
      remedy: 'make the patch again against the pinned source',
    });
    const numstat = capture('git', ['apply', '--numstat', '-p1', patch], { cwd: tree, env })?.output ?? '';
    for (const line of numstat.split('\n')) {
      const file = line.split('\t')[2];
      if (file) touched.add(file);
    }
  }
  return [...touched].sort();
}

/**
 * Unpacked files carry the date of the source, so a build tool would not notice that a patch was taken away again.
 * @param {string} tree
 */
function touchFormerlyPatched(tree) {
  const former = path.join(vendoredLlamaDir, '.patched-files');
  if (!existsSync(former)) return;
  const now = new Date();
  for (const name of readFileSync(former, 'utf8').split('\n')) {
    const file = path.join(tree, name);
    if (name && existsSync(file)) utimesSync(file, now, now);
  }
}

/**
 * @param {Pin} pin
 * @param {string} tree
 */
function writeNotices(pin, tree) {
  const parts = [
    `Licences of the third-party source that is built into the llamaestro addon.`,
    `${pin.upstream} ${pin.tag}, source tree ${pin.tree}.`,
  ];
  for (const notice of pin.notices) {
    const title = `${notice.component}: ${notice.licence}`;
    parts.push(`${title}\n${'-'.repeat(title.length)}\n\n${noticeText(notice, tree).trim()}`);
  }
  writeFileSync(path.join(tree, 'THIRD-PARTY-NOTICES'), parts.join('\n\n') + '\n');
}

/**
 * @param {Notice} notice
 * @param {string} tree
 * @returns {string}
 */
function noticeText(notice, tree) {
  if (notice.text) return notice.text;
  if (notice.file) return readFileSync(path.join(tree, notice.file), 'utf8');
  const lines = readFileSync(path.join(tree, notice.header ?? ''), 'utf8')
    .split('\n')
    .slice(0, notice.lines);
  return lines.map((line) => line.replace(/^(\/\/ ?|\/\*|\*\/)/, '')).join('\n');
}

/**
 * @param {string} from
 * @param {string} to
 * @param {string} work where the former folder is put before it goes
 */
function replaceFolder(from, to, work) {
  if (existsSync(to)) renameSync(to, path.join(work, 'former'));
  renameSync(from, to);
}

/** npm must fetch one package and nothing else, whatever the npm that runs an install script of ours was asked to do. */
function npmEnv() {
  const asked = /^npm_config_(workspaces?|include_workspace_root|global|location|dry_run|json|pack_destination)$/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !asked.test(name)));
}

/** git must not take a repository from the environment (a hook of this checkout, for one). */
function cleanGitEnv() {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_'));
  return Object.fromEntries(kept);
}
