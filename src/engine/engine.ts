/**
 * The contract of an engine: one loaded model with its context and its decode thread. Two implementations pass the same
 * contract suite: `native-engine` (the addon) and `fake-engine` (seeded tokens, scripted faults). This room knows no wire
 * format and no HTTP; errors are `LlamaestroError`.
 *
 * Order of life: driver -> engine -> sequence. Closing an engine ends its sequences (`cancelled`) before it frees.
 */
import type { MemoryPlan, MemoryReport } from './memory-types.js';

export type * from './memory-types.js';

import type { AdapterOption, AdapterUse, JobOptions } from './adapter-types.js';
import type { ChatMessage, ChatOptions, ToolCallDelta } from './chat-types.js';
import type { SamplingOptions } from './sampling-types.js';

export type { AdapterOption, AdapterUse, JobOptions } from './adapter-types.js';
export type { ChatMessage, ChatOptions, Tool, ToolCall, ToolCallDelta } from './chat-types.js';
export type { SamplingOptions } from './sampling-types.js';

/** One memory device as the backend reports it; `index` counts within its kind. */
export interface DeviceInfo {
  /** 'cpu', 'cuda0', 'metal0', 'vulkan0': the key of device budgets and limits. */
  readonly id: string;
  readonly kind: 'cpu' | 'cuda' | 'metal' | 'vulkan' | 'other';
  readonly description: string;
  readonly totalBytes: number;
  /** For the CPU: the smaller of MemAvailable and what the cgroup still allows; never the backend's "free = total". */
  readonly freeBytes: number;
}

export type KvType = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0' | 'q4_1' | 'q5_0' | 'q5_1';

/** Tensors whose name matches `pattern` lie on `device`; the first override that matches decides. */
export interface TensorOverride {
  /** A regular expression of 1 … 256 bytes, searched in the name: letters, digits, `_-/.^$|`, classes, groups, \d \w \s, at most three of `* + {}`, none of them behind a group. */
  readonly pattern: string;
  /** The id of a device that the model uses, or 'cpu'. */
  readonly device: string;
}

