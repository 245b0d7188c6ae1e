/**
 * Which profile is active, and how that changes: by name, by an edit of its file, over a restart. The switch itself is another
 * file's business; this one says where to and what is remembered.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock } from '../base/ports.js';
import type { Journal } from '../journal/journal.js';
import type { Pool } from '../pool/pool.js';
import type { ProfilePlan } from '../schema/profile-plan.js';
import type { SwitchEnding, SwitchProgress } from '../schema/profile-switch.js';
import type { Profile } from '../schema/profile.js';
import type { Catalog, ProfileSummary } from './catalog.js';
import { EditWatch, type ProfileEdit } from './edit-watch.js';
import type { WatchFolder } from './folder-watch.js';
import type { PlanProfile } from './profile-planner.js';
import { ProfileSwitch, type Crossing, type Destination, type SwitchParts } from './profile-switch.js';
import { switchOutlook } from './switch-outlook.js';
import { remember, rememberedProfile, rememberedSwitch, type RememberedProfile } from './switch-record.js';

export interface ProfileManagerParts {
  readonly catalog: Catalog;
  readonly plan: PlanProfile;
  readonly clock: Clock;
  readonly log: Logger;
  readonly watchFolder: WatchFolder;
  readonly pool: Pick<Pool, 'apply' | 'stage' | 'status'>;
  readonly journal: Pick<Journal, 'getState' | 'setStates'>;
  /** As in `SwitchParts`. */
  readonly transition?: NonNullable<SwitchParts['transition']>;
}

/** A switch that is under way. */
export interface SwitchUnderWay {
  /** Resolves at its end, whichever it is; never rejects. */
  readonly over: Promise<SwitchEnding>;
}

export interface ProfileManager {
  /** Makes `profile` the active one. Once, before anything asks for `current`. */
  start(profile: Profile): Promise<void>;
  /** The active profile; `start` has to be over. */
  current(): Profile;
  /** What was active when the last process ended, if it is known. */
  remembered(): Promise<RememberedProfile | undefined>;
  list(): Promise<readonly ProfileSummary[]>;
  /** What the profile of that name would take, and what a switch to it would do now; changes nothing. `profile_not_found`, `profile_invalid`. */
  plan(name: string): Promise<ProfilePlan>;
  /**
   * Begins to switch to the profile of that name, or joins a switch to it. Resolves when it is planned and under way.
   * `switch_conflict` while another one is; `profile_not_found`, `profile_invalid` and `does_not_fit` leave everything as it was.
   */
  activate(name: string, drainMs?: number): Promise<SwitchUnderWay>;
  /** Makes the file of the active profile what runs, as it is now. As `activate`; `invalid_request` for a made-up profile. */
  reload(drainMs?: number): Promise<SwitchUnderWay>;
  /** How far the switch under way is, or how the last one ended. */
  progress(): SwitchProgress;
  /** Takes the switch under way back. `switch_conflict` when it can only go forward. */
  cancel(): void;
  /** What requests have to know of a switch under way. */
  crossing(): Crossing | undefined;
  /** Calls `listener` after each step of a switch; returns how to stop. */
  onSwitch(listener: () => void): () => void;
  /** How the file of the active profile differs from what runs; undefined when it does not. */
  edit(): ProfileEdit | undefined;
  /** Ends the watch over files, and a switch where it stands. Idempotent. */
  close(): void;
}

export function createProfileManager(parts: ProfileManagerParts): ProfileManager {
  const { catalog, plan, clock, log, watchFolder, pool, journal } = parts;
  let active: Profile | undefined;

  const current = (): Profile => {
    assert(active !== undefined, 'a profile is active');
    return active;
  };
  const adopt = (profile: Profile): void => {
    active = profile;
    watch.aim();
  };
  const { transition } = parts;
  const change = new ProfileSwitch({
    ...{ clock, log, pool, journal, plan, current, adopt },
    ...(transition === undefined ? {} : { transition }),
  });
  const begin = (destination: Destination, drainMs: number | undefined): Promise<SwitchUnderWay> =>
    change.begin({ ...destination, ...(drainMs === undefined ? {} : { drainMs }) });
  const reload = async (drainMs?: number): Promise<SwitchUnderWay> => {
    const file = fileOf(current());
    return begin({ name: current().name, read: () => catalog.load(file) }, drainMs);
  };
  const apply = async (): Promise<void> => {
    const { error } = await (await reload()).over;
    if (error !== undefined) throw LlamaestroError.fromWire(error);
  };
  const watch: EditWatch = new EditWatch({ clock, catalog, plan, watchFolder, current, apply });

  return {
    current,
    reload,
    edit: () => watch.edit,
    progress: () => change.progress,
    crossing: () => change.crossing,
    cancel: () => change.cancel(),
    onSwitch: (listener) => change.onChange(listener),
    activate: (name, drainMs) => begin({ name, read: () => catalog.named(name) }, drainMs),
    list: () => catalog.list(),
    remembered: () => rememberedProfile(journal),
    async plan(name) {
      const next = await catalog.named(name);
      const planned = await plan(next);
      const loaded = pool.status().models;
      return { ...planned, switch: switchOutlook({ current: current(), loaded, next, plan: planned }) };
    },
    async start(profile) {
      assert(active === undefined, 'the first profile');
      const ending = await cutOff(journal);
      if (ending !== undefined) {
        const { from, to, result } = ending;
        log.warn('a switch of profiles was cut off by the end of a former process', { from, to, result });
        change.recall(ending);
      }
      await remember(journal, { active: profile });
      pool.apply(profile);
      adopt(profile);
    },
    close: () => {
      change.close();
      watch.close();
    },
  };
}

function fileOf({ name, origin, files }: Profile): string {
  if (files.length > 0) return origin;
  throw new LlamaestroError('invalid_request', `profile '${name}' has no file to read again: it was ${origin}`, {
    remedy: 'Start the server anew with other options.',
  });
}

/** What became of a switch that a former process could not end; undefined when there was none. */
async function cutOff(journal: ProfileManagerParts['journal']): Promise<SwitchEnding | undefined> {
  const record = await rememberedSwitch(journal);
  if (record === undefined || record.ending !== undefined) return undefined;
  const { from, to, step, startedAtMs } = record;
  // That step is written together with the name of the new profile.
  const isDone = step === 'flip' || step === 'clearing';
  const error = new LlamaestroError('interrupted', `the server ended in the middle of the switch, at '${step}'`);
  const ending: SwitchEnding = isDone
    ? { from, to, result: 'done', ms: 0 }
    : { from, to, result: 'failed', ms: 0, error: error.toWire() };
  await remember(journal, { record: { from, to, step: 'stable', startedAtMs, ending } });
  return ending;
}
