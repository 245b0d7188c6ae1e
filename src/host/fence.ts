/**
 * Which attempt of a run may still start here. Each run has one highest attempt number; what is not above it comes too
 * late. Holds a bounded number of runs, so it forgets runs that ended long ago. Knows no engine.
 */
export type Verdict =
  | 'fresh'
  /** The same attempt was taken before. */
  | 'repeated'
  /** A later attempt of the run was taken before, or this one was cancelled before it came. */
  | 'fenced';

export class Fence {
  /** Highest attempt by run, in order of the last change. */
  private readonly highest = new Map<string, number>();

  constructor(private readonly maxRuns: number) {}

  judge(rid: string, att: number): Verdict {
    const highest = this.highest.get(rid);
    if (highest === undefined || att > highest) return 'fresh';
    return att === highest ? 'repeated' : 'fenced';
  }

  /** From now on `att` and everything below it is not fresh. */
  raise(rid: string, att: number): void {
    const highest = Math.max(att, this.highest.get(rid) ?? att);
    this.highest.delete(rid);
    this.highest.set(rid, highest);
    const [oldest] = this.highest.keys();
    if (this.highest.size > this.maxRuns && oldest !== undefined) this.highest.delete(oldest);
  }
}
