/** Where the time of a run went, as seen from here: a stop watch over the phases of one attempt. Knows no clock and no run. */

export type Phase = 'queue' | 'load' | 'prefill' | 'decode';

/** Milliseconds spent in each phase. */
export interface PhaseTimes {
  readonly queueMs: number;
  readonly loadMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
}

export const NO_TIMES: PhaseTimes = { queueMs: 0, loadMs: 0, prefillMs: 0, decodeMs: 0 };

export function addTimes(times: PhaseTimes, more: Partial<PhaseTimes>): PhaseTimes {
  return {
    queueMs: times.queueMs + (more.queueMs ?? 0),
    loadMs: times.loadMs + (more.loadMs ?? 0),
    prefillMs: times.prefillMs + (more.prefillMs ?? 0),
    decodeMs: times.decodeMs + (more.decodeMs ?? 0),
  };
}

/** Milliseconds to a tenth: more is noise to whoever reads it. */
export function roundedMs(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/**
 * Measures what nobody else reports: a wait that ended without a lease, an attempt whose host died. What pool or host
 * say themselves is better, because it has no way over the bus in it.
 */
export class PhaseWatch {
  private phase: Phase = 'queue';
  private times = NO_TIMES;

  /** Starts in 'queue'. */
  constructor(private sinceMs: number) {}

  /** Cheap when it is the same phase. */
  enter(phase: Phase, nowMs: number): void {
    if (phase === this.phase) return;
    this.book(nowMs);
    this.phase = phase;
  }

  /** What was spent since the start or the last call; goes on in 'queue'. */
  take(nowMs: number): PhaseTimes {
    this.book(nowMs);
    const { times } = this;
    this.times = NO_TIMES;
    this.phase = 'queue';
    return times;
  }

  private book(nowMs: number): void {
    this.times = addTimes(this.times, { [`${this.phase}Ms`]: nowMs - this.sinceMs });
    this.sinceMs = nowMs;
  }
}
