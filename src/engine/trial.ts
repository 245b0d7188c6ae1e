/**
 * Tries a model file in a process of its own before it is loaded into this one: for files from strangers, whose values may
 * pass every check and still end whoever computes with them. Knows how such a process ends, not what it does.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { LlamaestroError } from '../base/errors.js';
import type { Clock } from '../base/ports.js';
import { systemClock } from '../base/system-ports.js';
import type { LoadOptions } from './engine.js';
import type { TrialReply, TrialRequest } from './trial-messages.js';
import { checkLoadOptions } from './validate.js';
import { checkInteger } from './validate-values.js';

export interface TrialLimits {
  /** Milliseconds the trial may take, 100 … 3600000. Default 120000. */
  readonly timeoutMs?: number;
  /** Bytes the trial may take: of the plan everywhere, of the whole process on Linux as well. Default: what is free. */
  readonly memoryBytes?: number;
  /** Aborting ends the trial and rejects with `cancelled`. */
  readonly signal?: AbortSignal;
}

/** For tests: another child, another clock. */
export interface TrialParts {
  readonly entry: string;
  readonly clock: Clock;
}

const DEFAULT_TIMEOUT_MS = 120_000;
/** What Node itself may take beside the model. */
const NODE_BYTES = 2 ** 30;
const MAX_LAST_WORDS = 4096;

/** This file's own name tells whether it was compiled. */
const ENTRY = fileURLToPath(new URL(`./trial-entry.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url));
const PARTS: TrialParts = { entry: ENTRY, clock: systemClock };

/**
 * Plans and loads `options` in a short-lived child process, with one slot and a small context, and computes a few tokens
 * there. Resolves when that went well. Errors: those of `loadModel`, and `model_unusable` when the file ended the process,
 * computed numbers that are none, or took longer than `timeoutMs`; `load_failed` when no process could be started.
 */
export async function tryModel(
  options: LoadOptions,
  limits: TrialLimits = {},
  parts: TrialParts = PARTS,
): Promise<void> {
  checkLoadOptions(options);
  const { timeoutMs = DEFAULT_TIMEOUT_MS, memoryBytes, signal } = limits;
  checkInteger('timeoutMs', timeoutMs, 100, 3_600_000);
  checkInteger('memoryBytes', memoryBytes, 1, Number.MAX_SAFE_INTEGER);
  const isCancelled = (): boolean => signal?.aborted ?? false;
  if (isCancelled()) throw new LlamaestroError('cancelled', 'the trial was cancelled before it began');
  const child = start(parts.entry, memoryBytes);
  const request: TrialRequest = { options, ...(memoryBytes === undefined ? {} : { memoryBytes }) };
  const kill = (): void => void child.kill('SIGKILL');
  let isLate = false;
  const timer = parts.clock.setTimer(timeoutMs, () => {
    isLate = true;
    kill();
  });
  signal?.addEventListener('abort', kill, { once: true });
  try {
    const ending = await endOf(child, request);
    if (isCancelled()) throw new LlamaestroError('cancelled', 'the trial was cancelled');
    if (isLate) throw unusable(options, `its trial took longer than ${timeoutMs} ms`);
    judge(options, ending);
  } finally {
    timer.cancel();
    signal?.removeEventListener('abort', kill);
  }
}

interface Ending {
  readonly replies: readonly TrialReply[];
  /** SIGSEGV, or 'status 3'. */
  readonly how: string;
  readonly lastWords: string;
}

function start(entry: string, memoryBytes: number | undefined): ChildProcess {
  // TypeScript sources need the loader that this process runs under; compiled files have none.
  const loader = entry.endsWith('.ts') ? process.execArgv : [];
  const command = [process.execPath, ...loader, entry];
  // Only a shell can set the limit before the process begins.
  if (memoryBytes !== undefined && process.platform === 'linux') {
    const kib = String(Math.ceil((memoryBytes + NODE_BYTES) / 1024));
    command.unshift('/bin/sh', '-c', 'ulimit -d "$1" && shift && exec "$@"', 'sh', kib);
  }
  const [program = process.execPath, ...args] = command;
  return spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
}

function endOf(child: ChildProcess, request: TrialRequest): Promise<Ending> {
  return new Promise((resolve) => {
    const replies: TrialReply[] = [];
    let lastWords = '';
    child.stderr?.on('data', (data: Buffer) => (lastWords = (lastWords + data.toString()).slice(-MAX_LAST_WORDS)));
    child.on('message', (reply) => {
      replies.push(reply as TrialReply);
      // A child that dies of it is judged by its end.
      if (reply === 'ready') child.send(request, () => undefined);
    });
    child.on('error', (error) => resolve({ replies, how: error.message, lastWords }));
    child.on('close', (status, signal) => resolve({ replies, how: signal ?? `status ${String(status)}`, lastWords }));
  });
}

function judge(options: LoadOptions, { replies, how, lastWords }: Ending): void {
  const outcome = replies.find((reply) => reply !== 'ready');
  if (outcome !== undefined) {
    if (outcome.error === undefined) return;
    const error = LlamaestroError.fromWire(outcome.error);
    if (error.code !== 'internal') throw error;
    throw unusable(options, `its trial failed: ${error.message}`);
  }
  if (replies.length === 0) throw new LlamaestroError('load_failed', `no trial process could be started: ${how}`);
  const assertion = /ends this process: (?:\S*\/)?(.{1,200})/.exec(lastWords)?.[1];
  throw unusable(options, `it ended its trial process (${how})${assertion === undefined ? '' : `: ${assertion}`}`);
}

function unusable({ file }: LoadOptions, why: string): LlamaestroError {
  return new LlamaestroError('model_unusable', `${file} cannot be used: ${why}`);
}
