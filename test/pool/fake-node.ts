/**
 * A node agent and its model hosts as far as the bus can tell, on fake time: they speak the messages of version 1 and do
 * what the test says. Knows nothing of the pool.
 */
import type { Clock } from '../../src/base/ports.js';
import type { LlamaestroError } from '../../src/base/errors.js';
import { answer } from '../../src/bus/answer.js';
import type { Bus } from '../../src/bus/bus.js';
import type { SimNetwork } from '../../src/bus/sim-bus.js';
import { subjects } from '../../src/bus/subjects.js';
import type {
  HostCommand,
  HostEvent,
  HostPulse,
  HostState,
  MemberReport,
  NodeCommand,
} from '../../src/schema/bus-messages.js';
import type { DeviceInfo, EngineInfo, LoadOptions, MemoryPlan, Prompt } from '../../src/schema/load.js';

export const MIB = 2 ** 20;
const BEAT_MS = 1000;
/** Of a host that runs nothing. */
const IDLE_BEAT_MS = 2000;

/** What the test decides; all of it may be changed at any time. */
export interface FakeScript {
  devices: DeviceInfo[];
  /** Bytes on the CPU by file; 1 MiB when absent. */
  bytes: Record<string, number>;
  /** Bytes on 'cuda0' by file; none when absent. */
  gpuBytes: Record<string, number>;
  /** What a loaded host is seen to take beyond its plan, by device. */
  beyondPlan: Record<string, number>;
  /** What others use of a device, what hosts left behind included. */
  foreign: Record<string, number>;
  /** Of a host without a model. */
  spareBytes: number;
  /** What planning a file fails with. */
  planErrors: Record<string, LlamaestroError>;
  /** How long a load takes; Infinity: until the test ends it. */
  loadMs: number;
  /** What loading a file ends in, said by the host itself. */
  loadErrors: Record<string, LlamaestroError>;
  /** The answers to these commands get lost. */
  mute: ('load' | 'spawn')[];
  /** What a spawn fails with. */
  spawnError: LlamaestroError | undefined;
  /** From spawn to 'idle'. */
  startMs: number;
  /** Hosts do not answer `exit`, and take the kill alone. */
  deafToExit: boolean;
  /** The agent tells what it hears of the native threads of its hosts. */
  tellsPulses: boolean;
  cpuPressure: number;
}

export class FakeHost {
  state: HostState = 'idle';
  /** One, or those of a group. */
  members: readonly { readonly model?: string; readonly load: LoadOptions }[] = [];
  readonly commands: HostCommand[] = [];
  attempts: { rid: string; att: number }[] = [];
  /** What its engine counts. */
  steps = 0;
  running = 0;
  stalledMs = 0;
  generatedTokens = 0;
  cells = 100;
  private isGone = false;
  private isMute = false;
  private frozenAtMs: number | undefined;
  private fraction = 0;

  constructor(
    readonly hid: string,
    /** What it is used for; a spare one gets another. */
    public label: string,
    private readonly node: FakeNode,
    private readonly bus: Bus,
  ) {
    const serve = (verb: 'ctl' | 'tokenize' | 'embed' | 'rerank', work: (body: never) => unknown): void => {
      bus.subscribe(subjects.host(hid, verb), (message) => {
        if (!this.isMute)
          void answer(
            message,
            (body) => work(body as never),
            () => undefined,
          );
      });
    };
    node.clock.setTimer(node.script.startMs, () => {
      if (this.isGone) return;
      serve('ctl', (command: HostCommand) => this.obey(command));
      serve('tokenize', ({ prompt }: { prompt: Prompt }) => ({ count: countOf(prompt) }));
      serve('embed', ({ inputs }: { inputs: string[] }) => ({ vectors: inputs.map((text) => [text.length, 1]) }));
      serve('rerank', ({ documents }: { documents: string[] }) => ({ scores: documents.map((text) => text.length) }));
      this.beat();
    });
  }

  get isAlive(): boolean {
    return !this.isGone;
  }

  /** Ends the process as the operating system would see it. */
  die(signal: string | null = 'SIGKILL', lastWords = ''): void {
    if (this.isGone) return;
    this.isGone = true;
    void this.bus.close();
    this.node.reportExit(this.hid, signal, lastWords);
  }

  /** Alive, but says and answers nothing any more. */
  mute(): void {
    this.isMute = true;
  }

  /** The whole process stands still, as after SIGSTOP. */
  freeze(): void {
    this.isMute = true;
    this.frozenAtMs = this.node.clock.nowMs();
  }

  /** What the node agent hears of its native thread. */
  pulse(): HostPulse {
    const { hid, steps, running, stalledMs, frozenAtMs } = this;
    return {
      hid,
      silentMs: frozenAtMs === undefined ? 0 : this.node.clock.nowMs() - frozenAtMs,
      steps,
      running,
      stalledMs,
    };
  }

