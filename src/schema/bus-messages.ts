/**
 * Everything that travels on the bus, version 1: subjects are in `bus/subjects`, the order of frames in `bus/frame-*`.
 * Decoders are tolerant (unknown fields pass), so fields can be added inside a version; a changed meaning is a new type.
 *
 *   gateway -> node  node.<nid>.ctl        NodeCommand   request/reply -> NodeReply
 *   gateway -> host  host.<hid>.ctl        HostCommand   request/reply -> Ack
 *   gateway -> host  host.<hid>.<verb>     Gen, Embed, Rerank, Tokenize, Plan   request/reply
 *   host -> gateway  out.<gid>             Bundle        frames of all attempts, one message per flush
 *   host -> all      evt.host.<hid>        HostEvent
 *   node -> all      evt.node.<nid>        NodeEvent
 */
import * as t from 'io-ts';
import { isErrorCode, type ErrorCode } from '../base/errors.js';
import {
  DeviceInfoCodec,
  EngineInfoCodec,
  LoadOptionsCodec,
  MemoryPlanCodec,
  PromptCodec,
  SamplingCodec,
} from './load.js';

const ErrorCodeCodec = new t.Type<ErrorCode, string, unknown>(
  'an error code',
  isErrorCode,
  (value, context) => (isErrorCode(value) ? t.success(value) : t.failure(value, context)),
  (code) => code,
);

export const WireErrorCodec = t.intersection([
  t.type({ code: ErrorCodeCodec, message: t.string, remedy: t.string }),
  t.partial({ param: t.string, details: t.record(t.string, t.unknown) }),
]);

/** Every reply is one of these two. */
export function replyOf<A, O>(body: t.Type<A, O>) {
  return t.union([t.type({ ok: t.literal(true), body }), t.type({ ok: t.literal(false), error: WireErrorCodec })]);
}
/** Body of a reply that says nothing but yes. `live` answers `cancel`: false when that attempt does not run here, so no terminal frame will come. */
export const AckCodec = t.partial({ live: t.boolean });

export const UsageCodec = t.type({ promptTokens: t.number, cachedTokens: t.number, completionTokens: t.number });
export type Usage = t.TypeOf<typeof UsageCodec>;
export const SequenceTimingsCodec = t.type({ queueMs: t.number, prefillMs: t.number, decodeMs: t.number });
export type SequenceTimings = t.TypeOf<typeof SequenceTimingsCodec>;

/** Verb `gen`: one attempt of one run. `ttlMs` is the budget left at sending; the host adds its own monotonic clock. */
export const GenCodec = t.intersection([
  t.type({ rid: t.string, att: t.number, gid: t.string, ttlMs: t.number, creditFrames: t.number, prompt: PromptCodec }),
  SamplingCodec,
  t.partial({
    maxTokens: t.number,
    stop: t.readonlyArray(t.string),
    ignoreEos: t.boolean,
    /** Inside the engine, -10 … 10; higher ones go first. */
    priority: t.number,
    /** Adapters that the model was loaded with, and how strongly each counts. */
    lora: t.readonlyArray(t.type({ name: t.string, scale: t.number })),
    /** Which one of a host with several models; others take no notice. The same holds for the other verbs. */
    model: t.string,
  }),
]);
export type Gen = t.TypeOf<typeof GenCodec>;
/** Reply of `gen`: taken; `waiting` sequences are ahead inside the engine. */
export const GenAckCodec = t.type({ waiting: t.number });

/** Verb `tokenize`: counts a prompt. With `file` a host without a model answers from the vocabulary alone. */
export const TokenizeCodec = t.intersection([
  t.type({ prompt: PromptCodec }),
  t.partial({ file: t.string, wantIds: t.boolean, model: t.string }),
]);
export type Tokenize = t.TypeOf<typeof TokenizeCodec>;
export const TokenizedCodec = t.intersection([
  t.type({ count: t.number }),
  t.partial({ ids: t.readonlyArray(t.number) }),
]);
export type Tokenized = t.TypeOf<typeof TokenizedCodec>;

