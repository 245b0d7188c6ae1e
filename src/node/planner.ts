/**
 * The planner: at most one host process without a model, started when a question needs the addon (bytes of a load, the
 * tokens of a prompt, the devices) and ended when none came for a while. Knows how to ask, not what is done with answers.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Clock, Timer } from '../base/ports.js';
import type { Reply } from '../bus/answer.js';
import type { Bus } from '../bus/bus.js';
import { subjects, type Verb } from '../bus/subjects.js';
import {
  DevicesCodec,
  replyOf,
  TokenizedCodec,
  type HostCommand,
  type Tokenize,
  type Tokenized,
} from '../schema/bus-messages.js';
import { NODE_LIMITS } from '../schema/config.js';
import { decode } from '../schema/decode.js';
import { MemoryPlanCodec, type DeviceInfo, type LoadOptions, type MemoryPlan, type Prompt } from '../schema/load.js';
import type { DeviceSource } from './device-probe.js';
import type { ManagedHost } from './managed-host.js';

export interface PlannerParts {
  readonly bus: Bus;
  readonly clock: Clock;
  /** A host that is not started yet, under an id of its own. */
  readonly makeHost: () => ManagedHost;
}

const PlanReply = replyOf(MemoryPlanCodec);
const TokenizeReply = replyOf(TokenizedCodec);
const DevicesReply = replyOf(DevicesCodec);

export class Planner implements DeviceSource {
  private host: ManagedHost | undefined;
  private ready: Promise<ManagedHost> | undefined;
  private pendingCount = 0;
  private idleTimer: Timer | undefined;
  private isClosed = false;

  constructor(private readonly parts: PlannerParts) {}

  /** Bytes of a load before it happens. Errors: those of the driver, `host_lost` when the simulation ended the process. */
  async plan(load: LoadOptions): Promise<MemoryPlan> {
    return unwrap(decode(PlanReply, await this.ask('plan', { load }), 'internal'));
  }

  /** Tokens of a prompt under the vocabulary of `file`. */
  async count(file: string, prompt: Prompt): Promise<Tokenized> {
    const body: Tokenize = { prompt, file };
    return unwrap(decode(TokenizeReply, await this.ask('tokenize', body), 'internal'));
  }

  async devices(): Promise<readonly DeviceInfo[]> {
    const command: HostCommand = { op: 'devices' };
    return unwrap(decode(DevicesReply, await this.ask('ctl', command), 'internal')).devices;
  }

  /** Ends the process, if there is one; resolves when it is gone. Questions under way fail with `host_lost`. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.idleTimer?.cancel();
    this.host?.kill(NODE_LIMITS.closeGraceMs);
    await this.host?.gone;
  }

  private async ask(verb: Verb, body: unknown): Promise<unknown> {
    if (this.isClosed) throw new LlamaestroError('draining', 'the node agent is closing');
    if (this.pendingCount >= NODE_LIMITS.plannerPending) {
      throw new LlamaestroError('queue_full', `${NODE_LIMITS.plannerPending} questions wait for the planner already`);
    }
    this.pendingCount += 1;
    this.idleTimer?.cancel();
    try {
      return await this.askHost(await (this.ready ?? this.begin()), verb, body);
    } finally {
      this.pendingCount -= 1;
      if (this.pendingCount === 0) this.waitIdle();
    }
  }

  private async askHost(host: ManagedHost, verb: Verb, body: unknown): Promise<unknown> {
    const timeoutMs = NODE_LIMITS.plannerAnswerMs;
    const reply = this.parts.bus.request(subjects.host(host.hid, verb), body, { timeoutMs });
    try {
      return await Promise.race([reply, lossOf(host)]);
    } catch (thrown) {
      // Whoever does not answer in time is stuck in native code: the next question gets a new process.
      if (thrown instanceof LlamaestroError && thrown.code === 'ack_timeout') host.kill(0);
      throw thrown;
    }
  }

  private begin(): Promise<ManagedHost> {
    const host = this.parts.makeHost();
    this.host = host;
    void host.gone.then(() => this.forget(host));
    this.ready = this.start(host);
    return this.ready;
  }

  private async start(host: ManagedHost): Promise<ManagedHost> {
    // Subscribed before the process exists, so that its first word cannot be missed.
    let heard: () => void = () => undefined;
    const firstWord = new Promise<void>((resolve) => (heard = resolve));
    const subscription = this.parts.bus.subscribe(subjects.hostEvents(host.hid), heard);
    const patience = this.parts.clock.setTimer(NODE_LIMITS.plannerStartMs, () => host.kill(0));
    try {
      await host.start();
      await Promise.race([firstWord, lossOf(host)]);
      return host;
    } finally {
      patience.cancel();
      subscription.unsubscribe();
    }
  }

  private forget(host: ManagedHost): void {
    if (this.host !== host) return;
    this.host = undefined;
    this.ready = undefined;
    this.idleTimer?.cancel();
  }

  private waitIdle(): void {
    const host = this.host;
    if (host === undefined || this.isClosed) return;
    this.idleTimer = this.parts.clock.setTimer(NODE_LIMITS.plannerIdleMs, () => {
      this.forget(host); // a question from now on starts a new one
      host.kill(NODE_LIMITS.closeGraceMs);
    });
  }
}

/** Rejects when the process is gone. */
async function lossOf(host: ManagedHost): Promise<never> {
  const exit = await host.gone;
  throw new LlamaestroError('host_lost', 'the planner host ended before it answered', {
    details: exit === undefined ? {} : { ...exit },
  });
}

function unwrap<T>(reply: Reply<T>): T {
  if (!reply.ok) throw LlamaestroError.fromWire(reply.error);
  return reply.body;
}
