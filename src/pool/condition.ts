/**
 * Whether the host of one model wears out: it gets slower than the model usually is, or takes more and more memory. Keeps what it
 * needs to tell; what is usual outlives the process. Recycling is somebody else's decision.
 */
import type { HostEvent } from '../schema/bus-messages.js';
import {
  isDegraded,
  isKnown,
  learned,
  pacedBy,
  sampleBetween,
  USUAL_PACE,
  type SpeedReading,
  type Usual,
} from './baseline.js';
import { creepOf, lookedAgain } from './creep.js';
import type { DeviceBytes } from './ledger.js';
import type { PoolLimits } from './limits.js';

/** What goes on around a host. */
export interface Around {
  /** Share of time in which something on the machine waited for a CPU. */
  readonly cpuPressure: number;
  /** Other hosts of the machine that work. */
  readonly others: number;
}

export interface ConditionParts {
  readonly limits: PoolLimits;
  /** Time that this process was awake. */
  readonly awakeMs: () => number;
  readonly around: () => Around;
}

/** Classes whose usual speed is remembered; the one that was not seen for longest goes. */
const MAX_CLASSES = 64;

const PERCENT = 100;
const MIB = 2 ** 20;

export class Condition {
  private readonly usual = new Map<string, Usual>();
  private from: SpeedReading | undefined;
  private pace = USUAL_PACE;
  private isCompared = false;
  private looks: Readonly<Record<string, readonly number[]>> = {};
  private bounds: DeviceBytes = {};
  private lookedAtMs = -Infinity;

  constructor(private readonly parts: ConditionParts) {}

  /** Its speed over the usual one; undefined until both are known. */
  get speedRatio(): number | undefined {
    return this.isCompared ? this.pace.ratio : undefined;
  }

  /** What it does worse than it should, in words. */
  get complaints(): readonly string[] {
    return [...(this.isSlow ? [this.slowness] : []), ...this.creeping];
  }

  get isSlow(): boolean {
    return isDegraded(this.pace, this.parts.awakeMs(), this.parts.limits);
  }

  /** Another process begins: what it does is compared with what is usual for the model. */
  renew(): void {
    this.from = undefined;
    this.looks = {};
    this.lookedAtMs = -Infinity;
    this.forgetPace();
  }

  /** A new process was no better, so this is what is usual now. */
  relearn(): void {
    this.usual.clear();
    this.forgetPace();
  }

  /** What another one knows of the same model. */
  takeOver(other: Condition): void {
    for (const [key, usual] of other.usual) this.usual.set(key, usual);
  }

  heard({ generatedTokens, promptTokens, running, waiting, cells }: HostEvent): void {
    const { awakeMs, around, limits } = this.parts;
    const { cpuPressure, others } = around();
    if (generatedTokens === undefined || promptTokens === undefined || cells === undefined) return;
    if (cpuPressure > limits.mostCpuPressure) {
      // Whoever is slow now may well be slow for others' sake.
      this.from = undefined;
      return this.forgetPace();
    }
    const counts = { generatedTokens, promptTokens, running, waiting, cells: cells.counted };
    this.compare({ ...counts, others, atMs: awakeMs() });
  }

  /** What it holds by device, and what it may count on. Looks from time to time only. */
  weigh(held: DeviceBytes, bounds: DeviceBytes): void {
    const { awakeMs, limits } = this.parts;
    if (awakeMs() - this.lookedAtMs < limits.creepLookMs) return;
    this.lookedAtMs = awakeMs();
    this.bounds = bounds;
    const looks = Object.entries(held).map(([device, bytes]) => [
      device,
      lookedAgain(this.looks[device] ?? [], bytes, limits),
    ]);
    this.looks = Object.fromEntries(looks) as typeof this.looks;
  }

  private compare(reading: SpeedReading): void {
    const { from } = this;
    const sample = from === undefined ? 'anew' : sampleBetween(from, reading);
    if (sample === 'wait') return;
    this.from = reading;
    if (sample === 'anew') return;
    const usual = this.usual.get(sample.key);
    if (isKnown(usual)) {
      this.isCompared = true;
      this.pace = pacedBy(this.pace, sample, usual, reading.atMs, this.parts.limits);
    }
    // What is slow for a while must not become what is usual.
    if (this.pace.slow === undefined) this.remember(sample.key, learned(usual, sample));
  }

  private remember(key: string, usual: Usual): void {
    this.usual.delete(key);
    this.usual.set(key, usual);
    const [oldest] = this.usual.keys();
    if (this.usual.size > MAX_CLASSES && oldest !== undefined) this.usual.delete(oldest);
  }

  private forgetPace(): void {
    this.pace = USUAL_PACE;
    this.isCompared = false;
  }

  private get slowness(): string {
    return `it makes ${String(Math.round(this.pace.ratio * PERCENT))} % of the tokens per second that are usual for it`;
  }

  private get creeping(): readonly string[] {
    return Object.entries(this.looks).flatMap(([device, looks]) => {
      const beyond = creepOf(looks, this.bounds[device] ?? 0, this.parts.limits);
      if (beyond === undefined) return [];
      return [`it holds ${(beyond / MIB).toFixed(0)} MiB more on ${device} than it may count on, and goes on growing`];
    });
  }
}