/** What decides bytes and behaviour of a loaded model; two loads with equal options need the same memory. */
export interface LoadOptions {
  /** Path of a GGUF file. Engines of one process, workers included, that load it alike share its weights. */
  readonly file: string;
  /** What the context is for. `vocab` loads the vocabulary alone: only tokenize, count and template work then. */
  readonly purpose: 'generate' | 'embed' | 'rerank' | 'vocab';
  /** Tokens over all slots together: each slot gets floor(contextTokens / slots). 1 … 2^24; default: the model's trained length x slots, at most 4096 x slots. */
  readonly contextTokens?: number;
  /** Sequences that run at the same time, 1 … 256. Default 1. */
  readonly slots?: number;
  /**
   * Most tokens of one sequence, 2 … 2^24. Default: floor(contextTokens / slots). More needs `kvLayout` 'unified': slots
   * share the cells then, and when these run short the newest of the lowest priority waits in host memory for a while.
   */
  readonly contextTokensPerSlot?: number;
  /** Layers on the GPU: 0 … 1024, or 'auto' (all that fit; 0 where there is no GPU). Default 'auto'. */
  readonly gpuLayers?: number | 'auto';
  readonly kvTypeK?: KvType;
  readonly kvTypeV?: KvType;
  /** Default 'auto': on where the backend and the KV types allow it. */
  readonly flashAttention?: 'auto' | 'on' | 'off';
  /** 'split': one KV stream per sequence (default on CPU and CUDA). 'unified': one stream for all. */
  readonly kvLayout?: 'split' | 'unified';
  /** Devices with memory of their own that the model may use, by id, in the order of the split; at most 16. [] keeps to the CPU. Default: all. */
  readonly devices?: readonly string[];
  /** 'layer': whole layers are spread over the devices. 'none': `mainDevice` alone. 'row': rows of each matrix, where the backend can (`invalid_request` where not). Default 'layer'. */
  readonly splitMode?: 'none' | 'layer' | 'row';
  /** The one device of splitMode 'none'. Default: the first. */
  readonly mainDevice?: string;
  /** A share of the layers for each device in use, 0 … 1000000. Default: by what each has free. */
  readonly tensorSplit?: readonly number[];
  /** The expert tensors of the first so many layers stay on the CPU, 0 … 512. Default 0. */
  readonly cpuMoeLayers?: number;
  /** At most 64; they go before `cpuMoeLayers`. */
  readonly tensorOverrides?: readonly TensorOverride[];
  /** Compute threads at most, 1 … 512. Default: the physical cores this process may use. */
  readonly threads?: number;
  /** Prompt tokens of one decode call, 16 … 4096. Default: measured at load, the largest of 16, 32 … 256 (CPU) or 512 (GPU) that takes at most 0.25 s. */
  readonly chunkTokens?: number;
  /**
   * What an earlier load with the same options found and said in `info.chunkTokens`, 16 … 4096: nothing is measured, and
   * prefixes that were saved then fit. The plan is the same with or without it; no effect beside `chunkTokens`.
   */
  readonly measuredChunkTokens?: number;
  /**
   * Host memory that the cache of prompt prefixes may grow to, 0 (off) … 2^40. Default: 1 GiB, or a sixteenth of the
   * machine's memory (or cgroup's limit) where that is less. Taken as prompts come, so no load is refused for it. Off means
   * that nothing stays in the slot of a finished sequence either.
   */
  readonly prefixCacheBytes?: number;
  /**
   * Keep answers in the prefix cache as well, so that the next turn of a chat takes over the last answer too. A token that
   * was generated was computed alone or beside those of other sequences, one of a prompt in a chunk with its neighbours:
   * their sums round differently, so behind an answer that was taken over the last bits of the probabilities, and now and
   * then a token, are not those of a fresh start. Default true; false keeps prompts only.
   */
  readonly reuseGenerated?: boolean;
  /** Default false: figures are exact only without it. */
  readonly mmap?: boolean;
  /** How the vectors of the tokens become one; purpose 'embed' only. Default: as the file says, else 'mean'. */
  readonly pooling?: 'mean' | 'cls' | 'last';
  /** One empty run before the load is over, so that the first request finds warm weights; part of `loadMs`. Default false. */
  readonly warmUp?: boolean;
  /**
   * LoRA adapters that requests may use, at most 16. Their bytes count as weights, and the compute buffers are planned
   * for all of them at once; what `memory()` shows of these is, after the first request, those of the set used last.
   */
  readonly adapters?: readonly AdapterOption[];
  /** Path of the shared step-lock file; hosts on one CPU take turns through it. Absent: no lock. Ignored when all layers are on a GPU. */
  readonly stepLock?: string;
}

export interface ModelInfo {
  /** general.name, or the stem of the file. */
  readonly name: string;
  readonly architecture: string;
  readonly file: string;
  readonly fileBytes: number;
  readonly parameterCount: number;
  readonly vocabSize: number;
  readonly trainedContextTokens: number;
  readonly embeddingLength: number;
  readonly layers: number;
  readonly hasChatTemplate: boolean;
  readonly quantisation: string;
}

export interface EngineInfo extends ModelInfo {
  readonly purpose: LoadOptions['purpose'];
  readonly contextTokens: number;
  readonly contextTokensPerSlot: number;
  readonly slots: number;
  readonly threads: number;
  readonly chunkTokens: number;
  readonly loadMs: number;
  /** Names of its adapters, in the order of the load options; absent when it was loaded without. */
  readonly adapters?: readonly string[];
}

/** What a sequence starts from: a text (special tokens of the text are parsed), messages through the model's chat template, or token ids. */
export type Prompt =
  | { readonly kind: 'text'; readonly text: string }
  | ({ readonly kind: 'messages'; readonly messages: readonly ChatMessage[] } & ChatOptions)
  | { readonly kind: 'tokens'; readonly tokens: readonly number[] };

