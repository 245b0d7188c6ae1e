/**
 * The account of device memory, as plain data: who holds how many bytes on which device. Bytes are reserved before a load
 * begins and released when the process is gone, so that two loads can never claim the same bytes. Knows no model and no policy.
 */
import { assert } from '../base/assert.js';
import type { DeviceInfo, MemoryPlan } from '../schema/load.js';

/** Bytes per device id; a device that is missing counts 0. */
export type DeviceBytes = Readonly<Record<string, number>>;

export interface LedgerEntry {
  /** What the simulation said. */
  readonly planned: DeviceBytes;
  /** On top of it: what such a load took beyond its plan before, and what it grew by. */
  readonly extra: DeviceBytes;
  /** What the buffers hold; absent while the load is in flight. */
  readonly allocated?: DeviceBytes;
  /** What the system shows for it, on the devices where it shows something. */
  readonly measured?: DeviceBytes;
}

/** Entries by holder (a host id). */
export type Ledger = Readonly<Record<string, LedgerEntry>>;

export const EMPTY_LEDGER: Ledger = {};

/** A reservation that goes over a ceiling. */
export interface Shortage {
  readonly device: string;
  readonly neededBytes: number;
  readonly roomBytes: number;
}

/** What a plan takes from each device; the buffers that no device owns are the CPU's. */
export function bytesOf(plan: MemoryPlan): DeviceBytes {
  const bytes: Record<string, number> = { cpu: plan.outputBytes + plan.estimatedExtraBytes };
  for (const { device, weightsBytes, kvBytes, computeBytes } of plan.devices) {
    bytes[device] = (bytes[device] ?? 0) + weightsBytes + kvBytes + computeBytes;
  }
  return bytes;
}

/** Both, device by device. */
export function sumOf(one: DeviceBytes, other: DeviceBytes): DeviceBytes {
  const sum: Record<string, number> = { ...one };
  for (const [device, bytes] of Object.entries(other)) sum[device] = (sum[device] ?? 0) + bytes;
  return sum;
}

/** What one holder may count on: what it allocated or will, what comes on top, and never less than what is seen of it. */
export function holdsOf({ planned, extra, allocated, measured }: LedgerEntry): DeviceBytes {
  const holds: Record<string, number> = { ...sumOf(allocated ?? planned, extra) };
  for (const [device, bytes] of Object.entries(measured ?? {})) holds[device] = Math.max(holds[device] ?? 0, bytes);
  return holds;
}

/** What of one holder is in the device's used bytes now: nothing before the load is done, though a part of it may be. */
export function presentOf({ allocated, measured }: LedgerEntry): DeviceBytes {
  return allocated === undefined ? {} : { ...allocated, ...measured };
}

/** Bytes held on one device, reserved and allocated together. */
export function heldBytes(ledger: Ledger, device: string): number {
  return Object.values(ledger).reduce((sum, entry) => sum + (holdsOf(entry)[device] ?? 0), 0);
}

/**
 * Books a load for a new holder, or says which device is short. A device without a ceiling is unlimited here: the
 * measured free bytes are the placement's business.
 */
export function reserve(
  ledger: Ledger,
  holder: string,
  { planned, extra }: Pick<LedgerEntry, 'planned' | 'extra'>,
  ceilings: DeviceBytes,
): { readonly ledger: Ledger } | { readonly shortage: Shortage } {
  assert(!(holder in ledger), `${holder} reserves twice`);
  for (const [device, neededBytes] of Object.entries(sumOf(planned, extra))) {
    const roomBytes = (ceilings[device] ?? Infinity) - heldBytes(ledger, device);
    if (neededBytes > roomBytes) return { shortage: { device, neededBytes, roomBytes } };
  }
  return { ledger: { ...ledger, [holder]: { planned, extra } } };
}

/** The load is done: what was really allocated replaces the reservation. */
export function commit(ledger: Ledger, holder: string, allocated: DeviceBytes): Ledger {
  const entry = ledger[holder];
  assert(entry !== undefined, `${holder} commits without a reservation`);
  return { ...ledger, [holder]: { ...entry, allocated } };
}

/** What the system shows for a loaded holder; of one that is not loaded, or gone, nothing is noted. */
export function measure(ledger: Ledger, holder: string, measured: DeviceBytes): Ledger {
  const entry = ledger[holder];
  return entry?.allocated === undefined ? ledger : { ...ledger, [holder]: { ...entry, measured } };
}

/** The process is gone. Idempotent. */
export function release(ledger: Ledger, holder: string): Ledger {
  return Object.fromEntries(Object.entries(ledger).filter(([name]) => name !== holder));
}

/** One device's account, for people and programs. All in bytes. */
export interface LedgerRow {
  readonly device: string;
  readonly totalBytes: number;
  /** What our models together may take: size, artificial limit and the profile's budget, whichever is smallest. */
  readonly ceilingBytes: number;
  /** Of loaded models: what the simulation said, what comes on top, what buffers hold, what the system shows or else the buffers. */
  readonly plannedBytes: number;
  readonly extraBytes: number;
  readonly allocatedBytes: number;
  readonly measuredBytes: number;
  /** Booked for loads in flight. */
  readonly reservedBytes: number;
  /** What all of them may count on: nobody else is promised these bytes. */
  readonly heldBytes: number;
  /** Of a host without a model that waits for the next load: ours, and gone when a load takes it. */
  readonly spareBytes: number;
  /** In use, and not ours as far as is known. */
  readonly foreignBytes: number;
  /** What another load could be given, by the account and by the last look at the device. */
  readonly freeBytes: number;
}

/** The account of a device as it was at the last look; what models hold is as of now. */
export function rowOf(ledger: Ledger, device: DeviceInfo, ceilingBytes: number, spareBytes = 0): LedgerRow {
  const { id, totalBytes, freeBytes } = device;
  const entries = Object.values(ledger);
  const loaded = entries.filter(({ allocated }) => allocated !== undefined);
  const flying = entries.filter(({ allocated }) => allocated === undefined);
  const sum = (from: readonly LedgerEntry[], bytes: (entry: LedgerEntry) => DeviceBytes | undefined): number =>
    from.reduce((total, entry) => total + (bytes(entry)?.[id] ?? 0), 0);
  const measuredBytes = sum(loaded, presentOf);
  const reservedBytes = sum(flying, holdsOf);
  const held = heldBytes(ledger, id);
  return {
    device: id,
    totalBytes,
    ceilingBytes,
    plannedBytes: sum(loaded, ({ planned }) => planned),
    extraBytes: sum(loaded, ({ extra }) => extra),
    allocatedBytes: sum(loaded, ({ allocated }) => allocated),
    measuredBytes,
    reservedBytes,
    heldBytes: held,
    spareBytes,
    foreignBytes: Math.max(0, totalBytes - freeBytes - measuredBytes - spareBytes),
    freeBytes: Math.max(0, Math.min(ceilingBytes - held, freeBytes - reservedBytes)),
  };
}
