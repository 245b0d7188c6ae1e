/**
 * The node agent: alone starts, watches and ends the host processes of one machine, answers questions about its devices
 * and about loads that did not happen yet, and says when a process is gone. Knows no models, no requests and no policy:
 * which host to start or end is decided by whoever sends the commands.
 */
import { AwakeTime } from '../base/awake-time.js';
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Random } from '../base/ports.js';
import { answer } from '../bus/answer.js';
import type { Bus, Subscription } from '../bus/bus.js';
import { subjects } from '../bus/subjects.js';
import { NodeCommandCodec, type NodeCommand, type NodeEvent } from '../schema/bus-messages.js';
import { NODE_LIMITS } from '../schema/config.js';
import { decode } from '../schema/decode.js';
import type { LoadOptions, MemoryPlan } from '../schema/load.js';
import { machinePressure, type CpuPressure } from './cpu-pressure.js';
import type { DeviceProbe } from './device-probe.js';
import { ManagedHost } from './managed-host.js';
import { fileIdentity, PlanCache, type FileIdentity } from './plan-cache.js';
import { Planner } from './planner.js';
import type { HostExit, Spawner } from './spawner.js';

export interface NodeAgentOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly nid: string;
  readonly spawner: Spawner;
  readonly deviceProbe: DeviceProbe;
  readonly log: Logger;
  /** How hard the CPUs are fought over; the machine's own figures by default. */
  readonly cpuPressure?: CpuPressure;
  /** Tells one state of a model file from another; the file system by default. */
  readonly identify?: FileIdentity;
}

/** No model can have this name: names begin with a letter or a digit. */
const PLANNER_LABEL = '_planner';

export class NodeAgent {
  private readonly hosts = new Map<string, ManagedHost>();
  private readonly planner: Planner;
  private readonly plans: PlanCache;
  private readonly log: Logger;
  private readonly plannerHosts = new WeakSet<ManagedHost>();
  private hasGpu: boolean | undefined;
  private subscription: Subscription | undefined;
  private readonly awake: AwakeTime;
  private readonly readPressure: CpuPressure;
  /** As of the last beat: reading it must not keep the next one waiting. */
  private cpuPressure = 0;
  private closing: Promise<void> | undefined;

  constructor(private readonly options: NodeAgentOptions) {
    const { bus, clock, identify = fileIdentity, cpuPressure = machinePressure() } = options;
    this.readPressure = cpuPressure;
    this.log = options.log.child({ nid: options.nid });
    this.awake = new AwakeTime(clock, NODE_LIMITS.aliveMs, () => this.sayAlive());
    this.plans = new PlanCache(NODE_LIMITS.cachedPlans, identify);
    this.planner = new Planner({ bus, clock, makeHost: () => this.makePlannerHost() });
  }

  /** Begins to serve commands and to say that it is alive. Call once. */
  start(): void {
    const { bus, nid } = this.options;
    this.subscription = bus.subscribe(subjects.node(nid), (message) => {
      void answer(
        message,
        (body) => this.perform(decode(NodeCommandCodec, body)),
        (error) => this.log.error('a node command failed', { error }),
      );
    });
    this.sayAlive();
  }

  /** Processes that exist, the planner's included. */
  get processCount(): number {
    return this.hosts.size;
  }

  /** Ends every host; resolves when each process is gone. Idempotent. */
  close(): Promise<void> {
    this.closing ??= this.endAll();
    return this.closing;
  }

  private async endAll(): Promise<void> {
    this.subscription?.unsubscribe();
    for (const host of this.hosts.values()) host.kill(NODE_LIMITS.closeGraceMs);
    await Promise.all([this.planner.close(), ...[...this.hosts.values()].map((host) => host.gone)]);
    this.awake.stop();
  }

  private async perform(command: NodeCommand): Promise<unknown> {
    switch (command.op) {
      case 'spawn': {
        const host = this.addHost(command.hid, command.label);
        void host.gone.then((exit) => this.reportGone(host, exit));
        return { pid: await host.start() };
      }
      case 'relabel':
        this.hosts.get(command.hid)?.relabel(command.label);
        return {};
      case 'kill':
        // A host that is not here is as dead as one can be: killing twice is no error.
        this.hosts.get(command.hid)?.kill(command.graceMs);
        return {};
      case 'devices':
        return { devices: await this.options.deviceProbe.devices(this.planner) };
      case 'plan':
        return this.plan(command.load);
      case 'count':
        return this.planner.count(command.file, command.prompt);
      case 'hosts':
        return { hosts: this.modelHosts().map(({ hid, pid, label }) => ({ hid, pid, label })) };
    }
  }

  private plan(load: LoadOptions): Promise<MemoryPlan> {
    return this.plans.get(
      load,
      () => this.planner.plan(load),
      () => this.isLasting(load),
    );
  }

  /** 'auto' layers follow the free memory of the moment wherever there is a GPU; such a plan is good once. */
  private async isLasting(load: LoadOptions): Promise<boolean> {
    if (typeof load.gpuLayers === 'number') return true;
    try {
      this.hasGpu ??= (await this.planner.devices()).some((device) => device.kind !== 'cpu');
    } catch {
      return false; // the plan itself is good; it is only not kept
    }
    return !this.hasGpu;
  }

  private addHost(hid: string, label: string): ManagedHost {
    if (this.closing !== undefined) throw new LlamaestroError('draining', 'the node agent is closing');
    if (this.hosts.has(hid)) {
      throw new LlamaestroError('invalid_request', `host ${hid} exists already`, { param: 'hid' });
    }
    if (this.hosts.size >= NODE_LIMITS.hosts) {
      throw new LlamaestroError('no_host', `this node runs ${NODE_LIMITS.hosts} processes already`);
    }
    const { bus, clock, spawner } = this.options;
    const awakeMs = (): number => this.awake.nowMs;
    const host = new ManagedHost({ hid, label, bus, clock, awakeMs, spawner, log: this.log });
    this.hosts.set(hid, host);
    void host.gone.then(() => this.hosts.delete(hid));
    return host;
  }

  private makePlannerHost(): ManagedHost {
    const host = this.addHost(this.options.random.id('hp'), PLANNER_LABEL);
    this.plannerHosts.add(host);
    return host;
  }

  /** The planner's process is the agent's own affair: nobody else is told of it. */
  private modelHosts(): readonly ManagedHost[] {
    return [...this.hosts.values()].filter((host) => !this.plannerHosts.has(host));
  }

  private reportGone(host: ManagedHost, exit: HostExit | undefined): void {
    if (exit === undefined) return; // it never existed; whoever asked for it was told
    const { lastWords, ...how } = exit;
    const fields = { hid: host.hid, label: host.label, ...how };
    if (exit.exitCode === 0) this.log.info('a host is gone', fields);
    else this.log.warn('a host is gone', { ...fields, lastWords });
    this.publish({ v: 1, nid: this.options.nid, type: 'host-exited', hid: host.hid, ...exit });
  }

  private sayAlive(): void {
    if (this.subscription === undefined) return; // not started yet
    for (const host of this.hosts.values()) host.checkSilence();
    const hosts = this.modelHosts().map((host) => host.pulse());
    const { cpuPressure } = this;
    this.publish({ v: 1, nid: this.options.nid, type: 'alive', hosts, cpuPressure });
    void this.readPressure().then((pressure) => (this.cpuPressure = pressure));
  }

  private publish(event: NodeEvent): void {
    this.options.bus.publish(subjects.nodeEvents(this.options.nid), event);
  }
}
