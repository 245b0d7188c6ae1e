/**
 * The account of device memory, as plain data: who holds how many bytes on which device. Bytes are reserved before a load
 * begins and released when the process is gone, so that two loads can never claim the same bytes. Knows no model and no policy.
 */
import { assert } from '../base/assert.js';
import type { MemoryPlan } from '../schema/load.js';

/** Bytes per device id; a device that is missing counts 0. */
export type DeviceBytes = Readonly<Record<string, number>>;

export interface LedgerEntry {
  readonly bytes: DeviceBytes;
  /** True once the bytes are allocated, hence visible in the device's free bytes. */
  readonly allocated: boolean;
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

/** Bytes held on one device, reserved and allocated together. */
export function heldBytes(ledger: Ledger, device: string): number {
  return Object.values(ledger).reduce((sum, entry) => sum + (entry.bytes[device] ?? 0), 0);
}

/**
 * Books `needs` for a new holder, or says which device is short. A device without a ceiling is unlimited here: the
 * measured free bytes are the placement's business.
 */
export function reserve(
  ledger: Ledger,
  holder: string,
  needs: DeviceBytes,
  ceilings: DeviceBytes,
): { readonly ledger: Ledger } | { readonly shortage: Shortage } {
  assert(!(holder in ledger), `${holder} reserves twice`);
  for (const [device, neededBytes] of Object.entries(needs)) {
    const roomBytes = (ceilings[device] ?? Infinity) - heldBytes(ledger, device);
    if (neededBytes > roomBytes) return { shortage: { device, neededBytes, roomBytes } };
  }
  return { ledger: { ...ledger, [holder]: { bytes: needs, allocated: false } } };
}

/** The load is done: what was really allocated replaces the reservation. */
export function commit(ledger: Ledger, holder: string, bytes: DeviceBytes): Ledger {
  assert(holder in ledger, `${holder} commits without a reservation`);
  return { ...ledger, [holder]: { bytes, allocated: true } };
}

/** The process is gone. Idempotent. */
export function release(ledger: Ledger, holder: string): Ledger {
  return Object.fromEntries(Object.entries(ledger).filter(([name]) => name !== holder));
}
