/**
 * How long those who wait for one model will probably wait, from what was seen of it lately: a first come, first served
 * queue before a few slots, each taken for a typical time. Pure; undefined where nothing is known.
 */

/** Leases whose durations are remembered: enough for a typical time, few enough to follow a change of use. */
export const REMEMBERED_LEASES = 16;

export interface WaitFacts {
  /** Sequences the host runs at a time, at least 1. */
  readonly slots: number;
  /** How long the latest leases lasted. */
  readonly leaseMs: readonly number[];
  /** For how long each of the present leases is out. */
  readonly heldMs: readonly number[];
  /** Present while no host is ready. */
  readonly load?: {
    /** Since the load began; 0 before it does. */
    readonly elapsedMs: number;
    /** 0 … 1. */
    readonly fraction: number;
    /** How long the last load took, if there was one. */
    readonly lastMs: number | undefined;
  };
}

/** Milliseconds from now to the grant of each of the first `waiting` in the queue; undefined where nothing is known to tell it by. */
export function estimateWaits(facts: WaitFacts, waiting: number): readonly (number | undefined)[] {
  const typicalMs = mean(facts.leaseMs);
  const freeAtMs = slotsFree(facts, typicalMs);
  return Array.from({ length: waiting }, () => {
    const first = freeAtMs.indexOf(Math.min(...freeAtMs.map((atMs) => atMs ?? Infinity)));
    const atMs = freeAtMs[first];
    if (atMs === undefined) return undefined;
    freeAtMs[first] = typicalMs === undefined ? undefined : atMs + typicalMs;
    return Math.round(atMs);
  });
}

/** When each slot takes the next; undefined: nobody knows. */
function slotsFree({ slots, heldMs, load }: WaitFacts, typicalMs: number | undefined): (number | undefined)[] {
  return Array.from({ length: slots }, (_, slot) => {
    if (load !== undefined) return restOfLoad(load);
    const held = heldMs[slot];
    if (held === undefined) return 0;
    return typicalMs === undefined ? undefined : restOf(typicalMs, held);
  });
}

/** Milliseconds until a load is probably done. */
export function restOfLoad({ elapsedMs, fraction, lastMs }: NonNullable<WaitFacts['load']>): number | undefined {
  if (fraction > 0) return (elapsedMs * (1 - fraction)) / fraction;
  return lastMs === undefined ? undefined : restOf(lastMs, elapsedMs);
}

/** What takes longer than usual may end any moment or never; half the usual time is the guess that misleads least. */
function restOf(usualMs: number, elapsedMs: number): number {
  return elapsedMs < usualMs ? usualMs - elapsedMs : usualMs / 2;
}

function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}