  progress(fraction: number): void {
    this.fraction = fraction;
    this.say();
  }

  finishLoad(): void {
    if (this.isGone || this.state !== 'loading') return;
    const [error] = this.members.flatMap(({ load }) => this.node.script.loadErrors[load.file] ?? []);
    this.state = error === undefined ? 'ready' : 'failed';
    this.say(error);
    if (error !== undefined) this.node.clock.setTimer(5, () => this.die(null));
  }

  say(error?: LlamaestroError): void {
    if (this.isGone || this.isMute) return;
    const [first] = this.members;
    const cells = { counted: this.cells, recounted: this.cells };
    const tokens = { generatedTokens: this.generatedTokens, promptTokens: 0 };
    const facts =
      this.state !== 'ready' || first === undefined
        ? {}
        : first.model === undefined
          ? { info: infoOf(first.load), allocated: this.node.reportOf(first.load), ...tokens, cells }
          : { members: this.members.map((member) => this.reportOf(member)), ...tokens };
    const event: HostEvent = {
      ...{ v: 1, hid: this.hid, nid: this.node.nid, state: this.state, running: this.running, waiting: 0 },
      ...{
        steps: this.steps,
        stalledMs: this.stalledMs,
        attempts: this.attempts,
        loadFraction: this.fraction,
        ...facts,
      },
      ...(error === undefined ? {} : { error: error.toWire() }),
      ...(this.state === 'idle' ? { residentBytes: this.node.script.spareBytes } : {}),
    };
    this.bus.publish(subjects.hostEvents(this.hid), event);
  }

  private reportOf({ model = '', load }: (typeof this.members)[number]): MemberReport {
    const planned = this.node.planOf(load);
    return { model, info: infoOf(load), planned, allocated: planned, generatedTokens: this.steps, promptTokens: 0 };
  }

  private obey(command: HostCommand): unknown {
    this.commands.push(command);
    const { clock, script } = this.node;
    if (command.op === 'load' || command.op === 'load-group') {
      this.members = command.op === 'load' ? [command] : command.members;
      this.state = 'loading';
      this.say();
      if (script.loadMs !== Infinity) clock.setTimer(script.loadMs, () => this.finishLoad());
      if (script.mute.includes('load')) return new Promise(() => undefined);
    }
    if ((command.op === 'leave' || command.op === 'exit') && !script.deafToExit)
      clock.setTimer(5, () => this.die(null));
    return {};
  }

  private beat(): void {
    if (this.isGone) return;
    this.say();
    const isIdle = this.state === 'ready' && this.attempts.length === 0;
    this.node.clock.setTimer(isIdle ? IDLE_BEAT_MS : BEAT_MS, () => this.beat());
  }
}

export class FakeNode {
  readonly nid = 'node_1';
  /** Every host ever started, oldest first. */
  readonly hosts: FakeHost[] = [];
  readonly commands: NodeCommand[] = [];
  readonly script: FakeScript = {
    devices: [{ id: 'cpu', kind: 'cpu', description: 'fake', totalBytes: 2048 * MIB, freeBytes: 2048 * MIB }],
    bytes: {},
    gpuBytes: {},
    beyondPlan: {},
    foreign: {},
    spareBytes: 0,
    planErrors: {},
    loadMs: 100,
    loadErrors: {},
    mute: [],
    spawnError: undefined,
    startMs: 20,
    deafToExit: false,
    tellsPulses: true,
    cpuPressure: 0,
  };
  private readonly bus: Bus;

  constructor(
    readonly clock: Clock,
    private readonly network: SimNetwork,
  ) {
    this.bus = network.connect('node');
    this.bus.subscribe(subjects.node(this.nid), (message) => {
      void answer(
        message,
        (body) => this.perform(body as NodeCommand),
        () => undefined,
      );
    });
    this.sayAlive();
  }

  /** The living hosts of one model. */
  of(label: string): FakeHost[] {
    return this.hosts.filter((host) => host.label === label && host.isAlive);
  }

  /** The one living host of a model. */
  one(label: string): FakeHost {
    const [host, ...others] = this.of(label);
    if (host === undefined || others.length > 0) throw new Error(`${others.length + 1} hosts of ${label}`);
    return host;
  }

  count(op: NodeCommand['op']): number {
    return this.commands.filter((command) => command.op === op).length;
  }

