/**
 * The signs of life of one host process, as they come in: words on the bus, pulses by way of the node agent. Remembers when the
 * last ones came and when its steps last moved; judges nothing.
 */
import type { HostEvent, HostPulse } from '../schema/bus-messages.js';
import type { Evidence } from './liveness.js';

type Counts = Pick<HostPulse, 'steps' | 'running' | 'stalledMs'>;

export class VitalSigns {
  private wordAtMs: number;
  /** When its native thread last gave a sign; undefined while nobody told. */
  private pulseAtMs: number | undefined;
  private steps = -1;
  private movedAtMs: number;
  private hasWork = false;
  private stalledMs = 0;
  private longestStepMs = 0;

  /** `awakeMs`: time that this process was awake. */
  constructor(private readonly awakeMs: () => number) {
    this.wordAtMs = this.movedAtMs = awakeMs();
  }

  /** A word on the bus. */
  heard({ steps, running, waiting, stalledMs }: Pick<HostEvent, 'steps' | 'running' | 'waiting' | 'stalledMs'>): void {
    this.wordAtMs = this.awakeMs();
    this.count({ steps, running: running + waiting, stalledMs });
  }

  /** What the node agent heard of its native thread. */
  pulsed(pulse: HostPulse): void {
    this.pulseAtMs = this.awakeMs() - pulse.silentMs;
    this.count(pulse);
  }

  /** Nothing could be heard for a while, so silence begins anew. */
  listenAnew(): void {
    this.wordAtMs = this.awakeMs();
    if (this.pulseAtMs !== undefined) this.pulseAtMs = this.awakeMs();
  }

  get isWorking(): boolean {
    return this.hasWork;
  }

  evidence(around: Pick<Evidence, 'canHear' | 'isLoading' | 'isLeased'>): Evidence {
    const { hasWork, stalledMs, longestStepMs, pulseAtMs } = this;
    const nowMs = this.awakeMs();
    return {
      ...around,
      wordAgeMs: nowMs - this.wordAtMs,
      ...(pulseAtMs === undefined ? {} : { pulseAgeMs: nowMs - pulseAtMs }),
      ...{ hasWork, stalledMs, longestStepMs },
      stillMs: hasWork ? nowMs - this.movedAtMs : 0,
    };
  }

  /** Words and pulses overtake each other; the number of steps tells which is the later one. */
  private count({ steps, running, stalledMs }: Counts): void {
    if (steps < this.steps) return;
    if (steps > this.steps && this.hasWork) this.longestStepMs = Math.max(this.longestStepMs, this.stalledMs);
    const hasWork = running > 0 || stalledMs > 0;
    if (steps > this.steps || !hasWork || !this.hasWork) this.movedAtMs = this.awakeMs();
    this.steps = steps;
    this.hasWork = hasWork;
    this.stalledMs = stalledMs;
  }
}