export const EmbedCodec = t.intersection([
  t.type({ inputs: t.readonlyArray(t.string) }),
  t.partial({ model: t.string }),
]);
export const EmbeddedCodec = t.type({ vectors: t.readonlyArray(t.readonlyArray(t.number)) });
export const RerankCodec = t.intersection([
  t.type({ query: t.string, documents: t.readonlyArray(t.string) }),
  t.partial({ model: t.string }),
]);
export const RerankedCodec = t.type({ scores: t.readonlyArray(t.number) });

/** Verb `plan`: bytes of a load before it happens; answered by a host without a model. */
export const PlanCodec = t.type({ load: LoadOptionsCodec });

/** Frames of one attempt: started, progress…, delta…, then exactly one of final, error, cancelled. `seq` counts from 0 without a gap. */
const frameHead = { rid: t.string, att: t.number, seq: t.number };
export const FrameCodec = t.union([
  t.type({ ...frameHead, type: t.literal('started'), promptTokens: t.number, cachedTokens: t.number }),
  t.type({ ...frameHead, type: t.literal('progress'), doneTokens: t.number, totalTokens: t.number }),
  t.type({
    ...frameHead,
    type: t.literal('delta'),
    firstIndex: t.number,
    ids: t.readonlyArray(t.number),
    text: t.string,
  }),
  t.type({
    ...frameHead,
    type: t.literal('final'),
    reason: t.keyof({ stop: null, length: null }),
    usage: UsageCodec,
    timings: SequenceTimingsCodec,
  }),
  t.type({ ...frameHead, type: t.literal('error'), error: WireErrorCodec }),
  t.type({ ...frameHead, type: t.literal('cancelled'), usage: UsageCodec, timings: SequenceTimingsCodec }),
]);
export type Frame = t.TypeOf<typeof FrameCodec>;
/** A frame before the sender numbers it. */
export type FrameBody = Frame extends infer F ? (F extends Frame ? Omit<F, 'rid' | 'att' | 'seq'> : never) : never;

export const BundleCodec = t.type({ v: t.literal(1), hid: t.string, frames: t.readonlyArray(FrameCodec) });
export type Bundle = t.TypeOf<typeof BundleCodec>;

/** One of several models of a host, and the name that requests call it by. */
const GroupMemberCodec = t.type({ model: t.string, load: LoadOptionsCodec });
export type GroupMember = t.TypeOf<typeof GroupMemberCodec>;

/**
 * Control of one host. `load-group` is a load of several models, all or none. `cancel`, `credit` and `resend` name an attempt and are idempotent; `exit` drains nothing. `leave` is
 * an exit that first saves the prompt prefixes of the model for the next load of the same configuration, within a few seconds.
 * `credit` says how many frames may have been sent in all since the attempt began, so a repeated one gives nothing twice.
 * `renew` extends the leases of all attempts a gateway runs there; what is not renewed for 15 s is cancelled.
 * `devices` is answered with Devices by a host without a model: asking touches the GPU, so only a planner host is asked.
 */
export const HostCommandCodec = t.union([
  t.type({ op: t.literal('load'), load: LoadOptionsCodec }),
  t.type({ op: t.literal('load-group'), members: t.readonlyArray(GroupMemberCodec) }),
  t.type({ op: t.literal('cancel'), rid: t.string, att: t.number }),
  t.type({ op: t.literal('credit'), rid: t.string, att: t.number, frames: t.number }),
  t.type({ op: t.literal('resend'), rid: t.string, att: t.number, fromSeq: t.number }),
  t.type({
    op: t.literal('renew'),
    gid: t.string,
    attempts: t.readonlyArray(t.type({ rid: t.string, att: t.number })),
  }),
  t.type({ op: t.literal('drain') }),
  t.type({ op: t.literal('devices') }),
  t.type({ op: t.literal('leave') }),
  t.type({ op: t.literal('exit') }),
]);
export type HostCommand = t.TypeOf<typeof HostCommandCodec>;

/** What one model of a host with several says of itself. */
const MemberReportCodec = t.intersection([
  t.type({ model: t.string, info: EngineInfoCodec, planned: MemoryPlanCodec, allocated: MemoryPlanCodec }),
  t.partial({ promptTokens: t.number, generatedTokens: t.number, prefixBytes: t.number }),
]);

