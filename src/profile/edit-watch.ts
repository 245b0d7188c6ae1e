/**
 * Looks after the files of the active profile: an edit that is broken is told and changes nothing, one that is valid is
 * planned and waits for the command, or applies by itself where the profile says `reload: auto`. Owns the timers for that;
 * applying is the manager's.
 */
import { dirname } from 'node:path';
import { toLlamaestroError, type WireError } from '../base/errors.js';
import type { Clock, Timer } from '../base/ports.js';
import type { ProfilePlan } from '../schema/profile-plan.js';
import type { Profile } from '../schema/profile.js';
import type { Catalog } from './catalog.js';
import type { WatchFolder } from './folder-watch.js';
import type { PlanProfile } from './profile-planner.js';

/** Editors write a file in several steps: quiet for so long before it is read. */
export const SETTLE_MS = 300;
/** Between two tries to apply an edit by itself while requests run. */
export const RETRY_MS = 1000;
/** Folders watched at once; the files of one profile lie in fewer. */
const MAX_FOLDERS = 16;

/** The file of the active profile is not what runs. */
export type ProfileEdit =
  | { readonly state: 'broken'; readonly error: WireError }
  /** `error`: why it did not apply by itself. */
  | { readonly state: 'waiting'; readonly plan: ProfilePlan; readonly error?: WireError };

export interface EditWatchParts {
  readonly clock: Clock;
  readonly catalog: Pick<Catalog, 'load'>;
  readonly plan: PlanProfile;
  readonly watchFolder: WatchFolder;
  readonly current: () => Profile;
  /** Makes the file of the active profile what runs; rejects where it cannot now. */
  readonly apply: () => Promise<unknown>;
}

export class EditWatch {
  private seen: ProfileEdit | undefined;
  private timer: Timer | undefined;
  private readonly watches = new Map<string, () => void>();
  private looking: Promise<void> | undefined;
  private isStale = false;
  private isClosed = false;

  constructor(private readonly parts: EditWatchParts) {}

  get edit(): ProfileEdit | undefined {
    return this.seen;
  }

  /** The active profile changed: its files are watched from now on, and what was said about the former is void. */
  aim(): void {
    this.seen = undefined;
    this.timer?.cancel();
    const folders = new Set(
      this.parts
        .current()
        .files.slice(0, MAX_FOLDERS)
        .map((file) => dirname(file)),
    );
    for (const [folder, stop] of this.watches) {
      if (folders.has(folder)) continue;
      stop();
      this.watches.delete(folder);
    }
    for (const folder of folders) {
      if (!this.watches.has(folder))
        this.watches.set(
          folder,
          this.parts.watchFolder(folder, () => this.lookIn(SETTLE_MS)),
        );
    }
  }

  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
    for (const stop of this.watches.values()) stop();
    this.watches.clear();
  }

  private lookIn(delayMs: number): void {
    if (this.isClosed) return;
    this.timer?.cancel();
    this.timer = this.parts.clock.setTimer(delayMs, () => void this.look());
  }

  /** One look at a time; a change in the middle of one is looked at after it. */
  private async look(): Promise<void> {
    if (this.looking !== undefined) {
      this.isStale = true;
      return;
    }
    this.looking = this.compare().finally(() => (this.looking = undefined));
    await this.looking;
    if (!this.isStale) return;
    this.isStale = false;
    this.lookIn(SETTLE_MS);
  }

  private async compare(): Promise<void> {
    const before = this.parts.current();
    let read: Profile;
    try {
      read = await this.parts.catalog.load(before.origin);
    } catch (thrown) {
      return this.note(before, { state: 'broken', error: toLlamaestroError(thrown).toWire() });
    }
    if (JSON.stringify(read) === JSON.stringify(before)) return this.note(before, undefined);
    const waiting: ProfileEdit = { state: 'waiting', plan: await this.parts.plan(read) };
    this.note(before, waiting);
    if (read.reload === 'auto') await this.applyBySelf(before, waiting);
  }

  private async applyBySelf(before: Profile, waiting: Extract<ProfileEdit, { state: 'waiting' }>): Promise<void> {
    try {
      await this.parts.apply();
    } catch (thrown) {
      const error = toLlamaestroError(thrown);
      this.note(before, { ...waiting, error: error.toWire() });
      if (error.code === 'switch_conflict') this.lookIn(RETRY_MS);
    }
  }

  /** What was found about a profile that is not active any more is nobody's business. */
  private note(about: Profile, edit: ProfileEdit | undefined): void {
    if (!this.isClosed && this.parts.current() === about) this.seen = edit;
  }
}
