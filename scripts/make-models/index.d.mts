/** Types of scripts/make-models/index.mjs, for the TypeScript that imports it. */

/** 'demo', 'test' and 'bench' hold whole models; 'dev-sparse' holds true headers over empty tensor data. */
export type SetName = 'demo' | 'test' | 'bench' | 'dev-sparse';

export interface MakeModelsOptions {
  /** Folder the files go under, as `SET/NAME.gguf`; made when missing. */
  readonly out: string;
  /** Default: 'demo'. */
  readonly set?: SetName;
  /** One model of the set; default: all of it. */
  readonly only?: string;
  /** Root of a llama.cpp tree for vocabularies. Default: LLAMA_CPP_DIR, else vendor/llama.cpp. */
  readonly llamaCppDir?: string;
  /** One line per file made. Default: silent. */
  readonly log?: (line: string) => void;
}

export interface MadeModel {
  readonly name: string;
  /** Absolute path. */
  readonly path: string;
  readonly bytes: number;
  /** False when an up-to-date file was there already. */
  readonly made: boolean;
}

/** Makes what is missing or out of date; rejects on an unknown set or name, or a missing vocabulary file. */
export function makeModels(options: MakeModelsOptions): Promise<readonly MadeModel[]>;

/** What a scripted model answers; throws for a name that has no script. */
export function scriptedSentence(name: string): string;

/** The same answer, one string per token. */
export function scriptedPhrases(name: string): readonly string[];
