/**
 * The pool's decisions as functions over data, gathered in one place so that whoever builds a pool may replace one: the
 * simulator does, to see that a known mistake is noticed. Decides nothing itself.
 */
import { decidePlacement } from './eviction.js';
import { transition } from './instance-state.js';

export interface PoolPolicies {
  /** How the life of one model instance goes on. */
  readonly transition: typeof transition;
  /** Where a load finds its bytes. */
  readonly decidePlacement: typeof decidePlacement;
}

export const POOL_POLICIES: PoolPolicies = { transition, decidePlacement };
