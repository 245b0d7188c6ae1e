/**
 * Whether a host takes more and more memory than it may count on. Pure: looks at one device, some time apart; what it took at
 * once and keeps is no creep, however much it is.
 */
import type { PoolLimits } from './limits.js';

export type CreepLimits = Pick<PoolLimits, 'creepShare' | 'creepBytes' | 'creepLooks' | 'creepStepBytes'>;

/** The looks after one more, the oldest first; as many as count. */
export function lookedAgain(looks: readonly number[], bytes: number, { creepLooks }: CreepLimits): readonly number[] {
  return [...looks, bytes].slice(-creepLooks);
}

/** Bytes beyond `boundBytes` (planned, and what is known to come on top) when they are many and grew at every look; else undefined. */
export function creepOf(looks: readonly number[], boundBytes: number, limits: CreepLimits): number | undefined {
  const { creepShare, creepBytes, creepLooks, creepStepBytes } = limits;
  const last = looks.at(-1);
  if (last === undefined || looks.length < creepLooks) return undefined;
  const beyond = last - boundBytes;
  if (beyond <= creepBytes || beyond <= boundBytes * creepShare) return undefined;
  const grows = looks.every((bytes, index) => index === 0 || bytes >= (looks[index - 1] ?? 0) + creepStepBytes);
  return grows ? beyond : undefined;
}
