/**
 * What the pool says to one host: commands that nobody waits for, and the verbs whose answer is the work itself (counting,
 * vectors, scores). Generation is not here: its frames are the orchestra's.
 */
import { assert } from '../base/assert.js';
import type { LlamaestroError } from '../base/errors.js';
import { toLlamaestroError } from '../base/errors.js';
import type { Bus } from '../bus/bus.js';
import { subjects } from '../bus/subjects.js';
import {
  AckCodec,
  EmbeddedCodec,
  replyOf,
  RerankedCodec,
  TokenizedCodec,
  type GroupMember,
  type HostCommand,
} from '../schema/bus-messages.js';
import { decode } from '../schema/decode.js';
import type { Prompt } from '../schema/load.js';
import { bodyOf } from './node-client.js';
import type { Lease } from './pool.js';

const AckReply = replyOf(AckCodec);
const TokenizedReply = replyOf(TokenizedCodec);
const EmbeddedReply = replyOf(EmbeddedCodec);
const RerankedReply = replyOf(RerankedCodec);

/** A model and the process that has it, perhaps among others. */
export type Served = Pick<Lease, 'hid' | 'model'>;

export interface HostClient {
  /** The host's refusal, or undefined: taken, or not heard, which the instance's own timers judge. */
  load(hid: string, members: readonly GroupMember[]): Promise<LlamaestroError | undefined>;
  /** Not answered, never fails. */
  renew(hid: string, attempts: readonly { readonly rid: string; readonly att: number }[]): void;
  /** Not waited for, never fails. `leave` saves the prefixes of the model before. */
  leave(hid: string): void;
  exit(hid: string): void;
  /** Rejects with the host's error, `no_host`, `ack_timeout`, or the signal's reason. */
  count(served: Served, prompt: Prompt, signal?: AbortSignal): Promise<number>;
  embed(
    served: Served,
    inputs: readonly string[],
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<readonly (readonly number[])[]>;
  rerank(
    served: Served,
    query: string,
    documents: readonly string[],
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<readonly number[]>;
}

/** Talks to any host by its id; keeps nothing. */
export function hostClient(bus: Bus, gid: string, hostCommandMs: number): HostClient {
  const command = (hid: string, order: HostCommand): Promise<unknown> =>
    bus.request(subjects.host(hid, 'ctl'), order, { timeoutMs: hostCommandMs });
  return {
    load: async (hid, members) => {
      let answer: unknown;
      try {
        answer = await command(hid, loadOf(members));
      } catch {
        return undefined;
      }
      try {
        bodyOf(decode(AckReply, answer, 'internal'));
        return undefined;
      } catch (thrown) {
        return toLlamaestroError(thrown);
      }
    },
    renew: (hid, attempts) => {
      const order: HostCommand = { op: 'renew', gid, attempts };
      bus.publish(subjects.host(hid, 'ctl'), order);
    },
    leave: (hid) => void command(hid, { op: 'leave' }).catch(() => undefined),
    exit: (hid) => void command(hid, { op: 'exit' }).catch(() => undefined),
    count: async ({ hid, model }, prompt, signal) => {
      const answer = bus.request(
        subjects.host(hid, 'tokenize'),
        { prompt, model },
        { timeoutMs: hostCommandMs },
        signal,
      );
      return bodyOf(decode(TokenizedReply, await answer, 'internal')).count;
    },
    embed: async ({ hid, model }, inputs, timeoutMs, signal) => {
      const answer = bus.request(subjects.host(hid, 'embed'), { inputs, model }, { timeoutMs }, signal);
      return bodyOf(decode(EmbeddedReply, await answer, 'internal')).vectors;
    },
    rerank: async ({ hid, model }, query, documents, timeoutMs, signal) => {
      const answer = bus.request(subjects.host(hid, 'rerank'), { query, documents, model }, { timeoutMs }, signal);
      return bodyOf(decode(RerankedReply, await answer, 'internal')).scores;
    },
  };
}

function loadOf(members: readonly GroupMember[]): HostCommand {
  const [first, ...others] = members;
  assert(first !== undefined, 'a load of something');
  return others.length === 0 ? { op: 'load', load: first.load } : { op: 'load-group', members };
}
