/**
 * The one owner of the ledger and of what was last read from the devices: books loads, notes what was allocated and measured,
 * gives back, and says how much room there is. Decides nothing and knows no models.
 */
import { assert } from '../base/assert.js';
import type { Logger } from '../base/log.js';
import type { Clock } from '../base/ports.js';
import type { DeviceInfo } from '../schema/load.js';
import type { DeviceRoom, Holder, Needs } from './eviction.js';
import * as ledgers from './ledger.js';
import type { DeviceBytes, LedgerRow } from './ledger.js';
import type { PoolLimits } from './limits.js';
import type { NodeAgent } from './node-client.js';

export interface AccountParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: PoolLimits;
  readonly node: NodeAgent;
  /** The profile's budgets. */
  readonly budgets: () => DeviceBytes;
  /** What the profile keeps free for others, where it says so. */
  readonly headrooms: () => DeviceBytes;
  /** What a host without a model takes that waits for the next load. */
  readonly spare: () => DeviceBytes;
}

/** Bytes in use by others, device by device, at a moment when nothing of ours moved. */
export interface QuietReading {
  readonly foreign: DeviceBytes;
  readonly atMs: number;
}

export class Account {
  private ledger = ledgers.EMPTY_LEDGER;
  private seen: readonly DeviceInfo[] = [];
  /** The latest first; at most two. */
  private readings: readonly QuietReading[] = [];
  /** A host is gone, and nobody has seen its bytes come back yet. */
  private isUneasy = false;
  private isClosed = false;
  /** Counts what changed in the ledger, and where each load stood in that count when it was booked. */
  private changes = 0;
  private readonly bookedAt = new Map<string, number>();

  constructor(private readonly parts: AccountParts) {}

  /** Devices as they were at the last look. */
  get devices(): readonly DeviceInfo[] {
    return this.seen;
  }

  /** The account by device, as of now. */
  get rows(): readonly LedgerRow[] {
    const spare = this.parts.spare();
    return this.seen.map((device) => ledgers.rowOf(this.ledger, device, this.ceilingOf(device), spare[device.id] ?? 0));
  }

  /** No load is in flight, so what is in use and not booked is not ours. */
  get isQuiet(): boolean {
    return Object.values(this.ledger).every(({ allocated }) => allocated !== undefined);
  }

  /**
   * The last reading at a moment when no load was in flight and no host on its way out. One that is only just taken may have
   * seen the bytes of a host that is gone already, as we hear of the end of a process a moment later.
   */
  get quiet(): QuietReading | undefined {
    const [latest, earlier] = this.readings;
    return latest !== undefined && this.isFresh(latest) ? (earlier ?? latest) : latest;
  }

  /** Reads the devices; rejects with the node agent's error and keeps what was read before. */
  async look(): Promise<void> {
    this.seen = await this.parts.node.devices();
    if (!this.isQuiet || this.isUneasy) return;
    const reading = { foreign: this.foreign(), atMs: this.parts.clock.nowMs() };
    const [latest, earlier] = this.readings;
    const kept = latest !== undefined && this.isFresh(latest) ? (earlier ?? latest) : latest;
    this.readings = [reading, ...(kept === undefined ? [] : [kept])];
  }

  /** Reads the devices although nobody waits; a failed look is only logged. */
  async glance(): Promise<void> {
    await this.look().catch((error: unknown) => {
      if (!this.isClosed)
        this.parts.log.warn('the devices of the node could not be read', { nid: this.parts.node.nid, error });
    });
  }

  /** In use and not ours, by the last look. */
  foreign(): DeviceBytes {
    return Object.fromEntries(this.rows.map(({ device, foreignBytes }) => [device, foreignBytes]));
  }

  /** The entry of a host, if it has one. */
  entry(hid: string): ledgers.LedgerEntry | undefined {
    return this.ledger[hid];
  }

  /** What a load needs by the account and from the devices: at least the overhead, or what was learned where that is more. */
  needsOf({ planned, extra }: Pick<ledgers.LedgerEntry, 'planned' | 'extra'>): Needs {
    const taken: Record<string, number> = {};
    for (const [device, bytes] of Object.entries(planned)) {
      if (bytes > 0) taken[device] = bytes + Math.max(extra[device] ?? 0, this.overheadOn(device));
    }
    return { booked: ledgers.sumOf(planned, extra), taken };
  }

  /** Everybody who holds bytes; `standingOf` says how and at which cost. */
  holders(standingOf: (hid: string) => Pick<Holder, 'standing' | 'cost'>): readonly Holder[] {
    return Object.entries(this.ledger).map(([id, entry]) => {
      const [bytes, present] = [ledgers.holdsOf(entry), ledgers.presentOf(entry)];
      const allocated = entry.allocated !== undefined;
      const rest = Object.entries(bytes).map(([device, held]) => [device, Math.max(0, held - (present[device] ?? 0))]);
      const missing = allocated ? (Object.fromEntries(rest) as DeviceBytes) : this.needsOf(entry).taken;
      return { id, bytes, present, missing, allocated, ...standingOf(id) };
    });
  }