  planOf({ file, contextTokens = 512, slots = 1 }: LoadOptions): MemoryPlan {
    const { bytes: onCpu, gpuBytes } = this.script;
    const bytes = { cpu: onCpu[file] ?? MIB, cuda0: gpuBytes[file] ?? 0 };
    const rows = Object.entries(bytes).filter(([, count]) => count > 0);
    return {
      devices: rows.map(([device, weightsBytes]) => ({ device, weightsBytes, kvBytes: 0, computeBytes: 0 })),
      ...{ outputBytes: 0, estimatedExtraBytes: 0, totalBytes: bytes.cpu + bytes.cuda0, gpuLayers: 0, simulatedMs: 1 },
      build: 'fake 1',
      ...{ contextTokens, slots, contextTokensPerSlot: Math.floor(contextTokens / slots) },
    };
  }

  /** What a loaded host says about its memory. */
  reportOf(load: LoadOptions): MemoryPlan {
    const plan = this.planOf(load);
    const observed = plan.devices.map(({ device, weightsBytes }) => ({
      ...{ device, plannedBytes: weightsBytes, allocatedBytes: weightsBytes },
      observedBytes: weightsBytes + (this.script.beyondPlan[device] ?? 0),
    }));
    return { ...plan, observed };
  }

  /** Free bytes as they are with the hosts that live and have a model. */
  devicesNow(): DeviceInfo[] {
    const loaded = this.hosts.filter((host) => host.isAlive && host.state === 'ready');
    return this.script.devices.map((device) => {
      const members = loaded.flatMap((host) => host.members);
      const taken = members.map(({ load }) => {
        const rows = this.reportOf(load).observed ?? [];
        return rows.find((row) => row.device === device.id)?.observedBytes ?? 0;
      });
      const empty = this.hosts.filter((host) => host.isAlive && host.state === 'idle').length;
      const spareBytes = device.id === 'cpu' ? empty * this.script.spareBytes : 0;
      const used = taken.reduce((sum, bytes) => sum + bytes, (this.script.foreign[device.id] ?? 0) + spareBytes);
      return { ...device, freeBytes: Math.max(0, device.freeBytes - used) };
    });
  }

  reportExit(hid: string, signal: string | null, lastWords: string): void {
    const how = { exitCode: signal === null ? 0 : null, signal, lastWords };
    this.bus.publish(subjects.nodeEvents(this.nid), { v: 1, nid: this.nid, type: 'host-exited', hid, ...how });
  }

  private perform(command: NodeCommand): unknown {
    this.commands.push(command);
    switch (command.op) {
      case 'spawn': {
        const { hid, label } = command;
        if (this.script.spawnError !== undefined) throw this.script.spawnError;
        this.hosts.push(new FakeHost(hid, label, this, this.network.connect(hid)));
        if (this.script.mute.includes('spawn')) return new Promise(() => undefined);
        return { pid: 1000 + this.hosts.length };
      }
      case 'relabel': {
        const host = this.hosts.find(({ hid }) => hid === command.hid);
        if (host !== undefined) host.label = command.label;
        return {};
      }
      case 'kill':
        this.hosts.find(({ hid }) => hid === command.hid)?.die();
        return {};
      case 'devices':
        return { devices: this.devicesNow() };
      case 'plan': {
        const error = this.script.planErrors[command.load.file];
        if (error !== undefined) throw error;
        return this.planOf(command.load);
      }
      case 'count':
        return { count: countOf(command.prompt) };
      case 'hosts': {
        const living = this.hosts.filter((host) => host.isAlive);
        return { hosts: living.map(({ hid, label }) => ({ hid, label, pid: 1 })) };
      }
    }
  }

  private sayAlive(): void {
    const hosts = this.script.tellsPulses
      ? this.hosts.filter(({ isAlive }) => isAlive).map((host) => host.pulse())
      : [];
    this.bus.publish(subjects.nodeEvents(this.nid), {
      v: 1,
      nid: this.nid,
      type: 'alive',
      hosts,
      cpuPressure: this.script.cpuPressure,
    });
    this.clock.setTimer(BEAT_MS, () => this.sayAlive());
  }
}

function countOf(prompt: Prompt): number {
  if (prompt.kind === 'tokens') return prompt.tokens.length;
  return prompt.kind === 'text' ? prompt.text.length : prompt.messages.length;
}

function infoOf(load: LoadOptions): EngineInfo {
  const { contextTokens = 512, slots = 1 } = load;
  return {
    ...{ name: 'fake', architecture: 'fake', file: load.file, fileBytes: 1, parameterCount: 1, vocabSize: 1 },
    ...{ trainedContextTokens: 512, embeddingLength: 2, layers: 1, hasChatTemplate: false, quantisation: 'f32' },
    ...{ purpose: load.purpose, contextTokens, slots, contextTokensPerSlot: Math.floor(contextTokens / slots) },
    ...{ threads: 1, chunkTokens: 16, loadMs: 1 },
  };
}
