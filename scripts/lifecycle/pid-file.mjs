// @ts-check
/**
 * The file that says which gateway runs for one LLAMAESTRO_HOME. Only `start` and `stop` write it; a number that the
 * system gave to another process since then is recognised by its start time.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isRunning } from '../lib/process-identity.mjs';

/**
 * @typedef {object} GatewayRecord
 * @property {number} pid
 * @property {string} startToken
 * @property {string} url
 * @property {string} logPath
 * @property {string} startedAt ISO 8601
 * @property {import('./settings.mjs').Settings} settings
 */

/** @param {string} home */
export function pidFileOf(home) {
  return path.join(home, 'gateway.json');
}

/**
 * @param {string} home
 * @returns {GatewayRecord | undefined} undefined when no gateway of this home runs; a stale file is removed
 */
export function runningGateway(home) {
  const file = pidFileOf(home);
  if (!existsSync(file)) return undefined;
  const record = readRecord(file);
  if (record && isRunning(record)) return record;
  rmSync(file, { force: true });
  return undefined;
}

/**
 * @param {string} home
 * @param {GatewayRecord} record
 */
export function writeGatewayRecord(home, record) {
  mkdirSync(home, { recursive: true });
  const file = pidFileOf(home);
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, JSON.stringify(record, null, 2) + '\n');
  renameSync(draft, file);
}

/**
 * Removes the file if it still speaks of this process.
 * @param {string} home
 * @param {number} pid
 */
export function removeGatewayRecord(home, pid) {
  const file = pidFileOf(home);
  if (existsSync(file) && readRecord(file)?.pid === pid) rmSync(file, { force: true });
}

/**
 * @param {string} file
 * @returns {GatewayRecord | undefined}
 */
function readRecord(file) {
  try {
    const record = JSON.parse(readFileSync(file, 'utf8'));
    return typeof record?.pid === 'number' && typeof record.startToken === 'string' ? record : undefined;
  } catch {
    return undefined;
  }
}
