/**
 * Runs damaged files through a child process that lives as long as it can: a death, a hang or an error without a type is a
 * failure with its seed, and the next case gets a new child. Knows neither GGUF nor the engine.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { LoadOptions } from '../../src/engine/engine.js';
import type { DamageKind } from './damage.js';

export interface FuzzCase {
  /** The whole file, and where its damaged copy goes. */
  readonly base: string;
  readonly file: string;
  readonly purpose: LoadOptions['purpose'];
  readonly kind: DamageKind;
  readonly seed: number;
}

export interface FuzzOutcome {
  /** How far it came; 'done': tokens came out. */
  readonly stage: 'plan' | 'load' | 'run' | 'done';
  readonly code?: string;
  readonly detail: string;
  readonly what: string;
  /** CPU time. */
  readonly tookMs: number;
}

export interface FuzzFailure {
  readonly one: FuzzCase;
  readonly why: string;
  /** Where the damaged file was kept. */
  readonly kept: string;
}

export interface FuzzReport {
  readonly cases: number;
  readonly failures: readonly FuzzFailure[];
  /** How many ended how: 'plan model_unusable', 'done' … */
  readonly endings: ReadonlyMap<string, number>;
  readonly slowestMs: number;
}

/** Far above the 5 s in which everything should have an answer: only a hang reaches it. */
const HANG_MS = 60_000;
const SLOW_MS = 5_000;
const CHILD = fileURLToPath(new URL('./fuzz-child.ts', import.meta.url));

/** Plan and load may refuse in these ways; anything else is a fault of ours. */
const REFUSALS = ['model_unusable', 'does_not_fit', 'out_of_memory', 'load_failed', 'invalid_request'];
/** A file that loads may still compute nothing of use, or have no room for a prompt. */
const RUN_ERRORS = [...REFUSALS, 'internal', 'context_length_exceeded'];

/** Runs `cases` in order. Failures are kept as files in `keepIn`; `onCase` hears of each. */
export async function runCases(
  cases: readonly FuzzCase[],
  keepIn: string,
  onCase: (one: FuzzCase, text: string) => void = () => undefined,
): Promise<FuzzReport> {
  const endings = new Map<string, number>();
  const failures: FuzzFailure[] = [];
  let slowestMs = 0;
  let child: FuzzChild | undefined;
  for (const one of cases) {
    child ??= await FuzzChild.start();
    const outcome = await child.run(one);
    const ending = typeof outcome === 'string' ? outcome : [outcome.stage, outcome.code ?? ''].join(' ').trim();
    endings.set(ending, (endings.get(ending) ?? 0) + 1);
    const why = faultOf(outcome);
    onCase(one, typeof outcome === 'string' ? outcome : `${outcome.what} -> ${ending}: ${outcome.detail}`);
    if (why !== undefined) failures.push({ one, why, kept: keep(one, keepIn) });
    if (typeof outcome === 'string') child = undefined;
    else slowestMs = Math.max(slowestMs, outcome.tookMs);
  }
  child?.stop();
  return { cases: cases.length, failures, endings, slowestMs };
}

function faultOf(outcome: FuzzOutcome | string): string | undefined {
  if (typeof outcome === 'string') return outcome;
  const { stage, code, detail, what, tookMs } = outcome;
  const allowed = stage === 'run' ? RUN_ERRORS : REFUSALS;
  if (code !== undefined && !allowed.includes(code)) return `${what} -> ${stage} ${code}: ${detail}`;
  if (tookMs > SLOW_MS) return `${what} -> took ${Math.round(tookMs)} ms`;
  return undefined;
}

function keep({ file, kind, seed }: FuzzCase, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const kept = join(folder, `${kind}-${seed}.gguf`);
  if (existsSync(file)) copyFileSync(file, kept);
  return kept;
}

/** One child. After a death or a hang it is of no more use. */
class FuzzChild {
  private lastWords = '';
  private constructor(private readonly child: ChildProcess) {
    child.stderr?.on('data', (data: Buffer) => (this.lastWords = (this.lastWords + data.toString()).slice(-2000)));
  }

  static async start(): Promise<FuzzChild> {
    const child = fork(CHILD, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    await new Promise((resolve, reject) => {
      child.once('message', resolve);
      child.once('exit', (status) => reject(new Error(`the child ended with ${String(status)} before it began`)));
    });
    child.removeAllListeners('exit');
    return new FuzzChild(child);
  }

  /** The outcome, or how the child ended. */
  run(one: FuzzCase): Promise<FuzzOutcome | string> {
    this.lastWords = '';
    return new Promise((resolve) => {
      const hang = setTimeout(() => {
        this.child.kill('SIGKILL');
        settle('the child hung');
      }, HANG_MS);
      const settle = (outcome: FuzzOutcome | string): void => {
        clearTimeout(hang);
        this.child.removeAllListeners('message');
        this.child.removeAllListeners('close');
        resolve(outcome);
      };
      this.child.once('message', (outcome) => settle(outcome as FuzzOutcome));
      this.child.once('close', (status, signal) => {
        settle(`the child died: ${signal ?? `status ${String(status)}`}: ${this.lastWords.trim().slice(-600)}`);
      });
      this.child.send(one);
    });
  }

  stop(): void {
    this.child.kill();
  }
}
