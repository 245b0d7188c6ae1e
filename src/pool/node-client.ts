/**
 * The node agent as the pool sees it: the port `NodeAgent` and its implementation over the bus. The pool starts and ends
 * processes and reads devices only through it, so that a node may as well be another machine.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Bus } from '../bus/bus.js';
import { subjects } from '../bus/subjects.js';
import {
  AckCodec,
  DevicesCodec,
  HostsCodec,
  NodeEventCodec,
  replyOf,
  SpawnedCodec,
  TokenizedCodec,
  type HostPulse,
  type NodeCommand,
  type NodeEvent,
} from '../schema/bus-messages.js';
import { decode, faultsOf } from '../schema/decode.js';
import { MemoryPlanCodec, type DeviceInfo, type LoadOptions, type MemoryPlan, type Prompt } from '../schema/load.js';
import { DEFAULT_LIMITS, type PoolLimits } from './limits.js';

/**
 * Times that a question is asked when no answer comes: one that was on its way while the machine slept is overdue the
 * moment it wakes. Orders are given once.
 */
const QUESTION_TRIES = 2;

/** How a process ended. */
export interface HostExit {
  readonly hid: string;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly lastWords: string;
}

/** What a node agent says each second. */
export interface NodeWord {
  /** What it heard of each host's native thread. */
  readonly hosts: readonly HostPulse[];
  /** Share of time in which something on its machine waited for a CPU. */
  readonly cpuPressure: number;
}

/** Every call rejects with an operating error: the agent's own, `no_host` when it is not there, `ack_timeout`. */
export interface NodeAgent {
  readonly nid: string;
  /** Free bytes as they are now. */
  devices(): Promise<readonly DeviceInfo[]>;
  /** Bytes of a load that did not happen; `model_unusable` for a damaged file. */
  plan(load: LoadOptions): Promise<MemoryPlan>;
  /** Tokens of a prompt by the vocabulary of a file alone. */
  count(file: string, prompt: Prompt, signal?: AbortSignal): Promise<number>;
  /** Resolves when the process exists; it says 'idle' on the bus when it listens. */
  spawn(hid: string, label: string): Promise<{ readonly pid: number }>;
  /** Gives a host the name of what it is used for now; an unknown host is no error. */
  relabel(hid: string, label: string): Promise<void>;
  /** Resolves when the order is given; the end comes through `onExit`. An unknown host is no error. */
  kill(hid: string, graceMs: number): Promise<void>;
  /** Ids of the model hosts that exist. */
  hosts(): Promise<readonly string[]>;
  /** Returns the function that removes the listener. */
  onExit(listener: (exit: HostExit) => void): () => void;
  /** Once a second while the agent lives and the bus carries; returns the function that removes the listener. */
  onAlive(listener: (word: NodeWord) => void): () => void;
}

const DevicesReply = replyOf(DevicesCodec);
const PlanReply = replyOf(MemoryPlanCodec);
const CountReply = replyOf(TokenizedCodec);
const SpawnReply = replyOf(SpawnedCodec);
const AckReply = replyOf(AckCodec);
const HostsReply = replyOf(HostsCodec);

type Reply<T> =
  | { readonly ok: true; readonly body: T }
  | { readonly ok: false; readonly error: Parameters<typeof LlamaestroError.fromWire>[0] };

/** The body of a reply, or its error thrown. */
export function bodyOf<T>(reply: Reply<T>): T {
  if (!reply.ok) throw LlamaestroError.fromWire(reply.error);
  return reply.body;
}

/** A node agent reached over the bus; keeps nothing and needs no closing beyond its listeners. */
export function nodeClient(
  bus: Bus,
  nid: string,
  { nodeCommandMs, nodeWorkMs }: Pick<PoolLimits, 'nodeCommandMs' | 'nodeWorkMs'> = DEFAULT_LIMITS,
): NodeAgent {
  const ask = (command: NodeCommand, timeoutMs: number, signal?: AbortSignal): Promise<unknown> =>
    bus.request(subjects.node(nid), command, { timeoutMs }, signal);
  const question = async (command: NodeCommand, timeoutMs: number, signal?: AbortSignal): Promise<unknown> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask(command, timeoutMs, signal);
      } catch (thrown) {
        if (attempt === QUESTION_TRIES || toLlamaestroError(thrown).code !== 'ack_timeout') throw thrown;
      }
    }
  };
  const listen = (listener: (event: NodeEvent) => void): (() => void) => {
    const subscription = bus.subscribe(subjects.nodeEvents(nid), ({ body }) => {
      if (faultsOf(NodeEventCodec, body).length === 0) listener(decode(NodeEventCodec, body));
    });
    return () => subscription.unsubscribe();
  };
  return {
    nid,
    devices: async () =>
      bodyOf(decode(DevicesReply, await question({ op: 'devices' }, nodeWorkMs), 'internal')).devices,
    plan: async (load) => bodyOf(decode(PlanReply, await question({ op: 'plan', load }, nodeWorkMs), 'internal')),
    count: async (file, prompt, signal) =>
      bodyOf(decode(CountReply, await question({ op: 'count', file, prompt }, nodeWorkMs, signal), 'internal')).count,
    spawn: async (hid, label) =>
      bodyOf(decode(SpawnReply, await ask({ op: 'spawn', hid, label }, nodeCommandMs), 'internal')),
    relabel: async (hid, label) => {
      bodyOf(decode(AckReply, await ask({ op: 'relabel', hid, label }, nodeCommandMs), 'internal'));
    },
    kill: async (hid, graceMs) => {
      bodyOf(decode(AckReply, await ask({ op: 'kill', hid, graceMs }, nodeCommandMs), 'internal'));
    },
    hosts: async () =>
      bodyOf(decode(HostsReply, await question({ op: 'hosts' }, nodeCommandMs), 'internal')).hosts.map(
        ({ hid }) => hid,
      ),
    onExit: (listener) => listen((event) => (event.type === 'host-exited' ? listener(event) : undefined)),
    onAlive: (listener) =>
      listen((event) =>
        event.type === 'alive'
          ? listener({ hosts: event.hosts ?? [], cpuPressure: event.cpuPressure ?? 0 })
          : undefined,
      ),
  };
}
