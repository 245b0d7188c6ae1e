// @ts-check
/**
 * What has to be on the machine before anything can be built, and the command that installs what is missing. The
 * judgement is a pure function over what was found.
 */
import { capture, findOnPath } from '../lib/exec.mjs';
import { ScriptError } from '../lib/script-error.mjs';

/** The oldest versions that work. */
export const oldestNode = '20.19.0';
export const oldestCmake = '3.19.0';

/**
 * @typedef {{ name: string, why: string, install: Record<string, string> }} Tool
 * @typedef {{ platform: string, node: string, present: ReadonlySet<string>, cmake?: string, packageManager?: string,
 *   asRoot?: boolean }} Found `present` holds tool names that run; `cmake` is its version
 */

/** @type {readonly Tool[]} */
const tools = [
  tool('g++', 'compiles llama.cpp and the addon', { dnf: 'gcc-c++', pacman: 'gcc', zypper: 'gcc-c++' }),
  tool('make', 'builds sqlite3, and the addon where ninja is missing'),
  tool('python3', 'is what node-gyp, which builds sqlite3, is written in', {
    pacman: 'python',
    winget: 'Python.Python.3.12',
  }),
  tool('cmake', 'configures the build of llama.cpp', { winget: 'Kitware.CMake' }),
  tool('git', 'unpacks the pinned llama.cpp source', { winget: 'Git.Git' }),
  tool('tar', 'unpacks the package that carries llama.cpp'),
];

/** What a bare Windows needs instead of g++ and make. */
const windowsOnly = new Set(['python3', 'cmake', 'git', 'tar']);

const installers = Object.freeze({
  'apt-get': 'apt-get install -y',
  dnf: 'dnf install -y',
  pacman: 'pacman -S --needed',
  zypper: 'zypper install -y',
  apk: 'apk add',
  brew: 'brew install',
  winget: 'winget install',
});

/**
 * @param {string} name
 * @param {string} why
 * @param {Record<string, string>} [install] package names that differ from the program's
 * @returns {Tool}
 */
function tool(name, why, install = {}) {
  return { name, why, install };
}

/**
 * One sentence per thing that is missing or too old, each with what to do.
 * @param {Found} found
 * @returns {string[]} empty when everything is there
 */
export function missingPrerequisites(found) {
  /** @type {string[]} */
  const sentences = [];
  if (isOlder(found.node, oldestNode)) {
    sentences.push(`Node.js ${oldestNode} or newer is needed; this is ${found.node}. Install a newer Node.js.`);
  }
  for (const wanted of tools) {
    if (found.platform === 'win32' && !windowsOnly.has(wanted.name)) continue;
    if (!found.present.has(wanted.name)) {
      sentences.push(`${wanted.name} is missing: it ${wanted.why}. Install it: ${installCommand(wanted, found)}`);
    } else if (wanted.name === 'cmake' && found.cmake !== undefined && isOlder(found.cmake, oldestCmake)) {
      const command = installCommand(wanted, found);
      sentences.push(`cmake ${oldestCmake} or newer is needed; this is ${found.cmake}. Install it: ${command}`);
    }
  }
  return sentences;
}

/**
 * @param {Tool} wanted
 * @param {Found} found
 * @returns {string}
 */
function installCommand(wanted, found) {
  if (found.platform === 'darwin' && wanted.name !== 'cmake') return 'xcode-select --install';
  const manager = found.packageManager ?? (found.platform === 'darwin' ? 'brew' : undefined);
  if (!manager || !(manager in installers)) return `use your system's package manager (package ${wanted.name})`;
  const installer = installers[/** @type {keyof typeof installers} */ (manager)];
  const prefix = found.asRoot || manager === 'brew' || manager === 'winget' ? '' : 'sudo ';
  return `${prefix}${installer} ${wanted.install[manager] ?? wanted.name}`;
}

/**
 * @param {string} version
 * @param {string} oldest
 * @returns {boolean}
 */
export function isOlder(version, oldest) {
  const have = version.split('.').map(Number);
  const want = oldest.split('.').map(Number);
  for (let place = 0; place < want.length; place++) {
    const difference = (have[place] ?? 0) - (want[place] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/**
 * Stops with everything that is missing at once.
 * @param {{ addonOnly?: boolean }} [options] `addonOnly`: what only sqlite3 needs may be missing
 */
export function checkPrerequisites({ addonOnly = false } = {}) {
  const found = lookAround();
  const present = new Set([...found.present, ...(addonOnly ? ['python3'] : [])]);
  const sentences = missingPrerequisites({ ...found, present });
  if (sentences.length === 0) return;
  throw new ScriptError(`this machine lacks what the set-up needs:\n\n  - ${sentences.join('\n  - ')}\n`, {
    remedy: 'install the above, then run the same command again',
  });
}

/** @returns {Found} */
function lookAround() {
  const aliases =
    process.platform === 'win32' ? { python3: ['python3', 'python', 'py'] } : { 'g++': ['g++', 'clang++', 'c++'] };
  /** @type {Set<string>} */
  const present = new Set();
  for (const { name } of tools) {
    const names = /** @type {Record<string, string[]>} */ (aliases)[name] ?? [name];
    if (names.some((program) => findOnPath(program) && capture(program, ['--version'])?.status === 0))
      present.add(name);
  }
  const cmake = /(\d+\.\d+(\.\d+)?)/.exec(capture('cmake', ['--version'])?.output ?? '')?.[1];
  const packageManager = Object.keys(installers).find((name) => findOnPath(name));
  return {
    platform: process.platform,
    node: process.versions.node,
    present,
    asRoot: process.getuid?.() === 0,
    ...(cmake ? { cmake } : {}),
    ...(packageManager ? { packageManager } : {}),
  };
}
