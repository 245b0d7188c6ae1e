/**
 * What a simulation is corrected by: what such loads took beyond it before, and what they grew by while they stood. Pure.
 * Never takes anything off: a measurement that shows less only saw pages nobody touched yet.
 */

/** One life of a host on one device. */
export interface MemorySample {
  readonly plannedBytes: number;
  /** What the system showed after the load, and the most it showed later; absent where it shows nothing. */
  readonly measuredBytes?: number;
  readonly peakBytes?: number;
}

/** Bytes on top of a plan, on one device. */
export interface Correction {
  /** Taken right after the load: the device context, workspaces, what the simulation does not see. */
  readonly learnedBytes: number;
  /** Taken later. */
  readonly growthBytes: number;
}

/** The latest lives that count: enough to outvote one that others disturbed, few enough to follow a change. */
export const COUNTED_SAMPLES = 5;
/** No correction goes beyond this share of the plan, or beyond the floor where that is more: free memory of a device also falls for others. */
const MOST_SHARE = 0.25;
const MOST_FLOOR_BYTES = 1024 * 2 ** 20;

/** The correction for a plan of `plannedBytes`; `samples` are the latest first. */
export function correctionOf(samples: readonly MemorySample[], plannedBytes: number): Correction {
  const mostBytes = Math.max(MOST_FLOOR_BYTES, plannedBytes * MOST_SHARE);
  const bounded = (values: readonly number[]): number => Math.min(mostBytes, Math.max(0, upperMedian(values)));
  const seen = samples.slice(0, COUNTED_SAMPLES);
  return {
    learnedBytes: bounded(
      seen.flatMap(({ plannedBytes: before, measuredBytes }) =>
        measuredBytes === undefined ? [] : [measuredBytes - before],
      ),
    ),
    growthBytes: bounded(
      seen.flatMap(({ plannedBytes: before, measuredBytes, peakBytes }) =>
        measuredBytes === undefined || peakBytes === undefined ? [] : [peakBytes - Math.max(before, measuredBytes)],
      ),
    ),
  };
}

/** The middle value, the higher one of two; 0 of none. One wild value among three or more changes nothing. */
function upperMedian(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
