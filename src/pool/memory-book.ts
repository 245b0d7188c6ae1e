/**
 * Remembers what was predicted and what was measured, in the journal and at hand, and corrects the next plan by it. Knows
 * neither ledger nor hosts; without a journal that works it goes on with what it has.
 */
import type { Logger } from '../base/log.js';
import type { Journal, MemoryNote } from '../journal/journal.js';
import type { MemoryPlan } from '../schema/load.js';
import { COUNTED_SAMPLES, correctionOf } from './correction.js';
import { bytesOf, type DeviceBytes } from './ledger.js';

/** Where notes are kept. */
export type NoteKeeper = Pick<Journal, 'noteMemory' | 'memoryNotes'>;

/** Notes read at the start. */
const REMEMBERED_NOTES = 4096;

/** Configurations, devices and builds that are remembered. */
const MAX_KEYS = REMEMBERED_NOTES;

/** Build of an engine that does not say which it is. */
const UNKNOWN_BUILD = 'unknown';

export class MemoryBook {
  /** The latest first, per configuration, device and build; at most `COUNTED_SAMPLES`, one per host. */
  private readonly notes = new Map<string, readonly MemoryNote[]>();
  private reading: Promise<void> | undefined;

  constructor(
    private readonly keeper: NoteKeeper,
    private readonly log: Logger,
  ) {}

  /** What a plan is to be given on top; waits for the journal the first time. */
  async extraFor(config: string, plan: MemoryPlan): Promise<DeviceBytes> {
    await (this.reading ??= this.read());
    const extra: Record<string, number> = {};
    for (const [device, plannedBytes] of Object.entries(bytesOf(plan))) {
      const samples = this.notes.get(keyOf({ config, device, build: plan.build ?? UNKNOWN_BUILD })) ?? [];
      const { learnedBytes, growthBytes } = correctionOf(samples, plannedBytes);
      if (learnedBytes + growthBytes > 0) extra[device] = learnedBytes + growthBytes;
    }
    return extra;
  }

  /** Takes the place of an earlier note of the same host and device. */
  async note({ build, ...rest }: Omit<MemoryNote, 'build'> & { readonly build: string | undefined }): Promise<void> {
    const note: MemoryNote = { ...rest, build: build ?? UNKNOWN_BUILD };
    const key = keyOf(note);
    this.keep(key, [note, ...this.others(key, note.hid)]);
    try {
      await this.keeper.noteMemory(note);
    } catch (error) {
      this.log.warn('what a model took could not be journalled', { model: note.model, error });
    }
  }

  private keep(key: string, notes: readonly MemoryNote[]): void {
    this.notes.set(key, notes.slice(0, COUNTED_SAMPLES));
    const [oldest] = this.notes.keys();
    if (this.notes.size > MAX_KEYS && oldest !== undefined) this.notes.delete(oldest);
  }

  private others(key: string, hid: string): readonly MemoryNote[] {
    return (this.notes.get(key) ?? []).filter((note) => note.hid !== hid);
  }

  private async read(): Promise<void> {
    try {
      for (const note of await this.keeper.memoryNotes(REMEMBERED_NOTES)) {
        const key = keyOf(note);
        // Those of this process are the latest.
        this.keep(key, [...this.others(key, note.hid), note]);
      }
    } catch (error) {
      this.log.warn('what models took before could not be read', { error });
    }
  }
}

function keyOf({ config, device, build }: Pick<MemoryNote, 'config' | 'device' | 'build'>): string {
  return `${config} ${device} ${build}`;
}
