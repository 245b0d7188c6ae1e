/**
 * Where a load finds its bytes: it fits now, or after unloading named hosts, or it must wait for a busy one, or never. Pure;
 * exact per device; victims are the cheapest set that frees enough there. Knows no processes and no requests.
 */
import { assert } from '../base/assert.js';
import type { DeviceBytes } from './ledger.js';
import { cheapestSet } from './victims.js';

/**
 * kept: resident or pinned, never a victim. idle: ready, no lease, nobody waiting. serving: ready and in use. busy: anything
 * else that will be idle or gone some day. leaving: on its way out, bytes not yet back. wanted: told to finish for another
 * load and asked for again since: it can still stay, so that it goes only if it is the cheapest once more.
 */
export type HolderStanding = 'kept' | 'idle' | 'serving' | 'busy' | 'leaving' | 'wanted';

export interface Holder {
  readonly id: string;
  /** By the account. */
  readonly bytes: DeviceBytes;
  /** Of them, what the devices count as used now, and comes back when it goes; nothing before the load is done. */
  readonly present: DeviceBytes;
  /** What it will still take from the devices' free bytes, overhead included. */
  readonly missing: DeviceBytes;
  /** The load is done. */
  readonly allocated: boolean;
  readonly standing: HolderStanding;
  /** What it costs to lose it, milliseconds of probable waiting. */
  readonly cost: number;
}

export interface DeviceRoom {
  readonly id: string;
  /** What all our models together may take: budget, artificial limit and size, whichever is smallest. */
  readonly ceilingBytes: number;
  /** Measured free bytes, less headroom; what our loaded models use is not in it. */
  readonly freeBytes: number;
}

/** What a load needs. */
export interface Needs {
  /** By the account. */
  readonly booked: DeviceBytes;
  /** From the devices' free bytes: overhead included. */
  readonly taken: DeviceBytes;
}

export interface PlacementQuestion {
  readonly needs: Needs;
  readonly devices: readonly DeviceRoom[];
  readonly holders: readonly Holder[];
  /** Needs of loads that came earlier and still wait: their bytes are spoken for. */
  readonly claims: readonly Needs[];
  /** A host ended a moment ago, so `freeBytes` may still be too low. */
  readonly settling: boolean;
  /** It waited long enough for those that serve: they may be told to finish, too. */
  readonly isOverdue: boolean;
}

export type Placement =
  | { readonly kind: 'fits' }
  | { readonly kind: 'evict'; readonly victims: readonly string[] }
  | { readonly kind: 'wait' }
  | {
      readonly kind: 'never';
      /** does_not_fit: not even alone beside what is kept. out_of_memory: other programs hold the bytes. */
      readonly code: 'does_not_fit' | 'out_of_memory';
      readonly device: string;
      readonly neededBytes: number;
      readonly roomBytes: number;
    };

type Room = (question: PlacementQuestion, device: DeviceRoom, without: readonly Holder[]) => number;

function sumOn(device: string, parts: readonly DeviceBytes[]): number {
  return parts.reduce((sum, bytes) => sum + (bytes[device] ?? 0), 0);
}

/** Bytes of the account left on a device when `without` are gone. */
const accountRoom: Room = ({ holders, claims }, { id, ceilingBytes }, without) => {
  const staying = holders.filter((holder) => !without.includes(holder));
  return ceilingBytes - sumOn(id, [...staying.map(({ bytes }) => bytes), ...claims.map(({ booked }) => booked)]);
};

/** Bytes the device itself will have when `without` are gone and the others have all that they count on. */
const deviceRoom: Room = ({ holders, claims }, { id, freeBytes }, without) => {
  const change = (holder: Holder): number =>
    without.includes(holder) ? (holder.present[id] ?? 0) : -(holder.missing[id] ?? 0);
  const claimed = sumOn(
    id,
    claims.map(({ taken }) => taken),
  );
  return holders.reduce((room, holder) => room + change(holder), freeBytes) - claimed;
};

function needed({ needs, devices }: PlacementQuestion): readonly DeviceRoom[] {
  return devices.filter(({ id }) => (needs.booked[id] ?? 0) > 0);
}

