/** Types of scripts/make-models/index.mjs, for the TypeScript that imports it. */

/** 'demo', 'test', 'architectures', 'bench' and 'bench-gpu' hold whole models; 'dev-sparse' holds true headers over empty tensor data. */
export type SetName = 'demo' | 'test' | 'architectures' | 'bench' | 'bench-gpu' | 'dev-sparse';

export const setNames: readonly SetName[];

export interface MakeModelsOptions {
  /** Folder the files go under, as `SET/NAME.gguf` (dev-sparse: under the real file's name); made when missing. */
  readonly out: string;
  /** Default: 'demo'. */
  readonly set?: SetName;
  /** One model of the set; default: all of it. */
  readonly only?: string;
  /** Root of a llama.cpp tree for vocabularies. Default: `defaultLlamaCppDir()`. */
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

/** LLAMA_CPP_DIR, else the tree that set-up unpacks. */
export function defaultLlamaCppDir(): string;

/** Names that have a script. */
export const scriptedNames: readonly string[];

/** What a scripted model answers; throws for a name that has no script. */
export function scriptedSentence(name: string): string;

/** The same answer as the pieces a reader sees, about one per token. */
export function scriptedPhrases(name: string): readonly string[];

/** A metadata value to write; 64-bit numbers may be BigInt, strings may be buffers. */
export interface GgufValue {
  readonly type: string;
  readonly elementType?: string;
  readonly value: unknown;
}

/** Makes metadata values: `kv.u32(4)`, `kv.array('string', ['a'])`. */
export const kv: Readonly<
  Record<
    'u8' | 'i8' | 'u16' | 'i16' | 'u32' | 'i32' | 'f32' | 'bool' | 'string' | 'u64' | 'i64' | 'f64',
    (value: unknown) => GgufValue
  >
> & { array(elementType: string, value: readonly unknown[]): GgufValue };

export interface GgufTensor {
  readonly name: string;
  readonly type: string;
  /** Row length first. */
  readonly shape: readonly number[];
}

export interface GgufModel {
  readonly metadata: readonly (readonly [string, GgufValue])[];
  /** `data` is called once, in file order, unless the model is sparse. */
  readonly tensors: readonly (GgufTensor & { readonly data?: () => Iterable<Uint8Array> })[];
  readonly sparse?: boolean;
  /** Default 32. */
  readonly alignment?: number;
}

/** Writes the file through a temporary neighbour and a rename; returns its bytes. */
export function writeGguf(path: string, model: GgufModel): Promise<number>;

export interface GgufHeader {
  readonly metadata: ReadonlyMap<string, GgufValue & { readonly raw: Buffer }>;
  /** Offsets count from `dataOffset`. */
  readonly tensors: readonly (GgufTensor & { readonly offset: number })[];
  readonly alignment: number;
  readonly dataOffset: number;
  readonly fileBytes: number;
}

/** Reads metadata and tensor table; rejects on anything that is not GGUF v3. */
export function readGgufHeader(path: string): Promise<GgufHeader>;

/** Bytes of a tensor's data. */
export function tensorBytes(type: string, shape: readonly number[]): number;

/** A random-weight model by the name of its shape. */
export function randomModel(name: string, llamaCppDir: string, seed?: number): Promise<GgufModel>;

/** A tokenizer of the llama.cpp tree, cut or filled to `size` tokens, with special tokens (`ids`: bos, eos …) of one's own choice. */
export function borrowedVocabulary(
  llamaCppDir: string,
  name: string,
  options?: {
    readonly size?: number;
    readonly template?: string;
    readonly ids?: Readonly<Record<string, number>>;
    readonly addBos?: boolean;
  },
): Promise<{ readonly size: number; readonly metadata: GgufModel['metadata'] }>;

/** The ten models of profiles/dev.yaml. */
export const devShapes: readonly {
  readonly role: string;
  readonly architecture: string;
  readonly source: { readonly repo: string; readonly file: string; readonly quantisation: string };
  /** Size of the real file, where known to three digits or better. */
  readonly fileBytes: number;
  readonly vocabularySize: number;
  readonly layers: number;
}[];
