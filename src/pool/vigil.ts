/**
 * The pool's watch over its hosts: hears what node agents say of native threads, knows when silence means something, and has
 * every instance looked at a few times a second. Counts in time that this process was awake. Judges nobody itself.
 */
import { AwakeTime } from '../base/awake-time.js';
import type { Clock } from '../base/ports.js';
import type { Bus } from '../bus/bus.js';
import type { HostPulse } from '../schema/bus-messages.js';
import type { PoolLimits } from './limits.js';
import type { NodeAgent } from './node-client.js';

/** Somebody with a host. */
export interface Watched {
  readonly hid: string | undefined;
  /** The time has come to look at the host's signs of life. */
  look(): void;
  pulsed(pulse: HostPulse): void;
  /** Nothing could be heard for a while: every host gets a fresh period. */
  listenAnew(): void;
}

export interface VigilParts {
  readonly clock: Clock;
  readonly bus: Bus;
  readonly node: NodeAgent;
  readonly limits: PoolLimits;
  readonly watched: () => readonly Watched[];
}

export class Vigil {
  private readonly awake: AwakeTime;
  private readonly deaf: readonly (() => void)[];
  private nodeHeardAtMs = 0;
  private busLost = false;

  constructor(private readonly parts: VigilParts) {
    const { clock, bus, node, limits } = parts;
    this.awake = new AwakeTime(clock, limits.lookMs, () => this.look());
    this.deaf = [
      node.onAlive((hosts) => this.nodeSpoke(hosts)),
      bus.onStatus((status) => this.busChanged(status === 'lost')),
    ];
  }

  /** Time that this process was awake. */
  get awakeMs(): number {
    return this.awake.nowMs;
  }

  /** False while silence says nothing about a host: the bus is lost, or the node agent beside it is just as silent. */
  get canHear(): boolean {
    const { nodeSuspectMs, nodeSilenceMs } = this.parts.limits;
    const silentMs = this.awakeMs - this.nodeHeardAtMs;
    return !this.busLost && (silentMs < nodeSuspectMs || silentMs > nodeSilenceMs);
  }

  close(): void {
    this.awake.stop();
    for (const stop of this.deaf) stop();
  }

  private look(): void {
    for (const watched of this.parts.watched()) watched.look();
  }

  private nodeSpoke(hosts: readonly HostPulse[]): void {
    this.nodeHeardAtMs = this.awakeMs;
    const watched = this.parts.watched();
    for (const pulse of hosts) watched.find(({ hid }) => hid === pulse.hid)?.pulsed(pulse);
  }

  private busChanged(isLost: boolean): void {
    this.busLost = isLost;
    if (!isLost) for (const watched of this.parts.watched()) watched.listenAnew();
  }
}
