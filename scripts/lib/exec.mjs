// @ts-check
/**
 * Running other programs: quietly with a log file and a line-by-line listener, or at once with their output as a
 * string. Knows nothing about which programs.
 */
import { spawn, spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, mkdirSync, openSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { ScriptError } from './script-error.mjs';

const tailLines = 25;

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd]
 * @property {Record<string, string | undefined>} [env] whole environment; default: ours
 * @property {string} [logPath] stdout and stderr go here, after a line with the command
 * @property {(line: string) => void} [onLine] each line of stdout and stderr, as it comes
 * @property {string} [what] what the program does, for the error: "building sqlite3"
 * @property {string} [remedy]
 */

/**
 * Runs a program to its end with its output in a log file.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<void>} rejects with a ScriptError that carries the last lines of the output
 */
export function run(command, args, options = {}) {
  const what = options.what ?? path.basename(command);
  const log = options.logPath ? openLog(options.logPath) : undefined;
  if (log !== undefined) writeSync(log, `$ ${[command, ...args].join(' ')}\n`);
  /** @type {string[]} */
  const tail = [];
  /** @param {string} line */
  const onLine = (line) => {
    if (log !== undefined) writeSync(log, line + '\n');
    tail.push(line);
    if (tail.length > tailLines) tail.shift();
    options.onLine?.(line);
  };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      shell: process.platform === 'win32' && command.endsWith('.cmd'),
    });
    const flushOut = eachLine(child.stdout, onLine);
    const flushErr = eachLine(child.stderr, onLine);
    child.on('error', (error) => onLine(`cannot run ${command}: ${error.message}`));
    child.on('close', (status, signal) => {
      flushOut();
      flushErr();
      if (log !== undefined) closeSync(log);
      if (status === 0) return resolve();
      const end = signal ? `was ended by ${signal}` : `failed with status ${status}`;
      reject(new ScriptError(`${what} ${end}`, { ...details(options), logLines: tail }));
    });
  });
}

/** @param {RunOptions} options */
function details({ logPath, remedy }) {
  return { ...(logPath ? { logPath } : {}), ...(remedy ? { remedy } : {}) };
}

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, timeoutMs?: number }} [options]
 * @returns {{ status: number, output: string } | undefined} undefined when the program is not there
 */
export function capture(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 60_000,
    maxBuffer: 64 * 1024 * 1024,
  });
  if (result.error && 'code' in result.error && result.error.code === 'ENOENT') return undefined;
  return { status: result.status ?? -1, output: `${result.stdout ?? ''}${result.stderr ?? ''}` };
}

/**
 * The absolute path of a program on PATH.
 * @param {string} name
 * @param {Record<string, string | undefined>} [env]
 * @returns {string | undefined}
 */
export function findOnPath(name, env = process.env) {
  const endings = process.platform === 'win32' ? ['.exe', '.cmd', '.bat'] : [''];
  for (const folder of (env.PATH ?? env.Path ?? '').split(path.delimiter)) {
    if (!folder) continue;
    for (const ending of endings) {
      const file = path.join(folder, name + ending);
      if (isExecutable(file)) return file;
    }
  }
  return undefined;
}

/** @param {string} file */
export function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/**
 * The npm that started us, or the one on PATH.
 * @returns {{ command: string, args: string[] }}
 */
export function npmCommand(env = process.env) {
  const started = env.npm_execpath;
  if (started && /npm-cli\.[cm]?js$/.test(started)) return { command: process.execPath, args: [started] };
  return { command: process.platform === 'win32' ? 'npm.cmd' : 'npm', args: [] };
}

/** @param {string} logPath */
function openLog(logPath) {
  mkdirSync(path.dirname(logPath), { recursive: true });
  return openSync(logPath, 'a');
}

/**
 * @param {import('node:stream').Readable} stream
 * @param {(line: string) => void} onLine
 * @returns {() => void} hands over what is left without a line end
 */
function eachLine(stream, onLine) {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (/** @type {string} */ chunk) => {
    const lines = (rest + chunk).split(/\r?\n/);
    rest = lines.pop() ?? '';
    lines.forEach(onLine);
  });
  return () => {
    if (rest) onLine(rest);
    rest = '';
  };
}
