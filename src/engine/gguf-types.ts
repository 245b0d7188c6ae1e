/** What a GGUF file says about itself, as `readMetadata` gives it, and how that comes from the addon. */

/**
 * One value of a file's metadata. Whole numbers beyond 2^53 are rounded; bytes that are no UTF-8 are U+FFFD; a text of more
 * than 4096 bytes is cut there and ends in an ellipsis.
 */
export type GgufScalar = number | string | boolean;

/** An array: how long it is, and at most its first 32 elements. */
export interface GgufArray {
  readonly length: number;
  readonly first: readonly GgufScalar[];
}

/** A model in one or several files, an adapter, a projector: any GGUF file, read without loading it. */
export interface GgufMetadata {
  /** The parts, in order; one where the model is in one file. */
  readonly files: readonly string[];
  /** Of all parts. */
  readonly fileBytes: number;
  /** Of the format: 2 or 3. */
  readonly version: number;
  /** general.type: 'model', 'adapter' …; 'model' where the file does not say. */
  readonly kind: string;
  readonly architecture?: string;
  readonly name?: string;
  readonly license?: string;
  /** The mixture that the file names ('Q4_K - Medium'), else the type that most bytes have. */
  readonly quantisation?: string;
  /** Whole up to 1 MiB. */
  readonly chatTemplate?: string;
  /** What the model was trained with. */
  readonly contextTokens?: number;
  readonly vocabSize?: number;
  /** Of all parts, as the figures below. */
  readonly tensorCount: number;
  readonly parameterCount: number;
  readonly tensorBytes: number;
  /** By the name of the tensors' type: `{ q8_0: 1234, f32: 56 }`. */
  readonly bytesByType: Readonly<Record<string, number>>;
  /** Every key of the first part. */
  readonly values: Readonly<Record<string, GgufScalar | GgufArray>>;
}

type Pairs<T> = readonly (readonly [name: string, value: T])[];

/** As the addon gives it: absent texts are empty, absent numbers 0, records are pairs. */
export interface NativeGgufMetadata extends Required<Omit<GgufMetadata, 'bytesByType' | 'values'>> {
  readonly bytesByType: Pairs<number>;
  readonly values: Pairs<GgufScalar | GgufArray>;
}

/** The contract's shape of what the addon read. */
export function fromNativeMetadata(native: NativeGgufMetadata): GgufMetadata {
  const { architecture, name, license, quantisation, chatTemplate, contextTokens, vocabSize, ...rest } = native;
  const optional = { architecture, name, license, quantisation, chatTemplate, contextTokens, vocabSize };
  const known = Object.entries(optional).filter(([, value]) => value !== '' && value !== 0);
  return {
    ...rest,
    ...Object.fromEntries(known),
    bytesByType: Object.fromEntries(native.bytesByType),
    values: Object.fromEntries(native.values),
  };
}
