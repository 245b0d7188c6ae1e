/** How late this process's own timer came, at worst, within the last minute or so. Plain arithmetic; knows no timer. */

/** The worst of the present span and of the one before. */
export interface Lag {
  readonly sinceMs: number;
  readonly worstMs: number;
  readonly beforeMs: number;
}

export const NO_LAG: Lag = { sinceMs: 0, worstMs: 0, beforeMs: 0 };

/** The figure looks back one span at least and two at most. */
export const LAG_SPAN_MS = 60_000;

export function lagAfter(lag: Lag, lateMs: number, nowMs: number): Lag {
  if (nowMs - lag.sinceMs < LAG_SPAN_MS) return { ...lag, worstMs: Math.max(lag.worstMs, lateMs) };
  return { sinceMs: nowMs, worstMs: lateMs, beforeMs: lag.worstMs };
}

export function worstOf({ worstMs, beforeMs }: Lag): number {
  return Math.max(worstMs, beforeMs);
}
