/**
 * Whether a worn host may be replaced now, and in which order. Pure. A new process costs a load, so that no model is recycled
 * again and again for a reason that a new process does not cure.
 */
import { decidePlacement, type DeviceRoom, type Holder, type Needs } from './eviction.js';
import type { PoolLimits } from './limits.js';

/** True when the last time is long enough ago. */
export function mayRecycle(
  lastAtMs: number | undefined,
  nowMs: number,
  { recyclePeriodMs }: Pick<PoolLimits, 'recyclePeriodMs'>,
): boolean {
  return lastAtMs === undefined || nowMs - lastAtMs >= recyclePeriodMs;
}

/** load-first: the new process serves before the old one leaves, for both fit without anybody else's leaving. */
export type RecycleOrder = 'load-first' | 'drain-first';

export function recycleOrder(
  needs: Needs,
  devices: readonly DeviceRoom[],
  holders: readonly Omit<Holder, 'standing' | 'cost'>[],
): RecycleOrder {
  const staying = holders.map((holder) => ({ ...holder, standing: 'kept' as const, cost: 0 }));
  const question = { needs, devices, holders: staying, claims: [], settling: false, isOverdue: false };
  return decidePlacement(question).kind === 'fits' ? 'load-first' : 'drain-first';
}
