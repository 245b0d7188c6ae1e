/**
 * Whether the bytes of a host that is gone came back, from two readings of a device. Pure. What is in use and not ours is
 * compared: what it grew by since the reading before is what did not come back.
 */
import type { DeviceInfo } from '../schema/load.js';

/**
 * Bytes that may be missing without a verdict. A GPU belongs to few: what differs there is the driver's own pages and a
 * window or two. The CPU's free memory moves by as much as this within seconds, for every program of the machine.
 */
const GPU_TOLERANCE_BYTES = 64 * 2 ** 20;
const CPU_TOLERANCE_BYTES = 256 * 2 ** 20;

/**
 * returned: within the tolerance. missing: the driver still holds them although the process is gone. disturbed: nobody can
 * tell, as another load was under way or, on the CPU, another program took memory meanwhile: there the end of the process
 * is the proof, since the kernel takes every page back with it.
 */
export type Verdict = 'returned' | 'missing' | 'disturbed';

/** One device of an unload. */
export interface ReleaseRow {
  readonly device: string;
  /** What the host held there, as the system showed it or else by its buffers. */
  readonly expectedBytes: number;
  /** What came back, as read from the device; absent where there was no reading to compare with. */
  readonly measuredBytes?: number;
  readonly residualBytes?: number;
  readonly toleranceBytes: number;
  readonly verdict: Verdict;
}

export interface ReleaseReading {
  readonly device: Pick<DeviceInfo, 'id' | 'kind'>;
  readonly expectedBytes: number;
  /** In use and not ours, before and now; before is absent when no quiet moment was read. */
  readonly foreignBeforeBytes: number | undefined;
  readonly foreignNowBytes: number;
  /** Nothing else of ours is on its way in or out. */
  readonly isQuiet: boolean;
}

export function releaseRow(reading: ReleaseReading): ReleaseRow {
  const { device, expectedBytes, foreignBeforeBytes, foreignNowBytes, isQuiet } = reading;
  const isCpu = device.kind === 'cpu';
  const toleranceBytes = isCpu ? CPU_TOLERANCE_BYTES : GPU_TOLERANCE_BYTES;
  const head = { device: device.id, expectedBytes, toleranceBytes };
  if (foreignBeforeBytes === undefined) return { ...head, verdict: 'disturbed' };
  const residualBytes = Math.max(0, foreignNowBytes - foreignBeforeBytes);
  const row = { ...head, measuredBytes: Math.max(0, expectedBytes - residualBytes), residualBytes };
  if (residualBytes <= toleranceBytes) return { ...row, verdict: 'returned' };
  return { ...row, verdict: isCpu || !isQuiet ? 'disturbed' : 'missing' };
}
