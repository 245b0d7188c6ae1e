// @ts-check
/**
 * Where things lie: the checkout, its build folders, and the folder for a person's own state. Knows the
 * platform's customs for user data and nothing about what is kept there.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Absolute path of the checkout. */
export const rootDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** False where this was installed as a package: those carry no src. */
export const isCheckout = existsSync(path.join(rootDir, 'src', 'engine'));

/**
 * The folder of a package that we depend on. An installed llamaestro finds it beside itself, not inside.
 * @param {string} name
 * @returns {string} absolute path
 */
export function packageDir(name) {
  return path.dirname(createRequire(path.join(rootDir, 'package.json')).resolve(`${name}/package.json`));
}

/** cmake's tree for the normal build; everything under it may be deleted at any time. */
export const buildDir = path.join(rootDir, 'build');

/** Logs of set-up steps. Beside cmake's tree, not in it, so that they outlive a clean. */
export const setupLogDir = path.join(rootDir, 'build', 'logs');

/** Input hashes of the steps that are up to date. */
export const stampDir = path.join(rootDir, 'build', 'stamps');

/** The addon that the engine room loads. */
export const addonFile = path.join(buildDir, 'Release', 'llamaestro.node');

/** Where the pinned llama.cpp is unpacked (unless LLAMA_CPP_DIR names another tree). */
export const vendoredLlamaDir = path.join(rootDir, 'vendor', 'llama.cpp');

/**
 * The folder for database, logs, pid file and models: `LLAMAESTRO_HOME`, or the platform's user data folder.
 * @param {Record<string, string | undefined>} env
 * @param {string} platform
 * @param {string} home the person's home folder
 * @returns {string} absolute path; it may not exist yet
 */
export function stateDir(env = process.env, platform = process.platform, home = env.HOME || homedir()) {
  if (env.LLAMAESTRO_HOME) return path.resolve(env.LLAMAESTRO_HOME);
  if (platform === 'darwin') return path.join(home, 'Library', 'Application Support', 'llamaestro');
  if (platform === 'win32') return path.join(env.LOCALAPPDATA || path.join(home, 'AppData', 'Local'), 'llamaestro');
  const xdg = env.XDG_DATA_HOME;
  return path.join(xdg && path.isAbsolute(xdg) ? xdg : path.join(home, '.local', 'share'), 'llamaestro');
}

/** A path as a person would type it from the checkout; unchanged when it lies elsewhere. */
export function shortPath(/** @type {string} */ file) {
  const relative = path.relative(process.cwd(), file);
  return relative && !relative.startsWith('..') ? relative : file;
}
