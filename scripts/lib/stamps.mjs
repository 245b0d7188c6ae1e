// @ts-check
/**
 * Input hashes: a step is up to date when the hash of everything it reads equals the one written down after it last
 * succeeded. Knows nothing about the steps.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { rootDir } from './paths.mjs';

/**
 * All files under a folder, sorted, as absolute paths. A folder that is not there has none.
 * @param {string} folder
 * @param {(file: string) => boolean} [accept]
 * @returns {string[]}
 */
export function filesUnder(folder, accept = () => true) {
  if (!existsSync(folder)) return [];
  /** @type {string[]} */
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) found.push(...filesUnder(file, accept));
    else if (accept(file)) found.push(file);
  }
  return found.sort();
}

/**
 * One hash over file contents (with their paths) and plain values. A missing file counts as empty.
 * @param {{ files?: readonly string[], values?: unknown }} inputs
 * @returns {string} hexadecimal
 */
export function hashInputs({ files = [], values = null }) {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(values));
  for (const file of files) {
    hash.update(`\n${path.relative(rootDir, file)}\n`);
    if (existsSync(file)) hash.update(readFileSync(file));
  }
  return hash.digest('hex');
}

/**
 * @param {string} stampFile
 * @param {string} hash
 * @returns {boolean} whether the step that wrote this stamp had the same inputs
 */
export function stampMatches(stampFile, hash) {
  return existsSync(stampFile) && readFileSync(stampFile, 'utf8').trim() === hash;
}

/**
 * Writes a stamp in one move, so that a step cut short never looks done.
 * @param {string} stampFile
 * @param {string} hash
 */
export function writeStamp(stampFile, hash) {
  mkdirSync(path.dirname(stampFile), { recursive: true });
  const temporary = `${stampFile}.${process.pid}`;
  writeFileSync(temporary, hash + '\n');
  renameSync(temporary, stampFile);
}

/** @param {string} stampFile */
export function removeStamp(stampFile) {
  rmSync(stampFile, { force: true });
}
