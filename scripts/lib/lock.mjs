// @ts-check
/**
 * A lock file that dies with its owner: two people typing `npm start` in the same second must not both build or both
 * start. Knows nothing about what it guards.
 */
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, startTokenOf } from './process-identity.mjs';
import { ScriptError } from './script-error.mjs';

const pollMs = 250;

/**
 * @template T
 * @param {string} file
 * @param {{ waitMs: number, onWait: (pid: number) => void }} options
 * @param {() => Promise<T>} body runs while we hold the lock
 * @returns {Promise<T>}
 */
export async function withLock(file, { waitMs, onWait }, body) {
  mkdirSync(path.dirname(file), { recursive: true });
  const deadlineMs = performance.now() + waitMs;
  let told = false;
  while (!tryLock(file)) {
    const owner = readOwner(file);
    if (!owner || !isRunning(owner)) {
      rmSync(file, { force: true });
      continue;
    }
    if (performance.now() > deadlineMs) {
      throw new ScriptError(`process ${owner.pid} is still busy with the same thing`, {
        remedy: `wait for it, or end it and remove ${file}`,
      });
    }
    if (!told) onWait(owner.pid);
    told = true;
    await sleep(pollMs);
  }
  try {
    return await body();
  } finally {
    rmSync(file, { force: true });
  }
}

/**
 * A link, so that the file is whole the moment it exists.
 * @param {string} file
 */
function tryLock(file) {
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, JSON.stringify({ pid: process.pid, startToken: startTokenOf(process.pid) }));
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

/**
 * @param {string} file
 * @returns {import('./process-identity.mjs').ProcessIdentity | undefined}
 */
function readOwner(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