/** idle: no model yet. failed: the load ended in `error`; the process exits after saying so. */
export const HostStateCodec = t.keyof({ idle: null, loading: null, ready: null, draining: null, failed: null });
export type HostState = t.TypeOf<typeof HostStateCodec>;

/** Published on each change of state, on load progress and every second, every two by a host without work. `attempts` are the live ones. */
export const HostEventCodec = t.intersection([
  t.type({
    v: t.literal(1),
    hid: t.string,
    nid: t.string,
    state: HostStateCodec,
    running: t.number,
    waiting: t.number,
    steps: t.number,
    stalledMs: t.number,
    attempts: t.readonlyArray(t.type({ rid: t.string, att: t.number })),
  }),
  t.partial({
    loadFraction: t.number,
    info: EngineInfoCodec,
    planned: MemoryPlanCodec,
    allocated: MemoryPlanCodec,
    promptTokens: t.number,
    generatedTokens: t.number,
    residentBytes: t.number,
    /** Host memory that the prefix cache holds; it is in what is observed on the CPU, and in no plan. */
    prefixBytes: t.number,
    /** Cells of the KV cache in use after the last step. */
    cells: t.type({ counted: t.number, recounted: t.number }),
    /** Tokens of prompts that this host took over from a file when it loaded. */
    restoredPrefixTokens: t.number,
    error: WireErrorCodec,
    /** Of a host with several models, once they are loaded: each by itself. What is beside them is the sum, as far as there is one. */
    members: t.readonlyArray(MemberReportCodec),
  }),
]);
export type MemberReport = t.TypeOf<typeof MemberReportCodec>;
export type HostEvent = t.TypeOf<typeof HostEventCodec>;

/** Commands to a node agent. `spawn` answers once the process exists; readiness comes as a HostEvent 'idle'. */
export const NodeCommandCodec = t.union([
  t.type({ op: t.literal('spawn'), hid: t.string, label: t.string }),
  t.type({ op: t.literal('relabel'), hid: t.string, label: t.string }),
  t.type({ op: t.literal('kill'), hid: t.string, graceMs: t.number }),
  t.type({ op: t.literal('devices') }),
  t.type({ op: t.literal('plan'), load: LoadOptionsCodec }),
  t.type({ op: t.literal('count'), file: t.string, prompt: PromptCodec }),
  t.type({ op: t.literal('hosts') }),
]);
export type NodeCommand = t.TypeOf<typeof NodeCommandCodec>;
export const SpawnedCodec = t.type({ pid: t.number });
export const DevicesCodec = t.type({ devices: t.readonlyArray(DeviceInfoCodec) });
export const HostsCodec = t.type({ hosts: t.readonlyArray(t.type({ hid: t.string, pid: t.number, label: t.string })) });

/** Milliseconds since the last heartbeat record of a host, and what that record counted. */
export const HostPulseCodec = t.type({
  hid: t.string,
  silentMs: t.number,
  steps: t.number,
  running: t.number,
  stalledMs: t.number,
});
export type HostPulse = t.TypeOf<typeof HostPulseCodec>;

export const NodeEventCodec = t.union([
  t.type({
    v: t.literal(1),
    nid: t.string,
    type: t.literal('host-exited'),
    hid: t.string,
    exitCode: t.union([t.number, t.null]),
    signal: t.union([t.string, t.null]),
    /** The last lines the process wrote, at most 4 KiB. */
    lastWords: t.string,
  }),
  t.intersection([
    t.type({ v: t.literal(1), nid: t.string, type: t.literal('alive') }),
    /** What the native heartbeat of each host said, which goes on while the host's event loop is blocked. */
    t.partial({
      hosts: t.readonlyArray(HostPulseCodec),
      /** Share of time in which something on this machine was ready to run and had to wait for a CPU. */
      cpuPressure: t.number,
    }),
  ]),
]);
export type NodeEvent = t.TypeOf<typeof NodeEventCodec>;