export interface SequenceRequest extends SamplingOptions {
  readonly prompt: Prompt;
  /** 1 … the slot's context. Default: what the slot's context still holds. */
  readonly maxTokens?: number;
  /** At most 16 strings of 1 … 256 bytes; the text ends before the first match and never shows a part of it. */
  readonly stop?: readonly string[];
  /** Go on past end-of-generation tokens until maxTokens. */
  readonly ignoreEos?: boolean;
  /**
   * Take over what is known of the prompt's beginning, and keep its own for others. Default true; false does neither.
   * With a KV layout of 'split' the answer is the same to the last bit either way, where no generated tokens are taken
   * over (see `LoadOptions.reuseGenerated`).
   */
  readonly cachePrompt?: boolean;
  /** Each token comes with its log probability and those of this many likeliest tokens, 0 … 20. Absent: without. */
  readonly logprobs?: number;
  /**
   * GBNF with a rule named root; the answer is a text of it. At most 64 KiB of UTF-8 and 64 levels of parentheses. A
   * grammar that takes too many steps is `invalid_request`, from `submit` or, where only the answer shows it, as the
   * error of the sequence.
   */
  readonly grammar?: string;
  /**
   * JSON schema as an object or as its text, at most 64 KiB, 64 schemas deep; the answer is JSON of it, in one piece
   * when `maxTokens` suffices. Not together with `grammar`. A keyword that a grammar cannot enforce is
   * `unsupported_schema`, with its name in details.keyword. `oneOf` is read as `anyOf`; `$ref` leads to #/$defs or
   * #/definitions; an object with `properties` has no others unless `additionalProperties` says so.
   */
  readonly jsonSchema?: string | Readonly<Record<string, unknown>>;
  /**
   * -10 … 10; higher ones start first and have their prompts read first, and take the slot of a running sequence of a
   * lower priority, which waits in host memory and goes on with the same tokens. Whoever waits rises by a level every 64
   * decode steps, in line only. Default 0.
   */
  readonly priority?: number;
  /**
   * Answers to the prompt, 1 … 16, which is computed once. Answer i has the seed `seed` + i. The sequence says `started`
   * and `prefill` once; `tokens` and `finished` come for each answer with its `choice`. Default 1.
   */
  readonly choices?: number;
  /**
   * LoRA adapters, at most 4, each once. Default: none. A step of the engine computes one set of adapters and scales; where
   * several wait, each has 16 steps in turn. Prompts are remembered for their own set only.
   */
  readonly lora?: readonly AdapterUse[];
}

/** One token and its probability before any sampler or grammar. */
export interface TokenChance {
  readonly id: number;
  /** Natural logarithm, at most 0. */
  readonly logprob: number;
  /** Its part of the text; may begin or end inside a character. Empty for tokens that are not shown. */
  readonly bytes: Uint8Array;
}

/** A token of the answer. */
export interface TokenLogprob extends TokenChance {
  /** The likeliest tokens at its place, best first, at most as many as were asked for; it need not be among them. */
  readonly top: readonly TokenChance[];
}

/** 'tool_calls': the answer ended by itself and calls tools. */
export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'cancelled' | 'error';

