/**
 * The typed mirror of what the native addon exports, and the check that a loaded file really is that addon. Knows the
 * shapes that cross the border and nothing of what is done with them.
 */
import type {
  AdapterUse,
  ChatMessage,
  DeviceInfo,
  EmbedRequest,
  EngineInfo,
  EngineStats,
  JobOptions,
  LoadOptions,
  MemoryPlan,
  MemoryReport,
  PrefixFileSummary,
  SamplingOptions,
  TokenLogprob,
  ToolCallDelta,
} from './engine.js';
import type { NativeGgufMetadata } from './gguf-types.js';

/** How the addon throws and rejects: an Error with a code of `base/errors`. */
export interface NativeError extends Error {
  readonly code: string;
  readonly param?: string;
  readonly details?: Readonly<Record<string, number | string>>;
}

/**
 * `kind` says which of the other fields counts; token ids travel as doubles, as JavaScript has them. Schemas and template
 * arguments travel as JSON text, the latter as name, text, name, text ….
 */
export interface NativePrompt {
  readonly kind: 'text' | 'messages' | 'tokens';
  readonly text?: string;
  readonly messages?: readonly ChatMessage[];
  readonly tools?: readonly { readonly name: string; readonly description?: string; readonly parameters?: string }[];
  readonly toolChoice?: string;
  /** The tool that must be called. */
  readonly toolName?: string;
  readonly parallelToolCalls?: boolean;
  readonly templateArguments?: readonly string[];
  readonly thinking?: boolean;
  readonly reasoningBudget?: number;
  readonly separatesReasoning?: boolean;
  readonly tokens?: Float64Array;
}

/** `logitBias` travels as token id, bias, token id, bias …; a schema as its text. */
export interface NativeRequest extends Omit<SamplingOptions, 'logitBias'> {
  readonly prompt: NativePrompt;
  readonly maxTokens?: number;
  readonly stop?: readonly string[];
  readonly ignoreEos?: boolean;
  readonly cachePrompt?: boolean;
  readonly priority?: number;
  readonly choices?: number;
  readonly logitBias?: Float64Array;
  readonly logprobs?: number;
  readonly grammar?: string;
  readonly jsonSchema?: string;
  readonly lora?: readonly AdapterUse[];
}

/** Why a sequence ended; `reason` indexes stop, length, cancelled, error, tool_calls. */
export interface NativeFinished {
  readonly reason: number;
  readonly stopString?: string;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  readonly error?: NativeError;
}

/** Outcome of an embed or rerank job: rows of `width` floats, or an error. */
export interface NativeJobRow {
  readonly job: number;
  readonly width: number;
  readonly values: Float32Array;
  readonly error?: NativeError;
}

/** Numbers per row of `NativeBatch.words`. */
export const ROW_WORDS = 5;

/** The kinds of a row, by number. */
export const ROW_KINDS = { started: 0, prefill: 1, tokens: 2, finished: 3 } as const;

/** `row` counts the rows of the batch. */
export interface NativeLogprob {
  readonly row: number;
  readonly logprob: TokenLogprob;
}

/** What belongs to a row of kind `tokens` beside its text. */
export interface NativeParts {
  readonly row: number;
  readonly reasoning?: string;
  readonly toolCalls?: readonly ToolCallDelta[];
}

/**
 * All events of one engine since the last delivery. `words` holds `rows` rows of (sequence, kind, a, b, ids), then all
 * token ids of all rows in order; `texts` has one entry per row of kind `tokens`, in order.
 */
export interface NativeBatch {
  readonly engine: number;
  readonly rows: number;
  readonly words: Uint32Array;
  readonly texts: readonly string[];
  readonly finished: readonly NativeFinished[];
  readonly jobs: readonly NativeJobRow[];
  /** Of the sequences that asked for them, by row: what belongs to the ids of that row, in order. */
  readonly logprobs: readonly NativeLogprob[];
  /** Of answers that are taken apart, by row; only rows that have more than text. */
  readonly parts: readonly NativeParts[];
}

/** Progress of the load with that ticket, 0 … 1. */
export interface NativeProgress {
  readonly ticket: number;
  readonly fraction: number;
}

/** One loaded engine. `id` is unique in the process. Every method throws a `NativeError` or rejects with one. */
export interface NativeHandle {
  readonly id: number;
  readonly info: EngineInfo;
  readonly planned: MemoryPlan;
  memory(): MemoryReport;
  stats(): EngineStats;
  /** Sequence id; further choices have the ids after it. Tokenises on the calling thread. */
  submit(request: NativeRequest): number;
  /** Sequences and jobs; unknown ids are ignored. */
  cancel(id: number): void;
  tokenize(prompt: NativePrompt): Promise<Uint32Array>;
  detokenize(tokens: Float64Array): Promise<string>;
  /** Job id; the outcome is a `NativeJobRow`, which may come before the promise settles. */
  embed(inputs: readonly string[], options: Omit<EmbedRequest, 'inputs'>): Promise<number>;
  rerank(query: string, documents: readonly string[], options: JobOptions): Promise<number>;
  classify(prompt: NativePrompt, labels: readonly string[], options: JobOptions): Promise<number>;
  /** The whole store, or what it holds of one prompt; `ticket` as in `Addon.load`. */
  savePrefixes(file: string, prompt: NativePrompt | undefined, ticket: number): Promise<PrefixFileSummary>;
  restorePrefixes(file: string, ticket: number): Promise<PrefixFileSummary>;
  close(): Promise<void>;
}

