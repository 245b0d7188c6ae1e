/** How a model is loaded and what memory it takes, in the form that crosses the bus and the journal. Mirrors `engine/engine.ts`. */
import * as t from 'io-ts';
import { numberIn, textOf } from './shape.js';

export { SamplingCodec, type Sampling } from './sampling.js';

const KV_TYPES = { f32: null, f16: null, bf16: null, q8_0: null, q4_0: null, q4_1: null, q5_0: null, q5_1: null };
export const KvTypeCodec = t.keyof(KV_TYPES, `one of ${Object.keys(KV_TYPES).join(', ')}`);
export const PurposeCodec = t.keyof({ generate: null, embed: null, rerank: null, vocab: null });

export const LoadOptionsCodec = t.intersection([
  t.type({ file: textOf(1, 4096), purpose: PurposeCodec }),
  t.partial({
    contextTokens: numberIn(1, 2 ** 24, 'whole'),
    slots: numberIn(1, 256, 'whole'),
    contextTokensPerSlot: numberIn(2, 2 ** 24, 'whole'),
    gpuLayers: t.union([numberIn(0, 1024, 'whole'), t.literal('auto')]),
    kvTypeK: KvTypeCodec,
    kvTypeV: KvTypeCodec,
    flashAttention: t.keyof({ auto: null, on: null, off: null }),
    kvLayout: t.keyof({ split: null, unified: null }),
    devices: t.readonlyArray(textOf(1, 32)),
    splitMode: t.keyof({ none: null, layer: null, row: null }),
    mainDevice: textOf(1, 32),
    tensorSplit: t.readonlyArray(t.number),
    cpuMoeLayers: numberIn(0, 512, 'whole'),
    tensorOverrides: t.readonlyArray(t.type({ pattern: textOf(1, 256), device: textOf(1, 32) })),
    adapters: t.readonlyArray(t.type({ name: textOf(1, 64), file: textOf(1, 4096) })),
    threads: numberIn(1, 512, 'whole'),
    chunkTokens: numberIn(16, 4096, 'whole'),
    measuredChunkTokens: numberIn(16, 4096, 'whole'),
    prefixCacheBytes: numberIn(0, 2 ** 40, 'whole'),
    reuseGenerated: t.boolean,
    mmap: t.boolean,
    stepLock: textOf(1, 4096),
  }),
]);
/** What decides bytes and behaviour of a loaded model. */
export type LoadOptions = t.TypeOf<typeof LoadOptionsCodec>;

export const DeviceInfoCodec = t.intersection([
  t.type({
    id: t.string,
    kind: t.keyof({ cpu: null, cuda: null, metal: null, vulkan: null, other: null }),
    description: t.string,
    totalBytes: t.number,
    freeBytes: t.number,
  }),
  /** The most that our models may take of it, where somebody set a limit (`LLAMAESTRO_DEVICE_LIMITS`). */
  t.partial({ limitBytes: t.number }),
]);
/** One memory device of a machine. */
export type DeviceInfo = t.TypeOf<typeof DeviceInfoCodec>;

export const MemoryPlanCodec = t.intersection([
  t.type({
    devices: t.readonlyArray(
      t.type({ device: t.string, weightsBytes: t.number, kvBytes: t.number, computeBytes: t.number }),
    ),
    outputBytes: t.number,
    estimatedExtraBytes: t.number,
    totalBytes: t.number,
    contextTokens: t.number,
    contextTokensPerSlot: t.number,
    slots: t.number,
    gpuLayers: t.number,
    simulatedMs: t.number,
  }),
  t.partial({
    prefixCacheBytes: t.number,
    sharedWeights: t.literal(true),
    /** Of a prediction: the build of the engine that made it. */
    build: t.string,
    /** Of a read-back only: what the system showed, beside what was planned. */
    observed: t.readonlyArray(
      t.intersection([
        t.type({ device: t.string, plannedBytes: t.number, allocatedBytes: t.number }),
        t.partial({ observedBytes: t.number, differenceBytes: t.number }),
      ]),
    ),
  }),
]);
/** Bytes per device: predicted, or read back after a load. */
export type MemoryPlan = t.TypeOf<typeof MemoryPlanCodec>;

export const EngineInfoCodec = t.type({
  name: t.string,
  architecture: t.string,
  file: t.string,
  fileBytes: t.number,
  parameterCount: t.number,
  vocabSize: t.number,
  trainedContextTokens: t.number,
  embeddingLength: t.number,
  layers: t.number,
  hasChatTemplate: t.boolean,
  quantisation: t.string,
  purpose: PurposeCodec,
  contextTokens: t.number,
  contextTokensPerSlot: t.number,
  slots: t.number,
  threads: t.number,
  chunkTokens: t.number,
  loadMs: t.number,
});
/** What a loaded model is. */
export type EngineInfo = t.TypeOf<typeof EngineInfoCodec>;

export const ChatMessageCodec = t.type({ role: textOf(1, 64), content: t.string });
/** One turn of a conversation; text only in this version. */
export type ChatMessage = t.TypeOf<typeof ChatMessageCodec>;

export const PromptCodec = t.union([
  t.type({ kind: t.literal('text'), text: t.string }),
  t.intersection([
    t.type({ kind: t.literal('messages'), messages: t.readonlyArray(ChatMessageCodec) }),
    t.partial({
      thinking: t.boolean,
      templateArguments: t.record(t.string, t.unknown),
    }),
  ]),
  t.type({ kind: t.literal('tokens'), tokens: t.readonlyArray(numberIn(0, 2 ** 31 - 1, 'whole')) }),
]);
/** What a sequence starts from. */
export type Prompt = t.TypeOf<typeof PromptCodec>;
