/**
 * Where a load finds its bytes: it fits now, or after unloading named idle hosts, or it must wait for a busy one, or never.
 * Pure; exact per device; victims are the least used first, where use fades with time. Knows no processes and no requests.
 */
import { assert } from '../base/assert.js';
import type { DeviceBytes } from './ledger.js';

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

/**
 * kept: resident or pinned, never a victim. idle: ready, no lease, nobody waiting. busy: anything that will be idle or gone
 * some day. leaving: on its way out, bytes not yet back.
 */
export type HolderStanding = 'kept' | 'idle' | 'busy' | 'leaving';

export interface Holder {
  readonly id: string;
  readonly bytes: DeviceBytes;
  readonly allocated: boolean;
  readonly standing: HolderStanding;
  /** Heat now. */
  readonly heat: number;
}

export interface DeviceRoom {
  readonly id: string;
  /** What all our models together may take: budget, ceiling and size, whichever is smallest. */
  readonly ceilingBytes: number;
  /** Measured free bytes, less headroom; our allocated bytes are not in it. */
  readonly freeBytes: number;
  /** What one more host takes beyond its plan. */
  readonly overheadBytes: number;
}

export interface PlacementQuestion {
  readonly needs: DeviceBytes;
  readonly devices: readonly DeviceRoom[];
  readonly holders: readonly Holder[];
  /** Needs of loads that came earlier and still wait: their bytes are spoken for. */
  readonly claims: readonly DeviceBytes[];
  /** A host ended a moment ago, so `freeBytes` may still be too low. */
  readonly settling: boolean;
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

function sumOn(device: string, parts: readonly DeviceBytes[]): number {
  return parts.reduce((sum, bytes) => sum + (bytes[device] ?? 0), 0);
}

/** Bytes of the account left on a device when `without` are gone. */
function accountRoom(question: PlacementQuestion, device: DeviceRoom, without: readonly Holder[]): number {
  const staying = question.holders.filter((holder) => !without.includes(holder));
  const held = staying.map((holder) => holder.bytes);
  return device.ceilingBytes - sumOn(device.id, [...held, ...question.claims]);
}

/** Bytes the device itself will have when `without` are gone and every reservation of the others is allocated. */
function deviceRoom(question: PlacementQuestion, device: DeviceRoom, without: readonly Holder[]): number {
  let room = device.freeBytes - device.overheadBytes - sumOn(device.id, question.claims);
  for (const holder of question.holders) {
    const bytes = holder.bytes[device.id] ?? 0;
    if (bytes === 0) continue;
    if (without.includes(holder)) room += holder.allocated ? bytes : 0;
    else room -= holder.allocated ? 0 : bytes + device.overheadBytes;
  }
  return room;
}

function needed(question: PlacementQuestion): readonly DeviceRoom[] {
  return question.devices.filter((device) => (question.needs[device.id] ?? 0) > 0);
}

function needOn(question: PlacementQuestion, device: DeviceRoom): number {
  return question.needs[device.id] ?? 0;
}

function fitsAccount(question: PlacementQuestion, without: readonly Holder[]): boolean {
  return needed(question).every((device) => needOn(question, device) <= accountRoom(question, device, without));
}

function fits(question: PlacementQuestion, without: readonly Holder[]): boolean {
  const onDevice = (device: DeviceRoom): boolean => needOn(question, device) <= deviceRoom(question, device, without);
  return fitsAccount(question, without) && needed(question).every(onDevice);
}

/** The coldest idle holders that make room, without those that turn out not to be needed; undefined when all are too few. */
function chooseVictims(question: PlacementQuestion, leaving: readonly Holder[]): readonly Holder[] | undefined {
  const useful = (holder: Holder): boolean => needed(question).some((device) => (holder.bytes[device.id] ?? 0) > 0);
  const idle = question.holders.filter((holder) => holder.standing === 'idle' && useful(holder));
  const coldestFirst = [...idle].sort((a, b) => a.heat - b.heat || a.id.localeCompare(b.id));
  const chosen: Holder[] = [];
  for (const holder of coldestFirst) {
    if (fits(question, [...leaving, ...chosen])) break;
    chosen.push(holder);
  }
  if (!fits(question, [...leaving, ...chosen])) return undefined;
  // A cold small one may have been taken before a big one that frees enough alone: spare the warmest that can stay.
  for (const holder of [...chosen].reverse()) {
    const others = chosen.filter((other) => other !== holder);
    if (fits(question, [...leaving, ...others])) chosen.splice(chosen.indexOf(holder), 1);
  }
  return chosen;
}

function never(
  question: PlacementQuestion,
  code: 'does_not_fit' | 'out_of_memory',
  roomOf: (device: DeviceRoom) => number,
): Placement | undefined {
  const short = needed(question).find((device) => needOn(question, device) > roomOf(device));
  if (short === undefined) return undefined;
  const roomBytes = Math.max(0, roomOf(short));
  return { kind: 'never', code, device: short.id, neededBytes: needOn(question, short), roomBytes };
}

/**
 * True when a load beside the earlier ones would not take what they count on. Those that have room beside all who stay are
 * about to be placed and bind in full; those that wait for a busy one need only find room once it is gone, so that one long
 * answer does not stop every other load.
 */
function sparesClaims(question: PlacementQuestion): boolean {
  if (question.claims.length === 0) return true;
  const movable = question.holders.filter(({ standing }) => standing !== 'kept');
  const passing = movable.filter(({ standing }) => standing !== 'busy');
  const areNext = needed(question).every((device) => accountRoom(question, device, passing) >= 0);
  return fits(question, areNext ? passing : movable);
}

/** Answers in this order: never by the account, wait behind earlier loads, fits, wait while the measurement moves, evict, wait for a busy one, never by the device. */
export function decidePlacement(question: PlacementQuestion): Placement {
  const alone = { ...question, claims: [] };
  const leaving = question.holders.filter(({ standing }) => standing === 'leaving');
  const movable = question.holders.filter(({ standing }) => standing !== 'kept');
  const impossible = never(alone, 'does_not_fit', (device) => accountRoom(alone, device, movable));
  if (impossible !== undefined) return impossible;

  // A load or an exit under way changes what is measured: while the account says yes, measure again later.
  const isUnsteady = question.settling || leaving.length > 0 || question.holders.some((holder) => !holder.allocated);
  const isPossible = fits(alone, movable);
  if (sparesClaims(question)) {
    if (fits(alone, [])) return { kind: 'fits' };
    if (isUnsteady && fitsAccount(alone, leaving)) return { kind: 'wait' };
    const victims = chooseVictims(alone, leaving);
    if (victims !== undefined) return { kind: 'evict', victims: victims.map(({ id }) => id) };
  }
  // Somebody busy or an earlier load stands in the way: both come to an end by themselves.
  if (isUnsteady || isPossible) return { kind: 'wait' };
  const foreign = never(alone, 'out_of_memory', (device) => deviceRoom(alone, device, movable));
  assert(foreign !== undefined, 'a load that neither fits nor waits is short on some device');
  return foreign;
}
