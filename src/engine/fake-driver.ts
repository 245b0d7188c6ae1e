/**
 * The fake implementation of `EngineDriver`: plans and loads from a script, on an injected clock. Knows nothing of
 * files; the engines it makes live in `fake-engine.ts`.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Clock, Random } from '../base/ports.js';
import { sleep } from '../base/ports.js';
import type { EngineDriver, EngineInfo, LoadOptions, MemoryPlan } from './engine.js';
import { FakeEngine } from './fake-engine.js';
import { FAKE_PREFIX_BYTES } from './fake-prefixes.js';
import type { FakeFault, FakeModel, FakeScript } from './fake-script.js';
import { FAKE_DEVICES, fakeModel, faultsFor } from './fake-script.js';
import { FAKE_VOCAB_SIZE } from './fake-text.js';
import { checkLoadOptions } from './validate.js';
import { checkDeviceIds } from './validate-places.js';
import { refuse } from './validate-values.js';

/** Progress calls of one fake load. */
const LOAD_PARTS = 10;
const DEFAULT_CHUNK_TOKENS = 256;
/** What every adapter is said to weigh. */
const FAKE_ADAPTER_BYTES = 1024 * 1024;

export interface FakeDriverPorts {
  readonly clock: Clock;
  /** Seeds of requests that bring none. */
  readonly random: Random;
  readonly script?: FakeScript;
  /**
   * What a scripted crash does to the process. After it the engine never calls anybody again. Default: throws out of
   * the clock's timer, which ends a real process.
   */
  readonly onCrash?: () => void;
}

/** A driver whose engines say seeded words. Equal scripts, clocks and random sources give equal runs. */
export function createFakeDriver(ports: FakeDriverPorts): EngineDriver {
  const script = ports.script ?? {};
  let loads = 0;
  return {
    kind: 'fake',
    build: 'fake engine',
    devices: () => script.devices ?? FAKE_DEVICES,
    async planMemory(options, signal) {
      checkLoadOptions(options);
      checkDeviceIds(options, script.devices ?? FAKE_DEVICES);
      if (signal?.aborted === true) throw new LlamaestroError('cancelled', 'the plan was cancelled before it began');
      const model = fakeModel(script, options.file);
      refuseUnusable(model, options);
      refuseAdapters(script, options);
      return plan(model, options);
    },
    async load(options, onProgress, signal) {
      checkLoadOptions(options);
      checkDeviceIds(options, script.devices ?? FAKE_DEVICES);
      loads += 1;
      const model = fakeModel(script, options.file);
      refuseAdapters(script, options);
      const faults = faultsFor(script, options.file, loads);
      const loadMs = faults.find((fault) => fault.kind === 'slow_load')?.loadMs ?? model.loadMs;
      await pretendToLoad(ports.clock, model, options, loadMs, faults, onProgress, signal);
      const planned = plan(model, options);
      return new FakeEngine({
        clock: ports.clock,
        random: ports.random,
        seed: script.seed ?? 0,
        model,
        faults,
        info: describe(model, options, planned, loadMs),
        planned,
        reuseGenerated: options.reuseGenerated ?? true,
        onCrash: ports.onCrash ?? crash,
      });
    },
  };
}

async function pretendToLoad(
  clock: Clock,
  model: FakeModel,
  options: LoadOptions,
  loadMs: number,
  faults: readonly FakeFault[],
  onProgress: ((fraction: number) => void) | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const failure = faults.find((fault) => fault.kind === 'load_error');
  const failAt = Math.round((failure?.atFraction ?? 0.5) * LOAD_PARTS);
  for (let part = 0; part <= LOAD_PARTS; part++) {
    if (signal?.aborted === true) throw new LlamaestroError('cancelled', 'the load was cancelled');
    if (part === 0) refuseUnusable(model, options);
    if (failure !== undefined && part === failAt) {
      throw new LlamaestroError(failure.code, `loading ${options.file} failed: scripted fault`);
    }
    onProgress?.(part / LOAD_PARTS);
    if (part === LOAD_PARTS) return;
    await sleep(clock, loadMs / LOAD_PARTS, signal).catch(() => undefined);
  }
}

function refuseUnusable(model: FakeModel, options: LoadOptions): void {
  if (model.unusable !== undefined) {
    throw new LlamaestroError('model_unusable', `${options.file}: ${model.unusable}`, { param: 'file' });
  }
}

function refuseAdapters(script: FakeScript, options: LoadOptions): void {
  for (const { file } of options.adapters ?? []) {
    const { unusable } = fakeModel(script, file);
    if (unusable === undefined) continue;
    throw new LlamaestroError('model_unusable', `the adapter ${file}: ${unusable}`, { param: 'adapters' });
  }
}

function plan(model: FakeModel, options: LoadOptions): MemoryPlan {
  const slots = options.slots ?? 1;
  const holdsContext = options.purpose !== 'vocab';
  const each = options.contextTokensPerSlot ?? Math.min(model.trainedContextTokens, 4096);
  const contextTokens = options.contextTokens ?? each * slots;
  const contextTokensPerSlot = options.contextTokensPerSlot ?? Math.floor(contextTokens / slots);
  const most = options.kvLayout === 'unified' ? contextTokens : contextTokens / slots;
  if (contextTokensPerSlot > most) refuse('contextTokensPerSlot', `a slot holds at most ${most} tokens`);
  if (contextTokensPerSlot < 1) refuse('contextTokens', 'contextTokens leaves less than one token for each slot');
  const adapters = options.adapters?.length ?? 0;
  const weightsBytes = holdsContext ? model.fileBytes + adapters * FAKE_ADAPTER_BYTES : 0;
  const kvBytes = options.purpose === 'generate' ? contextTokens * model.kvBytesPerToken : 0;
  const computeBytes = holdsContext ? model.computeBytes : 0;
  const outputBytes = holdsContext ? slots * FAKE_VOCAB_SIZE * 4 : 0;
  const estimatedExtraBytes = 1024 * 1024;
  return {
    devices: holdsContext ? [{ device: 'cpu', weightsBytes, kvBytes, computeBytes }] : [],
    outputBytes,
    estimatedExtraBytes,
    totalBytes: weightsBytes + kvBytes + computeBytes + outputBytes + estimatedExtraBytes,
    contextTokens,
    contextTokensPerSlot,
    slots,
    gpuLayers: 0,
    prefixCacheBytes: options.purpose === 'generate' ? (options.prefixCacheBytes ?? FAKE_PREFIX_BYTES) : 0,
    simulatedMs: 0,
  };
}

function describe(model: FakeModel, options: LoadOptions, planned: MemoryPlan, loadMs: number): EngineInfo {
  return {
    name: model.name,
    architecture: 'fake',
    file: options.file,
    fileBytes: model.fileBytes,
    parameterCount: model.parameterCount,
    vocabSize: FAKE_VOCAB_SIZE,
    trainedContextTokens: model.trainedContextTokens,
    embeddingLength: model.embeddingLength,
    layers: model.layers,
    hasChatTemplate: true,
    quantisation: 'F32',
    purpose: options.purpose,
    contextTokens: planned.contextTokens,
    contextTokensPerSlot: planned.contextTokensPerSlot,
    slots: planned.slots,
    threads: options.threads ?? 1,
    chunkTokens: options.chunkTokens ?? options.measuredChunkTokens ?? DEFAULT_CHUNK_TOKENS,
    loadMs,
    ...(options.adapters?.length ? { adapters: options.adapters.map(({ name }) => name) } : {}),
  };
}

function crash(): void {
  throw new Error('fake engine: scripted crash');
}