/** One line of llama.cpp's log, of any engine of the process. */
export interface LogLine {
  /** Counts the lines of the process, from 1. */
  readonly number: number;
  /** 1 debug, 2 info, 3 warning, 4 error. */
  readonly level: number;
  readonly text: string;
}

/** The lines since the last delivery, and how many this environment has lost in all because it did not turn in time. */
export interface NativeLog {
  readonly lines: readonly LogLine[];
  readonly dropped: number;
}

export interface LifelineOptions {
  /** Inherited pipe or socket, 0 … 65535. */
  readonly fd: number;
  /** Beat of the heartbeat record, 20 … 60000. */
  readonly intervalMs: number;
  /** Status of the process when the other side is gone, 0 … 255. */
  readonly exitCode: number;
}

/**
 * Counts the incompatible shapes of this file: raise it here and in native/binding/exports.h when a value that crosses
 * changes its meaning or place. New functions and methods are noticed by their names.
 */
export const FACE = 3;

export interface Addon {
  readonly face: number;
  /** Names of the methods of `NativeHandle`. */
  readonly engineMethods: readonly string[];
  /** Version of the package it was built from. */
  readonly version: string;
  readonly build: string;
  /** Called once per environment, before anything else: takes every delivery of this environment. */
  listen(
    listener: (
      batches: readonly NativeBatch[],
      progress: readonly NativeProgress[],
      log: NativeLog | undefined,
    ) => void,
  ): void;
  devices(): DeviceInfo[];
  /** `ticket` names the job for `cancel`; chosen by the caller, unique in the environment. */
  plan(options: LoadOptions, ticket: number): Promise<MemoryPlan>;
  load(options: LoadOptions, ticket: number): Promise<NativeHandle>;
  /** Stops the plan or load with that ticket; unknown tickets are ignored. */
  cancel(ticket: number): void;
  /** `ticket` as in `load`. */
  readMetadata(path: string, ticket: number): Promise<NativeGgufMetadata>;
  startLifeline(options: LifelineOptions): void;
  stopLifeline(): void;
  /** Lines with a number above `after`, at most 256. */
  recentLogLines(after: number): LogLine[];
  /** Lines of at least this level, 1 … 4, are delivered to this environment from now on; 0, the start, delivers none. */
  logLevel(level: number): void;
  /** Lines of at least this level also go to stderr; 0 sends none. */
  logToStderr(level: number): void;
}

type FunctionNames<T> = { [K in keyof T]: T[K] extends (...values: never[]) => unknown ? K : never }[keyof T];
/** Every function of `T` by name: one that is missing, or is none, does not compile. */
type FunctionList<T> = Readonly<Record<FunctionNames<T>, true>>;

/** What the addon must export beside its `face`, `engineMethods`, `version` and `build`. */
export const EXPORTED_FUNCTIONS: FunctionList<Addon> = {
  listen: true,
  devices: true,
  plan: true,
  load: true,
  cancel: true,
  readMetadata: true,
  startLifeline: true,
  stopLifeline: true,
  recentLogLines: true,
  logLevel: true,
  logToStderr: true,
};

/** What its engines must have. */
export const ENGINE_METHODS: FunctionList<NativeHandle> = {
  memory: true,
  stats: true,
  submit: true,
  cancel: true,
  tokenize: true,
  detokenize: true,
  embed: true,
  rerank: true,
  classify: true,
  savePrefixes: true,
  restorePrefixes: true,
  close: true,
};

/** What is wrong with a loaded module, as a sentence; undefined when it is the addon of this `version`. */
export function addonFault(module: unknown, version: string): string | undefined {
  if (typeof module !== 'object' || module === null) return 'it exports no object';
  const exported = module as Readonly<Record<string, unknown>>;
  const missing = Object.keys(EXPORTED_FUNCTIONS).find((name) => typeof exported[name] !== 'function');
  if (missing !== undefined) return `it does not export ${missing}()`;
  const methods: unknown = exported['engineMethods'];
  const known: readonly unknown[] = Array.isArray(methods) ? methods : [];
  const lacking = Object.keys(ENGINE_METHODS).find((name) => !known.includes(name));
  if (lacking !== undefined) return `its engines have no ${lacking}()`;
  if (exported['face'] !== FACE) return `its face is number ${String(exported['face'])}, this expects ${FACE}`;
  if (exported['version'] !== version) {
    return `it was built for version ${String(exported['version'])}, this is ${version}`;
  }
  if (typeof exported['build'] !== 'string') return 'it does not say what it was built from';
  return undefined;
}
