/**
 * The memory of a simulated machine as it truly is: what each process holds, what other programs use, what a driver has not
 * given back yet. Counts bytes that were taken, whatever anybody thinks was promised, and says when too many are.
 */
import { LlamaestroError } from '../../src/base/errors.js';
import type { Clock, Random } from '../../src/base/ports.js';
import type { DeviceInfo } from '../../src/schema/load.js';

export interface SimDevice {
  readonly id: string;
  readonly kind: DeviceInfo['kind'];
  readonly totalBytes: number;
  /** What our models may take of it, where that is less than all. */
  readonly limitBytes?: number;
}

export interface MachineMemoryParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly devices: readonly SimDevice[];
  readonly onViolation: (message: string) => void;
}

/** Bytes of one load of a process on one device. */
interface Holding {
  readonly device: string;
  readonly owner: string;
  /** One of its loads: a process may have several models. */
  readonly load: string;
  /** In buffers, which a plan tells to the byte. */
  readonly plannedBytes: number;
  /** Beyond them: the device context, workspaces. */
  readonly beyondBytes: number;
}

/** A GPU's driver takes so long at the most to show the bytes of a process that ended. */
const MAX_LAG_MS = 1500;

export class MachineMemory {
  private holdings: readonly Holding[] = [];
  private readonly foreign = new Map<string, number>();
  private readonly lagging = new Map<string, number>();

  constructor(private readonly parts: MachineMemoryParts) {}

  /** As a program of this machine reads them now. */
  devices(): readonly DeviceInfo[] {
    return this.parts.devices.map((device) => {
      const freeBytes = this.freeOn(device);
      return { ...device, description: 'simulated', freeBytes };
    });
  }

  /** What the buffers of our processes hold of a device. */
  buffersOn(device: string): number {
    return this.sum(device, ({ plannedBytes }) => plannedBytes);
  }

  /** The same with all that comes beyond the buffers. */
  heldOn(device: string): number {
    return this.sum(device, ({ plannedBytes, beyondBytes }) => plannedBytes + beyondBytes);
  }

  /** What is gone of a device because of our processes, those included whose bytes are on their way back. */
  ourUseOf(device: string): number {
    return this.heldOn(device) + (this.lagging.get(device) ?? 0);
  }

  /** A load of `owner` holds so much of a device from now on; throws `out_of_memory`, and then holds what it held before. */
  hold(owner: string, load: string, device: string, bytes: Pick<Holding, 'plannedBytes' | 'beyondBytes'>): void {
    const isSame = (one: Holding): boolean => one.owner === owner && one.load === load && one.device === device;
    const others = this.holdings.filter((one) => !isSame(one));
    const before = this.holdings;
    this.holdings = [...others, { owner, load, device, ...bytes }];
    const found = this.parts.devices.find(({ id }) => id === device);
    if (found === undefined) return this.parts.onViolation(`${owner} takes bytes of ${device}, which there is not`);
    if (this.rawFreeOn(found) < 0) {
      this.holdings = before;
      throw new LlamaestroError('out_of_memory', `no ${bytes.plannedBytes + bytes.beyondBytes} bytes on ${device}`);
    }
    const planned = this.buffersOn(device);
    const ceiling = Math.min(found.totalBytes, found.limitBytes ?? Infinity);
    if (planned > ceiling) this.parts.onViolation(`hosts hold ${planned} bytes of ${device}, which has ${ceiling}`);
  }

  /** The process is gone: the CPU's bytes are free at once, those of a GPU a moment later. */
  release(owner: string): void {
    const { clock, random, devices } = this.parts;
    for (const { device, plannedBytes, beyondBytes } of this.holdings.filter((one) => one.owner === owner)) {
      if (devices.find(({ id }) => id === device)?.kind === 'cpu') continue;
      const bytes = plannedBytes + beyondBytes;
      this.lag(device, bytes);
      clock.setTimer(random.next() * MAX_LAG_MS, () => this.lag(device, -bytes));
    }
    this.holdings = this.holdings.filter((one) => one.owner !== owner);
  }

  /** Another program takes a share of what is free; returns what gives it back. */
  borrow(device: string, share: number): () => void {
    const found = this.parts.devices.find(({ id }) => id === device);
    const bytes = found === undefined ? 0 : Math.floor(this.freeOn(found) * share);
    const change = (by: number): unknown => this.foreign.set(device, (this.foreign.get(device) ?? 0) + by);
    change(bytes);
    return () => void change(-bytes);
  }

  private lag(device: string, bytes: number): void {
    this.lagging.set(device, (this.lagging.get(device) ?? 0) + bytes);
  }

  private freeOn(device: SimDevice): number {
    return Math.max(0, this.rawFreeOn(device));
  }

  private rawFreeOn({ id, totalBytes }: SimDevice): number {
    return totalBytes - this.ourUseOf(id) - (this.foreign.get(id) ?? 0);
  }

  private sum(device: string, of: (holding: Holding) => number): number {
    return this.holdings.reduce((total, one) => (one.device === device ? total + of(one) : total), 0);
  }
}