function fitsAccount(question: PlacementQuestion, without: readonly Holder[]): boolean {
  const { booked } = question.needs;
  return needed(question).every((device) => (booked[device.id] ?? 0) <= accountRoom(question, device, without));
}

function fits(question: PlacementQuestion, without: readonly Holder[]): boolean {
  const { taken } = question.needs;
  const onDevice = (device: DeviceRoom): boolean => (taken[device.id] ?? 0) <= deviceRoom(question, device, without);
  return fitsAccount(question, without) && needed(question).every(onDevice);
}

/** The cheapest of those that may go; idle ones alone where they are enough. */
function chooseVictims(question: PlacementQuestion, leaving: readonly Holder[]): readonly string[] | undefined {
  const devices = needed(question).map(({ id }) => id);
  const sizeOn = ({ bytes }: Holder): number => devices.reduce((sum, id) => sum + (bytes[id] ?? 0), 0);
  const standings: readonly (readonly HolderStanding[])[] = question.isOverdue
    ? [['idle'], ['idle', 'serving', 'wanted']]
    : [['idle']];
  for (const allowed of standings) {
    const candidates = question.holders
      .filter((holder) => allowed.includes(holder.standing) && sizeOn(holder) > 0)
      .map((holder) => ({ id: holder.id, cost: holder.cost, size: sizeOn(holder), holder }));
    const chosen = cheapestSet(candidates, (some) => fits(question, [...leaving, ...some.map(({ holder }) => holder)]));
    if (chosen !== undefined) return chosen.map(({ id }) => id);
  }
  return undefined;
}

function never(
  question: PlacementQuestion,
  code: 'does_not_fit' | 'out_of_memory',
  bytes: DeviceBytes,
  roomOn: (device: DeviceRoom) => number,
): Placement | undefined {
  const short = needed(question).find((device) => (bytes[device.id] ?? 0) > roomOn(device));
  if (short === undefined) return undefined;
  const roomBytes = Math.max(0, roomOn(short));
  return { kind: 'never', code, device: short.id, neededBytes: bytes[short.id] ?? 0, roomBytes };
}

/**
 * True when a load beside the earlier ones would not take what they count on. Those that have room beside all who stay are
 * about to be placed and bind in full; those that wait for a busy one need only find room once it is gone, so that one long
 * answer does not stop every other load.
 */
function sparesClaims(question: PlacementQuestion): boolean {
  if (question.claims.length === 0) return true;
  const movable = question.holders.filter(({ standing }) => standing !== 'kept');
  const passing = movable.filter(({ standing }) => ['idle', 'leaving', 'wanted'].includes(standing));
  const areNext = needed(question).every((device) => accountRoom(question, device, passing) >= 0);
  return fits(question, areNext ? passing : movable);
}

/** Answers in this order: never by the account, wait behind earlier loads, fits, wait while the measurement moves, evict, wait for a busy one, never by the device. */
export function decidePlacement(question: PlacementQuestion): Placement {
  const alone = { ...question, claims: [] };
  const { booked, taken } = question.needs;
  const leaving = question.holders.filter(({ standing }) => standing === 'leaving');
  const movable = question.holders.filter(({ standing }) => standing !== 'kept');
  const impossible = never(alone, 'does_not_fit', booked, (device) => accountRoom(alone, device, movable));
  if (impossible !== undefined) return impossible;

  // A load or an exit under way changes what is measured: while the account says yes, measure again later.
  const isUnsteady = question.settling || leaving.length > 0 || question.holders.some((holder) => !holder.allocated);
  const isPossible = fits(alone, movable);
  if (sparesClaims(question)) {
    if (fits(alone, [])) return { kind: 'fits' };
    if (isUnsteady && fitsAccount(alone, leaving)) return { kind: 'wait' };
    const victims = chooseVictims(alone, leaving);
    if (victims !== undefined) return { kind: 'evict', victims };
  }
  // Somebody busy or an earlier load stands in the way: both come to an end by themselves.
  if (isUnsteady || isPossible) return { kind: 'wait' };
  const foreign = never(alone, 'out_of_memory', taken, (device) => deviceRoom(alone, device, movable));
  assert(foreign !== undefined, 'a load that neither fits nor waits is short on some device');
  return foreign;
}
