/**
 * Memory plans by file and options: equal questions asked at the same time share one answer, later ones get the kept
 * one until the file changes. Holds no more than it was told; knows neither planner nor bus.
 */
import { stat } from 'node:fs/promises';
import type { LoadOptions, MemoryPlan } from '../schema/load.js';

/** What a file is, as a text that changes when the file does; undefined when that cannot be said. */
export type FileIdentity = (file: string) => Promise<string | undefined>;

/** Path, size and time of the last change. */
export const fileIdentity: FileIdentity = async (file) => {
  try {
    const { size, mtimeMs } = await stat(file);
    return `${file}|${size}|${mtimeMs}`;
  } catch {
    return undefined; // the planner says what is wrong with the file
  }
};

export class PlanCache {
  /** Insertion order is order of use. */
  private readonly kept = new Map<string, MemoryPlan>();
  private readonly pending = new Map<string, Promise<MemoryPlan>>();

  constructor(
    private readonly maxPlans: number,
    private readonly identify: FileIdentity,
  ) {}

  /** The kept plan, or what `ask` gives; `mayKeep` decides about a new one. Errors are never kept. */
  async get(
    load: LoadOptions,
    ask: () => Promise<MemoryPlan>,
    mayKeep: (plan: MemoryPlan) => boolean | Promise<boolean>,
  ): Promise<MemoryPlan> {
    const identity = await this.identify(load.file);
    if (identity === undefined) return ask();
    const key = `${identity}|${optionsKey(load)}`;
    const kept = this.kept.get(key);
    if (kept !== undefined) {
      this.keep(key, kept);
      return kept;
    }
    const underWay = this.pending.get(key);
    if (underWay !== undefined) return underWay;
    const asking = this.askAndKeep(key, ask, mayKeep).finally(() => this.pending.delete(key));
    this.pending.set(key, asking);
    return asking;
  }

  private async askAndKeep(
    key: string,
    ask: () => Promise<MemoryPlan>,
    mayKeep: (plan: MemoryPlan) => boolean | Promise<boolean>,
  ): Promise<MemoryPlan> {
    const plan = await ask();
    if (await mayKeep(plan)) this.keep(key, plan);
    return plan;
  }

  private keep(key: string, plan: MemoryPlan): void {
    this.kept.delete(key);
    this.kept.set(key, plan);
    const [oldest] = this.kept.keys();
    if (this.kept.size > this.maxPlans && oldest !== undefined) this.kept.delete(oldest);
  }
}

/** The options that decide bytes, in a fixed order. */
function optionsKey({ file: _file, stepLock: _stepLock, ...options }: LoadOptions): string {
  return JSON.stringify(Object.entries(options).sort(([left], [right]) => (left < right ? -1 : 1)));
}
