/** A spawner whose processes are scripted: what they answer on the bus and how they take signals. */
import { LlamaestroError } from '../../src/base/errors.js';
import type { Bus } from '../../src/bus/bus.js';
import { subjects } from '../../src/bus/subjects.js';
import type { Heartbeat } from '../../src/node/heartbeat.js';
import type { HostExit, HostProcess, SpawnRequest, Spawner } from '../../src/node/spawner.js';

/** How a process behaves; all false is one that does as it is told. */
export interface Manners {
  /** Does not exist at all. */
  readonly refusesToStart?: boolean;
  /** Exists, but never gets to the bus. */
  readonly isMute?: boolean;
  /** Answers `exit` and stays. */
  readonly ignoresExit?: boolean;
  readonly ignoresSigterm?: boolean;
  /** Answers of the verbs, by verb; a missing one is never answered. */
  readonly answers?: Readonly<Record<string, (body: unknown) => unknown>>;
}

export class FakeProcess implements HostProcess {
  readonly signals: string[] = [];
  /** What it was relabelled to. */
  readonly labels: string[] = [];
  isGone = false;

  constructor(
    readonly pid: number,
    readonly request: SpawnRequest,
    private readonly bus: Bus,
    private readonly manners: Manners,
  ) {
    if (manners.isMute === true) return;
    bus.subscribe(subjects.host(request.hid, 'ctl'), ({ body, respond }) => {
      const { op } = body as { op: string };
      if (op !== 'exit') return respond(manners.answers?.[op]?.(body));
      respond({ ok: true, body: {} });
      this.signals.push('exit');
      if (manners.ignoresExit !== true) this.exit({ exitCode: 0 });
    });
    for (const verb of ['plan', 'tokenize'] as const) {
      bus.subscribe(subjects.host(request.hid, verb), ({ body, respond }) => {
        const reply = manners.answers?.[verb]?.(body);
        if (reply !== undefined) respond(reply);
      });
    }
    bus.publish(subjects.hostEvents(request.hid), { state: 'idle' });
  }

  signal(name: 'SIGTERM' | 'SIGKILL'): void {
    if (this.isGone) return;
    this.signals.push(name);
    if (name === 'SIGKILL' || this.manners.ignoresSigterm !== true) this.exit({ exitCode: null, signal: name });
  }

  relabel(label: string): void {
    this.labels.push(label);
  }

  beat(fields: Partial<Heartbeat> = {}): void {
    const none = { number: 0, steps: 0, promptTokens: 0, generatedTokens: 0, running: 0, waiting: 0, stalledMs: 0 };
    this.request.onHeartbeat({ ...none, engines: 0, ...fields });
  }

  exit(exit: Partial<HostExit>): void {
    if (this.isGone) return;
    this.isGone = true;
    void this.bus.close();
    this.request.onExit({ exitCode: null, signal: null, lastWords: '', ...exit });
  }
}

export class FakeSpawner implements Spawner {
  readonly processes: FakeProcess[] = [];
  manners: Manners = {};

  constructor(private readonly connect: (name: string) => Bus) {}

  async spawn(request: SpawnRequest): Promise<HostProcess> {
    if (this.manners.refusesToStart === true) throw new LlamaestroError('load_failed', 'no process');
    const pid = 1000 + this.processes.length;
    const process = new FakeProcess(pid, request, this.connect(request.hid), this.manners);
    this.processes.push(process);
    return process;
  }

  /** The newest process; there must be one. */
  get last(): FakeProcess {
    const process = this.processes.at(-1);
    if (process === undefined) throw new Error('no process was spawned');
    return process;
  }
}
