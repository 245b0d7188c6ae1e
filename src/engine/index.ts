/**
 * The public face of the engine room: what another Node application calls to run a model in its own process. The addon
 * is loaded by the first call that needs it; the package's entry, native.ts, does that at once. Knows nothing of the
 * server.
 */
import type { DeviceInfo, Engine, LoadOptions, MemoryPlan } from './engine.js';
import type { GgufMetadata } from './gguf-types.js';
import type { LogLevel, LogListener } from './log-listeners.js';
import { createNativeDriver } from './native-engine.js';
import type { FitRequest, FitResult } from './plan-fit.js';
import { planFit as searchFit } from './plan-fit.js';
import { tryModel as tryInChild, type TrialLimits } from './trial.js';
import { refuseUnknownLoadFields } from './validate.js';

export { ERROR_REMEDIES, LlamaestroError } from '../base/errors.js';
export type { ErrorCode, ErrorOptions, WireError } from '../base/errors.js';
export type * from './engine.js';
export { MAX_ADAPTERS, MAX_ADAPTERS_PER_REQUEST, MAX_ADAPTER_SCALE } from './adapter-types.js';
export { MAX_WAITING_SEQUENCES } from './engine.js';
export type { LifelineOptions, LogLine } from './addon-types.js';
export type { GgufArray, GgufMetadata, GgufScalar } from './gguf-types.js';
export { LOG_LEVELS } from './log-listeners.js';
export type { LogLevel, LogListener } from './log-listeners.js';
export { createNativeDriver } from './native-engine.js';
export type { NativeDriver } from './native-engine.js';
export type { FitRequest, FitResult } from './plan-fit.js';
export { MAX_UNREAD_UNITS, generate } from './token-stream.js';
export type { TrialLimits } from './trial.js';
export type { GenerateResult, TokenStream } from './token-stream.js';

export interface LoadHooks {
  /** Gets 0 … 1, rising; what the shares are is said at `EngineDriver.load`. */
  readonly onProgress?: (fraction: number) => void;
  /** Aborting frees everything and rejects with `cancelled`. */
  readonly signal?: AbortSignal;
  /** For a file from strangers: `tryModel` first, within these limits. */
  readonly untrusted?: boolean | Pick<TrialLimits, 'timeoutMs' | 'memoryBytes'>;
}

/**
 * Loads a GGUF file. `close()` the engine when done; a collected or exiting one is closed for you, at a time you do not
 * choose. Errors: as `EngineDriver.load`, and `addon_missing`.
 */
export async function loadModel(options: LoadOptions, hooks: LoadHooks = {}): Promise<Engine> {
  const driver = createNativeDriver();
  refuseUnknownLoadFields(options);
  if (hooks.untrusted !== undefined && hooks.untrusted !== false) {
    const limits = hooks.untrusted === true ? {} : hooks.untrusted;
    await tryInChild(options, { ...limits, ...(hooks.signal === undefined ? {} : { signal: hooks.signal }) });
  }
  return driver.load(options, hooks.onProgress, hooks.signal);
}

/**
 * Plans, loads and computes a few tokens in a short-lived child process, so that a hostile or damaged file ends that one
 * and not this. Errors: as `loadModel`; `model_unusable` when the process died, computed numbers that are none, or took too
 * long.
 */
export async function tryModel(options: LoadOptions, limits: TrialLimits = {}): Promise<void> {
  createNativeDriver();
  refuseUnknownLoadFields(options);
  return tryInChild(options, limits);
}

/** Bytes per device that loading these options would take, before any is allocated. Errors: as `EngineDriver.planMemory`. */
export async function planMemory(options: LoadOptions, signal?: AbortSignal): Promise<MemoryPlan> {
  const driver = createNativeDriver();
  refuseUnknownLoadFields(options);
  return driver.planMemory(options, signal);
}

/**
 * The largest variant of these options that fits into the given bytes per device: which context, how many slots, what lies
 * on the CPU, and why. Errors: as `planMemory`, and `does_not_fit` when even the smallest variant is too large.
 */
export async function planFit(request: FitRequest, signal?: AbortSignal): Promise<FitResult> {
  const driver = createNativeDriver();
  refuseUnknownLoadFields(request.options);
  return searchFit(driver, request, signal);
}

/**
 * What a GGUF file says about itself, read from its headers (all parts of a split model) without loading anything: a few
 * milliseconds, on a thread of its own; a few files at a time, further calls wait for their turn. Texts of more than 4 KiB
 * are cut, with an ellipsis behind them (the chat template has a field of its own). Errors: `model_unusable` for a file that
 * is none, damaged, cut, with a header of more than 256 MiB, or in parts of which one is missing; `cancelled`,
 * `addon_missing`, `queue_full` when 4096 calls wait already.
 */
export async function readMetadata(path: string, signal?: AbortSignal): Promise<GgufMetadata> {
  return createNativeDriver().readMetadata(path, signal);
}

/** The memory devices of this machine: GPUs first, the CPU last. */
export function devices(): readonly DeviceInfo[] {
  return createNativeDriver().devices();
}

/** llama.cpp tag, own version and backends of the addon. */
export function buildDescription(): string {
  return createNativeDriver().build;
}

/**
 * Calls `listener` with every line of llama.cpp's log of at least this level, whichever engine of the process it comes
 * from, in each environment (main thread, worker) that asks. Returns the function that ends it. It keeps no process alive.
 */
export function onLog(listener: LogListener, level: LogLevel = 'info'): () => void {
  return createNativeDriver().onLog(listener, level);
}

/** For a child process: beat on the inherited descriptor `fd`, and exit with status 75 when its other side is gone. */
export function startLifeline(fd: number, intervalMs = 1000, exitCode = 75): void {
  createNativeDriver().startLifeline({ fd, intervalMs, exitCode });
}
