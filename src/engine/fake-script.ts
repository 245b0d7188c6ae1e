/**
 * What a fake engine is told to be: models with sizes and speeds, and faults at stated tokens or loads. Plain data, so
 * that a simulator seed or a test file can hold it. Knows nothing of how the fake engine carries it out.
 */
import type { ErrorCode } from '../base/errors.js';
import type { DeviceInfo } from './engine.js';

/** One file of the fake's world. Every field has a default (`FAKE_MODEL`). */
export interface FakeModel {
  readonly name: string;
  readonly fileBytes: number;
  readonly parameterCount: number;
  readonly trainedContextTokens: number;
  readonly embeddingLength: number;
  readonly layers: number;
  /** Bytes of KV per context token; with `fileBytes` and `computeBytes` it makes the memory plan. */
  readonly kvBytesPerToken: number;
  readonly computeBytes: number;
  /** What every sequence says; absent: words drawn from the seed and the prompt. */
  readonly answer?: string;
  /** What it thinks before the answer: between tags in the text, or apart where the request asks for that. */
  readonly reasoning?: string;
  /** What it calls instead of answering, where a request brings tools; `arguments` is JSON text. */
  readonly toolCall?: { readonly name: string; readonly arguments: string };
  readonly loadMs: number;
  /** One decode step, however many sequences are in it. */
  readonly stepMs: number;
  /** The file is damaged: `planMemory` and `load` refuse it with `model_unusable` and this sentence. */
  readonly unusable?: string;
}

/** The model behind every file that the script does not name. */
export const FAKE_MODEL: FakeModel = {
  name: 'fake',
  fileBytes: 64 * 1024 * 1024,
  parameterCount: 32_000_000,
  trainedContextTokens: 4096,
  embeddingLength: 32,
  layers: 4,
  kvBytesPerToken: 4096,
  computeBytes: 8 * 1024 * 1024,
  loadMs: 20,
  stepMs: 5,
};

/**
 * `atToken` counts the tokens an engine has generated over all its sequences, from 1; the fault happens instead of that
 * token. `stall` without `forMs` lasts until the process dies: cancel and close wait with it, as behind a stuck kernel.
 */
export type FakeFault = FaultScope &
  (
    | { readonly kind: 'crash'; readonly atToken: number }
    | { readonly kind: 'stall'; readonly atToken: number; readonly forMs?: number }
    | { readonly kind: 'sequence_error'; readonly atToken: number; readonly code: ErrorCode }
    | { readonly kind: 'load_error'; readonly code: ErrorCode; readonly atFraction?: number }
    | { readonly kind: 'slow_load'; readonly loadMs: number }
  );

/** Where a fault applies; absent fields mean everywhere. */
export interface FaultScope {
  readonly file?: string;
  /** The n-th load of this driver, from 1. */
  readonly onLoad?: number;
}

export interface FakeScript {
  /** Mixed into every draw; two drivers with equal scripts say the same. */
  readonly seed?: number;
  /** By `LoadOptions.file`; files not named here are `FAKE_MODEL`. */
  readonly models?: Readonly<Record<string, Partial<FakeModel>>>;
  readonly faults?: readonly FakeFault[];
  readonly devices?: readonly DeviceInfo[];
}

/** One CPU with 8 GiB, half of it free. */
export const FAKE_DEVICES: readonly DeviceInfo[] = [
  { id: 'cpu', kind: 'cpu', description: 'fake CPU', totalBytes: 8 * 1024 ** 3, freeBytes: 4 * 1024 ** 3 },
];

/** The model behind `file`. */
export function fakeModel(script: FakeScript, file: string): FakeModel {
  const stem = file.replace(/^.*[\\/]/, '').replace(/\.gguf$/i, '');
  return { ...FAKE_MODEL, name: stem === '' ? FAKE_MODEL.name : stem, ...script.models?.[file] };
}

/** The faults that concern the `loadNumber`-th load (from 1) of this driver. */
export function faultsFor(script: FakeScript, file: string, loadNumber: number): readonly FakeFault[] {
  return (script.faults ?? []).filter(
    (fault) => (fault.file ?? file) === file && (fault.onLoad ?? loadNumber) === loadNumber,
  );
}
