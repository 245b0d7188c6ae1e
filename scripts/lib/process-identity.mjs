// @ts-check
/**
 * Telling a process from a later one with the same number: a token made of its start time. Also finds the processes
 * under one. Knows nothing about gateways.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { capture } from './exec.mjs';

/**
 * @typedef {{ pid: number, startToken: string }} ProcessIdentity
 */

/**
 * A token that only this very process has.
 * @param {number} pid
 * @returns {string | undefined} undefined when no such process runs (a zombie does not)
 */
export function startTokenOf(pid) {
  if (process.platform === 'linux') return linuxStartToken(pid);
  if (process.platform === 'win32') {
    const script = `(Get-Process -Id ${pid} -ErrorAction Stop).StartTime.ToFileTimeUtc()`;
    const found = capture('powershell', ['-NoProfile', '-Command', script]);
    return found?.status === 0 ? found.output.trim() : undefined;
  }
  const found = capture('ps', ['-o', 'stat=,lstart=', '-p', String(pid)]);
  const text = found?.status === 0 ? found.output.trim() : '';
  return text && !text.startsWith('Z') ? text.replace(/^\S+\s+/, '') : undefined;
}

/**
 * @param {ProcessIdentity} identity
 * @returns {boolean}
 */
export function isRunning({ pid, startToken }) {
  return startTokenOf(pid) === startToken;
}

/**
 * The processes under one, children first. Taken once: later children are not in it.
 * @param {number} pid
 * @returns {ProcessIdentity[]}
 */
export function descendantsOf(pid) {
  const childrenOf = parentTable();
  /** @type {ProcessIdentity[]} */
  const found = [];
  const queue = [...(childrenOf.get(pid) ?? [])];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const startToken = startTokenOf(next);
    if (startToken !== undefined) found.push({ pid: next, startToken });
    queue.push(...(childrenOf.get(next) ?? []));
  }
  return found;
}

/** @returns {Map<number, number[]>} children by parent */
function parentTable() {
  /** @type {Map<number, number[]>} */
  const table = new Map();
  for (const [pid, parent] of process.platform === 'linux' ? linuxParents() : psParents()) {
    table.set(parent, [...(table.get(parent) ?? []), pid]);
  }
  return table;
}

/** @returns {[number, number][]} */
function linuxParents() {
  /** @type {[number, number][]} */
  const pairs = [];
  for (const name of readdirSync('/proc')) {
    const fields = /^\d+$/.test(name) ? linuxStat(Number(name)) : undefined;
    if (fields) pairs.push([Number(name), Number(fields[1])]);
  }
  return pairs;
}

/** @returns {[number, number][]} */
function psParents() {
  const output = capture('ps', ['-A', '-o', 'pid=,ppid='])?.output ?? '';
  return output.split('\n').flatMap((line) => {
    const [pid, parent] = line.trim().split(/\s+/).map(Number);
    return pid && parent ? [/** @type {[number, number]} */ ([pid, parent])] : [];
  });
}

/** @param {number} pid */
function linuxStartToken(pid) {
  const fields = linuxStat(pid);
  if (!fields || fields[0] === 'Z' || fields[0] === 'X') return undefined;
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return `${boot}:${fields[19]}`;
}

/**
 * The fields of /proc/PID/stat after the program's name: state first, parent second, start time twentieth.
 * @param {number} pid
 * @returns {string[] | undefined}
 */
function linuxStat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
