/**
 * Whether the pool does its own work: a request that waits for a model which could serve it or be loaded, and is not, means that
 * the scheduler lost it. The policy is pure and looks at what is there, not at why; the dog only barks and shakes awake.
 */
import type { Logger } from '../base/log.js';
import type { InstanceState } from './instance.js';
import type { PoolLimits } from './limits.js';

/** One model as the watchdog sees it. */
export interface Line {
  readonly model: string;
  readonly state: InstanceState['name'];
  readonly waiting: number;
  readonly leased: number;
  /** Sequences its host can run; 0 without one. */
  readonly slots: number;
  /** 'starting' without a process: it waits for bytes, and the placer knows. */
  readonly isPlacing: boolean;
  readonly isInLine: boolean;
  /** It leaves soon and may let its requests wait for its successor. */
  readonly isHeld: boolean;
  /** 'failed': for how long the next try has been due; at most 0 while it is not. */
  readonly overdueMs: number;
}

export function lineOf({
  model,
  state,
  desk,
  isInLine,
  isHeld,
  nowMs,
}: Pick<Line, 'model' | 'isInLine' | 'isHeld'> & {
  readonly state: InstanceState;
  readonly desk: Pick<Line, 'waiting' | 'leased' | 'slots'>;
  readonly nowMs: number;
}): Line {
  const { waiting, leased, slots } = desk;
  const isPlacing = state.name === 'starting' && state.step === 'placing';
  const overdueMs = state.name === 'failed' ? nowMs - state.failure.retryAtMs : 0;
  return { model, state: state.name, waiting, leased, slots, isPlacing, isInLine, isHeld, overdueMs };
}

/** A model whose requests nobody works on, since when, and in which words. */
export interface Neglect {
  readonly model: string;
  readonly why: string;
  readonly sinceMs: number;
}

/** What is wrong with this line now; undefined when somebody or some timer works on it. A single look proves nothing. */
export function neglectOf(line: Line): string | undefined {
  if (line.waiting === 0 || line.isHeld) return undefined;
  switch (line.state) {
    case 'unloaded':
      return 'nobody loads it';
    case 'starting':
      return line.isPlacing && !line.isInLine ? 'its load waits in no line' : undefined;
    case 'ready':
      return line.leased < line.slots ? 'its slots are free' : undefined;
    case 'draining':
      return line.leased === 0 ? 'its host waits for nothing' : undefined;
    case 'failed':
      return line.overdueMs > 0 ? 'its next try is overdue' : undefined;
    case 'loading':
    case 'stopping':
      return undefined;
  }
}

/** The neglects after one more look: those seen before keep their time, as long as the reason stays the same. */
export function neglectsAfter(before: readonly Neglect[], lines: readonly Line[], nowMs: number): readonly Neglect[] {
  return lines.flatMap((line) => {
    const why = neglectOf(line);
    if (why === undefined) return [];
    const known = before.find((neglect) => neglect.model === line.model && neglect.why === why);
    return [known ?? { model: line.model, why, sinceMs: nowMs }];
  });
}

/** Those that have lasted too long to be a moment between two events. */
export function complaintsOf(
  neglects: readonly Neglect[],
  nowMs: number,
  { schedulerStuckMs }: Pick<PoolLimits, 'schedulerStuckMs'>,
): readonly Neglect[] {
  return neglects.filter(({ sinceMs }) => nowMs - sinceMs >= schedulerStuckMs);
}

export interface WatchdogParts {
  readonly log: Logger;
  readonly limits: PoolLimits;
  /** Time that this process was awake. */
  readonly awakeMs: () => number;
  /** Every model; `rouse` makes it look again at what it has to do, harmless at any time. */
  readonly lines: () => readonly (Line & { readonly rouse: () => void })[];
}

/** Looks again and again, complains once of each neglect, and rouses whoever it concerns until it is over. */
export class Watchdog {
  private neglects: readonly Neglect[] = [];
  private told: readonly Neglect[] = [];

  constructor(private readonly parts: WatchdogParts) {}

  /** What is wrong now. */
  get complaints(): readonly Neglect[] {
    return this.told;
  }

  look(): void {
    const { log, limits, awakeMs, lines } = this.parts;
    const seen = lines();
    this.neglects = neglectsAfter(this.neglects, seen, awakeMs());
    const before = this.told;
    this.told = complaintsOf(this.neglects, awakeMs(), limits);
    for (const complaint of this.told) {
      const { model, why } = complaint;
      if (!before.includes(complaint)) log.error('the scheduler lost sight of requests', { model, why });
      seen.find((line) => line.model === model)?.rouse();
    }
    const isOver = before.length > 0 && this.told.length === 0;
    if (isOver) log.warn('the scheduler sees all requests again');
  }
}
