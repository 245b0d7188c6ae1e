/**
 * What it would cost to lose a loaded model, and when it may go: use that fades with time, the measured time of its load, its
 * priority, its least and its idle time. Pure; knows no bytes and no other model.
 */

/** How much a model was used, fading by half each half-life. */
export interface Heat {
  readonly value: number;
  readonly atMs: number;
}

export const COLD: Heat = { value: 0, atMs: 0 };

export function heatAt(heat: Heat, nowMs: number, halfLifeMs: number): number {
  return heat.value * 2 ** (-(nowMs - heat.atMs) / halfLifeMs);
}

/** One more use. */
export function warmed(heat: Heat, nowMs: number, halfLifeMs: number): Heat {
  return { value: heatAt(heat, nowMs, halfLifeMs) + 1, atMs: nowMs };
}

/** Priority of a model that says none; each level above makes it dearer by half, each below cheaper. */
const USUAL_PRIORITY = 5;
const PRIORITY_STEP = 1.5;

/**
 * Milliseconds that somebody will probably wait because this model went: its load time, times the chance that it is used
 * again within a half-life. Requests at a steady rate bring heat to that rate times the half-life over ln 2, so the chance
 * that none comes within the next half-life is 2 to the power of -heat.
 */
export function costOfLosing(model: {
  readonly reloadMs: number;
  /** Now. */
  readonly heat: number;
  /** 0 … 9. */
  readonly priority: number;
}): number {
  const chance = 1 - 2 ** -model.heat;
  return model.reloadMs * chance * PRIORITY_STEP ** (model.priority - USUAL_PRIORITY);
}

/** Bytes per millisecond that a load is thought to read before one was measured: half a GiB in a second. */
const GUESSED_BYTES_PER_MS = 2 ** 29 / 1000;

/** How long a model would probably take to come back. */
export function reloadMsOf(measuredMs: number | undefined, bytes: number): number {
  return measuredMs ?? bytes / GUESSED_BYTES_PER_MS;
}

/** A model stays for so many times as long as its load took: then at most a quarter of the time goes into loading. */
const STAYS_PER_LOAD = 3;

/** Until when nobody may unload it to make room, so that two models do not turn each other out at every request. */
export function leastUntilMs(readySinceMs: number, reloadMs: number, mostMs: number): number {
  return readySinceMs + Math.min(mostMs, STAYS_PER_LOAD * reloadMs);
}

/** When a model that nobody uses leaves by itself; undefined: not as things are. It leaves now if that is not after now. */
export function idleUntilMs(model: {
  readonly isKept: boolean;
  /** Undefined while somebody leases or waits. */
  readonly idleSinceMs: number | undefined;
  readonly ttlMs: number;
}): number | undefined {
  return model.isKept || model.idleSinceMs === undefined ? undefined : model.idleSinceMs + model.ttlMs;
}
