/** The bytes of several loads as those of one: what a process takes that holds several models. Pure. */
import { assert } from '../base/assert.js';
import type { MemoryPlan } from './load.js';

/**
 * Device by device; contexts, slots and layers are sums too, which nobody loads by. What was observed is left out: each of
 * several models in a process also sees what the others took. `plans` has at least one; a single one is given back as it is.
 */
export function sumOfPlans(plans: readonly MemoryPlan[]): MemoryPlan {
  const [first] = plans;
  assert(first !== undefined, 'a plan to sum');
  if (plans.length === 1) return first;
  const sum = (of: (plan: MemoryPlan) => number): number => plans.reduce((total, plan) => total + of(plan), 0);
  return {
    devices: devicesOf(plans),
    outputBytes: sum(({ outputBytes }) => outputBytes),
    estimatedExtraBytes: sum(({ estimatedExtraBytes }) => estimatedExtraBytes),
    totalBytes: sum(({ totalBytes }) => totalBytes),
    contextTokens: sum(({ contextTokens }) => contextTokens),
    contextTokensPerSlot: Math.min(...plans.map(({ contextTokensPerSlot }) => contextTokensPerSlot)),
    slots: sum(({ slots }) => slots),
    gpuLayers: sum(({ gpuLayers }) => gpuLayers),
    simulatedMs: sum(({ simulatedMs }) => simulatedMs),
    prefixCacheBytes: sum(({ prefixCacheBytes = 0 }) => prefixCacheBytes),
    ...(first.build === undefined ? {} : { build: first.build }),
  };
}

function devicesOf(plans: readonly MemoryPlan[]): MemoryPlan['devices'] {
  const rows = new Map<string, MemoryPlan['devices'][number]>();
  for (const row of plans.flatMap(({ devices }) => devices)) {
    const { device } = row;
    const before = rows.get(device) ?? { device, weightsBytes: 0, kvBytes: 0, computeBytes: 0 };
    rows.set(device, {
      device,
      weightsBytes: before.weightsBytes + row.weightsBytes,
      kvBytes: before.kvBytes + row.kvBytes,
      computeBytes: before.computeBytes + row.computeBytes,
    });
  }
  return [...rows.values()];
}
