/** A request's place among others: its claim on a lease of one model, and its priority inside that model's engine. Pure. */
import type { LeaseClaim } from '../pool/pool.js';
import { USUAL_PRIORITY, type Priority, type RunRequest } from '../schema/run.js';

/** Of the engine's levels, -10 … 10; between two of them lies as much waiting as an engine makes up for in 320 steps. */
const ENGINE_LEVELS: Readonly<Record<Priority, number>> = { interactive: 5, normal: 0, background: -5 };

export function claimOn(model: string, { priority, tenant }: RunRequest): LeaseClaim {
  return { model, ...(priority === undefined ? {} : { priority }), ...(tenant === undefined ? {} : { tenant }) };
}

export function engineLevel({ priority = USUAL_PRIORITY }: RunRequest): number {
  return ENGINE_LEVELS[priority];
}