export interface SequenceUsage {
  /** 0 for the answers after the first: they share its prompt. */
  readonly promptTokens: number;
  /** Prompt tokens that were not computed again. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

export interface SequenceTimings {
  /** From submit to the first prefill chunk. */
  readonly queueMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/**
 * What happens to a sequence, in this order: started, prefill…, tokens…, then exactly one finished
 * (one for each of `choices`).
 * `tokens` carries whole UTF-8 characters only; `text` may be empty when ids are held back for a character or a stop string.
 * Where steps take less than 10 ms a `tokens` event carries those of several steps; the first one never waits.
 */
export type SequenceEvent =
  | { readonly type: 'started'; readonly promptTokens: number; readonly cachedTokens: number }
  | { readonly type: 'prefill'; readonly doneTokens: number; readonly totalTokens: number }
  | {
      readonly type: 'tokens';
      /** Which answer, where the request asked for several: counts from 0; absent for the first. */
      readonly choice?: number;
      readonly firstIndex: number;
      readonly ids: readonly number[];
      readonly text: string;
      /** Of answers that are taken apart (see `ChatOptions`): reasoning that came before `text`, pieces of tool calls. */
      readonly reasoning?: string;
      readonly toolCalls?: readonly ToolCallDelta[];
      /** One per id; present when the request asked for `logprobs` and there are ids. */
      readonly logprobs?: readonly TokenLogprob[];
    }
  | {
      readonly type: 'finished';
      /** As in `tokens`; every answer ends once. */
      readonly choice?: number;
      readonly reason: FinishReason;
      readonly stopString?: string;
      readonly usage: SequenceUsage;
      readonly timings: SequenceTimings;
      /** Present when reason is 'error'; codes as in `base/errors`. */
      readonly error?: Error;
    };

/** A sequence under way. `cancel` ends all its answers and is idempotent; the finished event still follows, reason 'cancelled'. */
export interface Sequence {
  readonly id: number;
  cancel(): void;
}

/** Counters since the load; read without stopping the decode thread. */
export interface EngineStats {
  /** Calls of llama_decode that returned. */
  readonly steps: number;
  readonly running: number;
  readonly waiting: number;
  /** Prompt tokens that were computed. */
  readonly promptTokens: number;
  readonly generatedTokens: number;
  /** How often a running sequence was put aside in host memory to make room. */
  readonly parked: number;
  /** Compute threads of the newest step: `info.threads`, or fewer where other work of the machine makes fewer faster. */
  readonly threads: number;
  /** Prompt tokens that were taken over from earlier sequences, by `prefixHits` sequences. */
  readonly cachedTokens: number;
  /** Of `cachedTokens`, those that were still in the cache of a slot, where nothing had to be copied. */
  readonly inPlaceTokens: number;
  readonly prefixHits: number;
  /** What the prefix cache holds in host memory now. */
  readonly prefixBlocks: number;
  readonly prefixBytes: number;
  /**
   * Cells of the KV cache in use after the last step: what the engine counts itself, and what llama.cpp's own books say.
   * They never differ; if they did, the first difference would stay here. Models without cells of their own for every
   * position (recurrent ones) count positions. `held` of them are left over from finished sequences, for prompts that go on
   * from there; they are free for everybody who needs them.
   */
  readonly cells: { readonly counted: number; readonly recounted: number; readonly held: number };
  /** Milliseconds since the last finished decode step, while work is there; 0 when idle. */
  readonly stalledMs: number;
}

/** What a prefix file took or gave. */
export interface PrefixFileSummary {
  /** Different prompts, as far as they were kept. */
  readonly prefixes: number;
  /** Tokens of all of them, shared ones once. */
  readonly tokens: number;
  readonly bytes: number;
}

/** Texts to embed, 1 … 4096. */
export interface EmbedRequest {
  readonly inputs: readonly string[];
  /** To length 1 (L2), after the cut. Default true. */
  readonly normalise?: boolean;
  /** The first so many numbers of each vector, for models that were trained for it. Default: all. */
  readonly dimensions?: number;
  /** LoRA adapters, at most 4, each once. Default: none. */
  readonly lora?: readonly AdapterUse[];
}

export interface Engine {
  readonly info: EngineInfo;
  /** What was predicted when this engine was loaded. */
  readonly planned: MemoryPlan;
  /** What is allocated, read from the buffers themselves, and observed: both after the load and whenever the engine went idle. */
  memory(): MemoryReport;
  stats(): EngineStats;

