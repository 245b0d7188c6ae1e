/** A node agent with real processes on an embedded bus, in a folder of its own, and a gateway's end of that bus. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '../../src/base/log.js';
import { systemClock, systemRandom } from '../../src/base/system-ports.js';
import { startBroker, type Broker } from '../../src/bus/broker/broker.js';
import type { Bus } from '../../src/bus/bus.js';
import { connectNats } from '../../src/bus/nats-bus.js';
import { subjects, type Verb } from '../../src/bus/subjects.js';
import { machineProbe } from '../../src/node/device-probe.js';
import { NodeAgent } from '../../src/node/node-agent.js';
import { ProcessSpawner } from '../../src/node/process-spawner.js';
import type { Frame, Gen, HostEvent, NodeCommand, NodeEvent } from '../../src/schema/bus-messages.js';
import { homePaths } from '../../src/schema/config.js';
import type { LoadOptions } from '../../src/schema/load.js';
import type { LooseReply } from '../support/loose-reply.js';

export interface RealNodeOptions {
  readonly engine?: 'native' | 'fake';
  /** Replaces the entry of the host processes. */
  readonly entry?: string;
}

export class RealNode {
  readonly events: HostEvent[] = [];
  readonly nodeEvents: NodeEvent[] = [];
  readonly frames: Frame[] = [];
  private hostCount = 0;
  private readonly attempts: { readonly hid: string; readonly rid: string; readonly att: number }[] = [];
  /** What a gateway does every few seconds, so that its attempts live on. */
  private readonly renewing = setInterval(() => this.renew(), 3000);

  private constructor(
    readonly home: string,
    readonly broker: Broker,
    readonly gateway: Bus,
    readonly agent: NodeAgent,
    private readonly nodeBus: Bus,
  ) {
    gateway.subscribe(subjects.allHostEvents, ({ body }) => void this.events.push(body as HostEvent));
    gateway.subscribe(subjects.allNodeEvents, ({ body }) => void this.nodeEvents.push(body as NodeEvent));
    gateway.subscribe(subjects.out('g1'), ({ body }) => {
      this.frames.push(...(body as { frames: readonly Frame[] }).frames);
    });
  }

  static async start(options: RealNodeOptions = {}): Promise<RealNode> {
    const home = mkdtempSync(join(tmpdir(), 'llamaestro-node-'));
    const [clock, random, log] = [systemClock, systemRandom, silentLogger];
    const broker = await startBroker({ clock, random, log });
    const connect = (name: string): Promise<Bus> =>
      connectNats({ servers: broker.url, token: broker.token, name, clock, random, log });
    const nodeBus = await connect('node');
    const spawner = new ProcessSpawner({
      config: {
        nid: 'n1',
        busUrl: broker.url,
        busToken: broker.token,
        engine: options.engine ?? 'native',
        logLevel: 'info',
        prefixFolder: homePaths(home).prefixes,
        prefixDiskBytes: 2 ** 30,
      },
      logFolder: homePaths(home).logs,
      log,
      ...(options.entry === undefined ? {} : { entry: options.entry }),
    });
    const agent = new NodeAgent({
      bus: nodeBus,
      clock,
      random,
      nid: 'n1',
      spawner,
      deviceProbe: machineProbe({}),
      log,
    });
    agent.start();
    const node = new RealNode(home, broker, await connect('gateway'), agent, nodeBus);
    await Promise.all([node.gateway.flush(), nodeBus.flush()]);
    return node;
  }

  get stepLock(): string {
    return homePaths(this.home).stepLock;
  }

  async command(command: NodeCommand): Promise<LooseReply> {
    return (await this.gateway.request(subjects.node('n1'), command, { timeoutMs: 60_000 })) as LooseReply;
  }

  /** Starts a host process; resolves when it is on the bus. */
  async spawn(label = 'test'): Promise<{ readonly hid: string; readonly pid: number }> {
    const hid = `h${++this.hostCount}`;
    const { ok, body, error } = await this.command({ op: 'spawn', hid, label });
    if (!ok) throw new Error(error.message);
    await this.until(() => this.events.some((event) => event.hid === hid && event.state === 'idle'), `${hid} idle`);
    return { hid, pid: body.pid };
  }

  async ask(hid: string, verb: Verb, body: unknown): Promise<LooseReply> {
    return (await this.gateway.request(subjects.host(hid, verb), body, { timeoutMs: 60_000 })) as LooseReply;
  }

  /** Starts a host and loads a model into it; resolves when that is ready. */
  async spawnWith(
    load: Partial<LoadOptions> & { file: string },
  ): Promise<{ readonly hid: string; readonly pid: number }> {
    const host = await this.spawn();
    await this.ask(host.hid, 'ctl', { op: 'load', load: { purpose: 'generate', threads: 1, ...load } });
    const stateOf = (): HostEvent | undefined => this.events.findLast((event) => event.hid === host.hid);
    await this.until(() => ['ready', 'failed'].includes(stateOf()?.state ?? ''), `${host.hid} ready`);
    if (stateOf()?.state === 'failed') throw new Error(stateOf()?.error?.message);
    return host;
  }

  async gen(hid: string, fields: Partial<Gen> & { rid: string }): Promise<LooseReply> {
    const prompt = { kind: 'text', text: 'Hello, who are you?' } as const;
    this.attempts.push({ hid, rid: fields.rid, att: fields.att ?? 1 });
    return this.ask(hid, 'gen', { att: 1, gid: 'g1', ttlMs: 60_000, creditFrames: 500, prompt, ...fields });
  }

  private renew(): void {
    for (const { hid, rid, att } of this.attempts) {
      this.gateway.publish(subjects.host(hid, 'ctl'), { op: 'renew', gid: 'g1', attempts: [{ rid, att }] });
    }
  }

  framesOf(rid: string): readonly Frame[] {
    return this.frames.filter((frame) => frame.rid === rid);
  }

  textOf(rid: string): string {
    return this.framesOf(rid)
      .map((frame) => (frame.type === 'delta' ? frame.text : ''))
      .join('');
  }

  async terminal(rid: string): Promise<Frame> {
    const find = (): Frame | undefined =>
      this.framesOf(rid).find(({ type }) => type === 'final' || type === 'error' || type === 'cancelled');
    await this.until(() => find() !== undefined, `the end of ${rid}`);
    return find()!;
  }

  async exitOf(hid: string): Promise<Extract<NodeEvent, { type: 'host-exited' }>> {
    const find = (): NodeEvent | undefined =>
      this.nodeEvents.find((event) => event.type === 'host-exited' && event.hid === hid);
    await this.until(() => find() !== undefined, `the exit of ${hid}`);
    return find() as Extract<NodeEvent, { type: 'host-exited' }>;
  }

  until(condition: () => boolean, what: string, limitMs = 30_000): Promise<void> {
    return until(condition, what, limitMs);
  }

  async close(): Promise<void> {
    clearInterval(this.renewing);
    await this.agent.close();
    await this.gateway.close();
    await this.nodeBus.close();
    await this.broker.close();
    rmSync(this.home, { recursive: true });
  }
}

/** Looks every few milliseconds; throws when `condition` does not come true within `limitMs`. */
export async function until(condition: () => boolean, what: string, limitMs = 30_000): Promise<void> {
  const endMs = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`waited ${limitMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** False when there is no such process, or only what is left of one that nobody has reaped. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