  /** Each device's room for all our models together, and what is free of it now. */
  rooms(): readonly DeviceRoom[] {
    const { cpuHeadroomBytes, gpuHeadroomBytes } = this.parts.limits;
    const headrooms = this.parts.headrooms();
    return this.seen.map((device) => {
      const { id, kind, freeBytes } = device;
      const headroomBytes = headrooms[id] ?? (kind === 'cpu' ? cpuHeadroomBytes : gpuHeadroomBytes);
      return { id, ceilingBytes: this.ceilingOf(device), freeBytes: freeBytes - headroomBytes };
    });
  }

  /** Books a load that was found to fit. */
  reserve(hid: string, load: Pick<ledgers.LedgerEntry, 'planned' | 'extra'>): void {
    const ceilings = Object.fromEntries(this.seen.map((device) => [device.id, this.ceilingOf(device)]));
    const booked = ledgers.reserve(this.ledger, hid, load, ceilings);
    assert('ledger' in booked, 'a load that fits can be booked');
    this.ledger = booked.ledger;
    this.bookedAt.set(hid, ++this.changes);
  }

  /**
   * The load is done. Returns what counts as measured: free memory of a GPU falls for everybody, so it says something about
   * one load only if nothing else of ours moved meanwhile, nor is on its way.
   */
  commit(hid: string, allocated: DeviceBytes, observed: DeviceBytes): DeviceBytes {
    this.ledger = ledgers.commit(this.ledger, hid, allocated);
    const wasAlone = this.bookedAt.get(hid) === this.changes && this.isQuiet;
    this.changes++;
    return this.measure(hid, wasAlone ? withBuffers(observed, allocated) : ownOf(observed));
  }

  /** What is seen of a loaded host now; returns what is known of it after that. */
  measured(hid: string, observed: DeviceBytes): DeviceBytes {
    return this.measure(hid, { ...this.ledger[hid]?.measured, ...ownOf(observed) });
  }

  /** Nothing of ours has moved since this host was loaded, so that what a device shows for it may be taken for its own. */
  isAlone(hid: string): boolean {
    // Its own load counts twice: booked, and done.
    return this.bookedAt.get(hid) === this.changes - 1;
  }

  /** A host is on its way out and may free its bytes before it is gone: until `restAgain` no moment counts as quiet. */
  unsettle(): void {
    this.isUneasy = true;
  }

  /** The process is gone; what it held may take a moment to show as free. Returns what that is. */
  release(hid: string): DeviceBytes {
    const entry = this.ledger[hid];
    this.ledger = ledgers.release(this.ledger, hid);
    this.bookedAt.delete(hid);
    this.changes++;
    this.isUneasy = true;
    if (entry === undefined) return {};
    // A load that was broken off took some of what was planned, and nobody knows how much.
    return entry.allocated === undefined ? entry.planned : ledgers.presentOf(entry);
  }

  /** Nobody looks for bytes any more: what is in use and not ours now is others'. */
  restAgain(): void {
    this.isUneasy = false;
  }

  /** From now on nobody is interested in a look that fails. */
  close(): void {
    this.isClosed = true;
  }

  private isFresh({ atMs }: QuietReading): boolean {
    return this.parts.clock.nowMs() < atMs + this.parts.limits.quietMs;
  }

  private measure(hid: string, measured: DeviceBytes): DeviceBytes {
    this.ledger = ledgers.measure(this.ledger, hid, measured);
    return measured;
  }

  private ceilingOf({ id, totalBytes, limitBytes = Infinity }: DeviceInfo): number {
    return Math.min(totalBytes, limitBytes, this.parts.budgets()[id] ?? Infinity);
  }

  private overheadOn(device: string): number {
    const { cpuOverheadBytes, gpuOverheadBytes } = this.parts.limits;
    return this.seen.find(({ id }) => id === device)?.kind === 'cpu' ? cpuOverheadBytes : gpuOverheadBytes;
  }
}

/** Buffers of a GPU are there whole: less is seen only when others gave back meanwhile. Of the CPU's some pages may be untouched. */
function withBuffers(observed: DeviceBytes, allocated: DeviceBytes): DeviceBytes {
  const rows = Object.entries(observed).map(([device, bytes]) => [
    device,
    device === 'cpu' ? bytes : Math.max(bytes, allocated[device] ?? 0),
  ]);
  return Object.fromEntries(rows) as DeviceBytes;
}

/** What is the process's own, whoever else moves: its private memory, which is what is observed on the CPU. */
export function ownOf(observed: DeviceBytes): DeviceBytes {
  const { cpu } = observed;
  return cpu === undefined ? {} : { cpu };
}