  /**
   * Starts a sequence; it waits inside when all slots are busy (at most `MAX_WAITING_SEQUENCES`, then `queue_full`).
   * Throws at once on bad input (`invalid_request`, `unsupported_schema`) and on a prompt that leaves no room for one token
   * (`context_length_exceeded`, details: promptTokens, contextTokensPerSlot). `listener` is called from the event loop, all
   * events of one decode step in one turn. Texts are tokenised on the calling thread: for long ones await `tokenize` and
   * submit its ids, which gives the same sequence (but no parts: an answer is taken apart only if messages were given).
   */
  submit(request: SequenceRequest, listener: (event: SequenceEvent) => void): Sequence;
  /** Called once after all listeners of a decode step ran; a place to flush. Returns the function that removes it. */
  onStep(listener: () => void): () => void;

  /** Token ids of a prompt, exactly those that `submit` would use. */
  tokenize(prompt: Prompt): Promise<Uint32Array>;
  detokenize(tokens: readonly number[]): Promise<string>;
  /** One vector per input, in order; a list of inputs means an `EmbedRequest` of it alone. Purpose 'embed' only. */
  embed(request: readonly string[] | EmbedRequest, signal?: AbortSignal): Promise<Float32Array[]>;
  /** One score per document, in order; higher is more relevant. Purpose 'rerank' only. */
  rerank(query: string, documents: readonly string[], signal?: AbortSignal, options?: JobOptions): Promise<number[]>;
  /**
   * How likely each of 2 … 64 labels (1 … 256 bytes) is to follow the prompt, in order: natural logarithms of
   * probabilities that sum to 1 over the labels. Labels are taken as they stand on a new line. One counts up to the
   * first token that sets it apart from the others, so labels that begin differently cost one forward pass, after a
   * prompt that is cached no prefill. Runs beside the sequences and waits with them. Purpose 'generate' only. Errors:
   * those of `submit`, and `cancelled`.
   */
  classify(prompt: Prompt, labels: readonly string[], signal?: AbortSignal, options?: JobOptions): Promise<number[]>;

  /**
   * Writes the prompt prefixes that are kept (or with `only` those of one prompt, without adapters) to a file, which is
   * replaced in one piece; sequences that still run are among them as far as they are computed. Errors: `invalid_request` (no prefix cache, or one of
   * whole states, as recurrent, hybrid and sliding-window models have it; a file that cannot be written, details.reason
   * 'unwritable'), `cancelled`.
   */
  savePrefixes(file: string, only?: Prompt, signal?: AbortSignal): Promise<PrefixFileSummary>;
  /**
   * Takes over the prefixes of a file as far as the budget has room, and says what is new. Only files of the same model,
   * KV types and grid are taken, by an engine without `reuseGenerated` only those of another without; any other is `invalid_request` with details.reason 'foreign', 'damaged' or 'unreadable'
   * and changes nothing.
   */
  restorePrefixes(file: string, signal?: AbortSignal): Promise<PrefixFileSummary>;

  /** Ends every sequence, joins the decode thread, frees everything. Idempotent; later calls return the same promise. */
  close(): Promise<void>;
}

/** Waiting sequences one engine holds before `submit` refuses. */
export const MAX_WAITING_SEQUENCES = 1024;

/** Loads engines. One per process; the fake one takes a script instead of a file. */
export interface EngineDriver {
  readonly kind: 'native' | 'fake';
  /** llama.cpp tag and our own version. */
  readonly build: string;
  devices(): readonly DeviceInfo[];
  /** Bytes per device before any is allocated; `model_unusable` for a damaged file, never a crash. */
  planMemory(options: LoadOptions, signal?: AbortSignal): Promise<MemoryPlan>;
  /**
   * Loads a model. `onProgress` gets 0 … 1: of a file that is not in memory yet, up to two thirds count the bytes read
   * from disk, the rest the tensors, and the last twentieth the context. Aborting frees everything and rejects with
   * `cancelled`, within a read of 8 MiB or one tensor, also while the load waits for another one.
   * Errors: `invalid_request`, `model_unusable`, `does_not_fit`, `out_of_memory`, `load_failed`, `cancelled`.
   */
  load(options: LoadOptions, onProgress?: (fraction: number) => void, signal?: AbortSignal): Promise<Engine>;
}
