/** A row of the memory notes as the journal's own shape. Knows no statement. */
import type { MemoryNote } from './journal.js';

export interface NoteRow {
  readonly hid: string;
  readonly device: string;
  readonly model: string;
  readonly config: string;
  readonly build: string;
  readonly at_ms: number;
  readonly planned: number;
  readonly allocated: number;
  readonly measured: number | null;
  readonly peak: number | null;
}

export function noteOf({ at_ms, planned, allocated, measured, peak, ...names }: NoteRow): MemoryNote {
  const { hid, device, model, config, build } = names;
  return {
    ...{ hid, device, model, config, build, atMs: at_ms, plannedBytes: planned, allocatedBytes: allocated },
    ...(measured === null ? {} : { measuredBytes: measured }),
    ...(peak === null ? {} : { peakBytes: peak }),
  };
}
