/**
 * LoRA adapters: which ones a model is loaded with, and which of them a request uses. Part of the contract in
 * `engine.ts`, which exports them.
 */

/** A LoRA adapter as a GGUF file, made for the architecture and the shapes of the model. */
export interface AdapterOption {
  /** What requests call it, 1 … 64 bytes; each name once. */
  readonly name: string;
  readonly file: string;
}

/** A loaded adapter that a request uses. */
export interface AdapterUse {
  /** One of the names in `EngineInfo.adapters`. */
  readonly name: string;
  /** How strongly, -100 … 100; 0 is as if it were not named. Default 1. */
  readonly scale?: number;
}

/** What `classify` and `rerank` may be told beside their input. */
export interface JobOptions {
  /** At most `MAX_ADAPTERS_PER_REQUEST`, each once. Default: none. */
  readonly lora?: readonly AdapterUse[];
}

/** Adapters one model is loaded with. */
export const MAX_ADAPTERS = 16;
/** Adapters one request uses. */
export const MAX_ADAPTERS_PER_REQUEST = 4;
/** A scale lies between this number and its negative. */
export const MAX_ADAPTER_SCALE = 100;
export const MAX_ADAPTER_NAME_BYTES = 64;
