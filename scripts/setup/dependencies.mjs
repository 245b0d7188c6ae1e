// @ts-check
/**
 * The npm packages: `npm ci` when what lies in node_modules is not what the lockfile says, and the one package that
 * has to be compiled, sqlite3.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { capture, findOnPath, npmCommand, run } from '../lib/exec.mjs';
import { rootDir, stampDir } from '../lib/paths.mjs';
import { hashInputs, stampMatches, writeStamp } from '../lib/stamps.mjs';
import { createProgressReader, progressText } from './build-progress.mjs';

const lockFile = path.join(rootDir, 'package-lock.json');
const installedFile = path.join(rootDir, 'node_modules', '.package-lock.json');
const sqliteDir = path.join(rootDir, 'node_modules', 'sqlite3');
const sqliteAddon = path.join(sqliteDir, 'build', 'Release', 'node_sqlite3.node');
const sqliteStamp = path.join(stampDir, 'sqlite3');

/** sqlite itself, the four files of its addon, and an empty one of node-addon-api. */
const sqliteObjects = 6;

/**
 * @typedef {{ version?: string, integrity?: string, optional?: boolean, devOptional?: boolean, link?: boolean }} Entry
 * @typedef {import('./steps.mjs').StepContext} StepContext
 */

/**
 * Whether everything that the lockfile wants is installed. Optional packages may be missing (other platforms).
 * @param {Record<string, Entry>} wanted `packages` of package-lock.json
 * @param {Record<string, Entry>} installed `packages` of node_modules/.package-lock.json
 * @returns {boolean}
 */
export function lockfileSatisfied(wanted, installed) {
  return Object.entries(wanted).every(([place, entry]) => {
    if (place === '' || entry.link) return true;
    const found = installed[place];
    if (!found) return Boolean(entry.optional || entry.devOptional);
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

/** @type {import('./steps.mjs').Step} */
export const packagesStep = {
  name: 'packages',
  upToDate: () => existsSync(installedFile) && lockfileSatisfied(readPackages(lockFile), readPackages(installedFile)),
  async run({ status, logPath }) {
    status('npm ci');
    const npm = npmCommand();
    await run(npm.command, [...npm.args, 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: rootDir,
      logPath,
      what: 'npm ci',
      remedy: 'check that npm reaches its registry, then run the same command again',
    });
  },
};

/** @type {import('./steps.mjs').Step} */
export const sqliteStep = {
  name: 'sqlite3',
  upToDate: () => existsSync(sqliteAddon) && (stampMatches(sqliteStamp, sqliteHash()) || adoptBuilt()),
  async run({ status, logPath, startedMs }) {
    const read = createProgressReader({ total: sqliteObjects });
    const npm = npmCommand();
    await run(npm.command, [...npm.args, 'rebuild', 'sqlite3', '--ignore-scripts=false', '--foreground-scripts'], {
      cwd: rootDir,
      env: { ...process.env, ...sqliteBuildEnv() },
      logPath,
      what: 'building sqlite3',
      remedy: headersFolder()
        ? 'the log says what the compiler did not like'
        : "Node's headers do not lie beside node and may not be downloadable here; install them (Debian, Ubuntu: the nodejs package of your Node version, or libnode-dev) or set npm_config_nodedir to a folder with include/node",
      onLine: (line) => {
        const progress = read(line);
        if (progress) status(progressText(progress, performance.now() - startedMs));
      },
    });
    writeStamp(sqliteStamp, sqliteHash());
  },
};

/** Environment for building sqlite3 from the source in its package, with Node's own headers where they lie. */
export function sqliteBuildEnv() {
  const headers = headersFolder();
  const ccache = findOnPath('ccache');
  return {
    npm_config_build_from_source: 'true',
    ...(headers ? { npm_config_nodedir: headers } : {}),
    ...(ccache && !process.env.CC && process.platform === 'linux' ? { CC: `${ccache} gcc`, CXX: `${ccache} g++` } : {}),
  };
}

/** @returns {string | undefined} the prefix under which Node's headers lie */
function headersFolder() {
  const chosen = process.env.npm_config_nodedir;
  const prefix = path.resolve(process.execPath, '../..');
  return [chosen, prefix].find((folder) => folder && existsSync(path.join(folder, 'include/node/node_api.h')));
}

function sqliteHash() {
  const { version } = JSON.parse(readFileSync(path.join(sqliteDir, 'package.json'), 'utf8'));
  return hashInputs({ values: { version, platform: process.platform, arch: process.arch } });
}

/** A binding that somebody else built, and that loads, is as good as ours. */
function adoptBuilt() {
  const loads = capture(process.execPath, ['-e', `require(${JSON.stringify(sqliteAddon)})`])?.status === 0;
  if (loads) writeStamp(sqliteStamp, sqliteHash());
  return loads;
}

/**
 * @param {string} file
 * @returns {Record<string, Entry>}
 */
function readPackages(file) {
  return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
}
