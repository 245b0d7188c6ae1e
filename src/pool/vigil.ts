/**
 * The pool's watch over its hosts: hears what node agents say of native threads, knows when silence means something, and has
 * every instance looked at a few times a second. Counts in time that this process was awake. Judges nobody itself.
 */
import { AwakeTime } from '../base/awake-time.js';
import type { Logger } from '../base/log.js';
import type { Clock } from '../base/ports.js';
import type { Bus } from '../bus/bus.js';
import type { Checkup } from './checkup.js';
import type { Around } from './condition.js';
import { lagAfter, NO_LAG, worstOf } from './lag.js';
import type { PoolLimits } from './limits.js';
import { suspectsItself } from './liveness.js';
import type { NodeAgent, NodeWord } from './node-client.js';
import { Watchdog, type Line, type Neglect } from './watchdog.js';

/** Somebody with a host. */
export interface Watched {
  readonly hid: string | undefined;
  /** The time has come to look at the host's signs of life. */
  look(): void;
  readonly checkup: Pick<Checkup, 'pulsed' | 'isWorking'>;
  /** Nothing could be heard for a while: every host gets a fresh period. */
  listenAnew(): void;
  /** How its requests are served. */
  readonly line: Line;
  /** Looks again at everything there may be to do; harmless at any time. */
  rouse(): void;
}

/** What the pool knows of its own health. */
export interface VigilStatus {
  /** How late a timer of this process came, at worst, in the last minute or two. */
  readonly eventLoopLagMs: number;
  /** Models whose requests nobody works on, though somebody should. */
  readonly neglects: readonly Neglect[];
  /** Share of time in which something on the node's machine waited for a CPU. */
  readonly cpuPressure: number;
}

export interface VigilParts {
  readonly clock: Clock;
  readonly bus: Bus;
  readonly node: NodeAgent;
  readonly limits: PoolLimits;
  readonly log: Logger;
  readonly watched: () => readonly Watched[];
  /** After each look at all of them. */
  readonly onLooked: () => void;
}

export class Vigil {
  private readonly awake: AwakeTime;
  private readonly deaf: readonly (() => void)[];
  private nodeHeardAtMs = 0;
  private busLost = false;
  private lag = NO_LAG;
  private cpuPressure = 0;
  private readonly dog: Watchdog;

  constructor(private readonly parts: VigilParts) {
    const { clock, bus, node, limits, log } = parts;
    this.awake = new AwakeTime(clock, limits.lookMs, (lateMs) => this.look(lateMs));
    const awakeMs = (): number => this.awakeMs;
    this.dog = new Watchdog({ log, limits, awakeMs, lines: () => parts.watched().map(watchedLine) });
    this.deaf = [
      node.onAlive((word) => this.nodeSpoke(word)),
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

  /** What goes on around the host of `one`. */
  around(one: Watched): Around {
    const others = this.parts.watched().filter((other) => other !== one && other.checkup.isWorking).length;
    return { cpuPressure: this.cpuPressure, others };
  }

  get status(): VigilStatus {
    return { eventLoopLagMs: worstOf(this.lag), neglects: this.dog.complaints, cpuPressure: this.cpuPressure };
  }

  close(): void {
    this.awake.stop();
    for (const stop of this.deaf) stop();
  }

  private look(lateMs: number): void {
    const { clock, limits, log, watched } = this.parts;
    this.lag = lagAfter(this.lag, lateMs, clock.nowMs());
    if (suspectsItself(lateMs, limits)) log.warn('this process was blocked, or its machine slept', { lateMs });
    for (const one of watched()) one.look();
    this.dog.look();
    this.parts.onLooked();
  }

  private nodeSpoke({ hosts, cpuPressure }: NodeWord): void {
    this.nodeHeardAtMs = this.awakeMs;
    this.cpuPressure = cpuPressure;
    const watched = this.parts.watched();
    for (const pulse of hosts) watched.find(({ hid }) => hid === pulse.hid)?.checkup.pulsed(pulse);
  }

  private busChanged(isLost: boolean): void {
    this.busLost = isLost;
    if (!isLost) for (const watched of this.parts.watched()) watched.listenAnew();
  }
}

function watchedLine(watched: Watched): Line & { readonly rouse: () => void } {
  return { ...watched.line, rouse: () => watched.rouse() };
}
