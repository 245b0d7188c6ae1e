/** How a model stands towards a load that needs its bytes, from its state and the use that is made of it. Pure. */
import type { HolderStanding } from './eviction.js';
import type { InstanceState } from './instance.js';

export interface StandingFacts {
  /** Resident or pinned. */
  readonly isKept: boolean;
  /** Somebody waits for it. */
  readonly isWaitedFor: boolean;
  /** Nobody leases it or waits for it. */
  readonly isIdle: boolean;
  /** A load protects it for a while. */
  readonly isProtected: boolean;
}

export function standingOf(
  state: InstanceState,
  { isKept, isWaitedFor, isIdle, isProtected }: StandingFacts,
): HolderStanding {
  if (state.name === 'stopping') return 'leaving';
  if (state.name === 'draining' && state.yields !== undefined) return isWaitedFor ? 'wanted' : 'leaving';
  if (isKept) return 'kept';
  if (state.name !== 'ready' || isProtected) return 'busy';
  return isIdle ? 'idle' : 'serving';
}
