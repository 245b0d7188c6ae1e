/**
 * The device probe port: what memory devices this machine has, and its real implementation. The addon alone knows the
 * devices, and this process never loads it, so a planner host is asked; free memory of a machine without GPUs is read here.
 */
import { freemem } from 'node:os';
import { availableMemory } from 'node:process';
import type { DeviceInfo } from '../schema/load.js';
import type { DeviceLimits } from '../schema/config.js';

/** Somebody who has the addon. */
export interface DeviceSource {
  devices(): Promise<readonly DeviceInfo[]>;
}

export interface DeviceProbe {
  /** The devices as they are now, each with its artificial limit, if it has one; the errors of `source`. */
  devices(source: DeviceSource): Promise<readonly DeviceInfo[]>;
}

/**
 * A probe of the real machine. The list is asked for once; after that a machine without GPUs answers from
 * `freeHostBytes` alone, so that a frequent look at the devices keeps no planner host alive.
 */
export function machineProbe(limits: DeviceLimits, freeHostBytes: () => number = hostFreeBytes): DeviceProbe {
  let known: readonly DeviceInfo[] | undefined;
  return {
    async devices(source) {
      if (known === undefined || known.some((device) => device.kind !== 'cpu')) {
        known = await source.devices();
        return limitDevices(known, limits);
      }
      const freeBytes = freeHostBytes();
      const fresh = known.map((device) => ({ ...device, freeBytes: Math.min(device.totalBytes, freeBytes) }));
      return limitDevices(fresh, limits);
    },
  };
}

/**
 * Devices with their artificial limits beside their own figures: what the machine has stays true, and what our models may
 * take of it is the pool's account. Limits of devices that do not exist have no effect.
 */
export function limitDevices(devices: readonly DeviceInfo[], limits: DeviceLimits): readonly DeviceInfo[] {
  return devices.map((device) => {
    const limitBytes = limits[device.id];
    return limitBytes === undefined ? device : { ...device, limitBytes };
  });
}

/** Bytes this machine and its container still allow. */
function hostFreeBytes(): number {
  return Math.min(freemem(), availableMemory());
}
