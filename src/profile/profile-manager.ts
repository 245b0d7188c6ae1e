/**
 * Which profile is active. It remembers the choice in the journal, so that a restart finds it, and hands it to the pool. A
 * profile changes only while no request runs or waits: changing it under load is another file's business, once there.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError } from '../base/errors.js';
import type { Clock } from '../base/ports.js';
import type { Journal } from '../journal/journal.js';
import type { Pool } from '../pool/pool.js';
import type { Profile } from '../schema/profile.js';
import type { ProfilePlan } from '../schema/profile-plan.js';
import type { Catalog, ProfileSummary } from './catalog.js';
import { EditWatch, type ProfileEdit } from './edit-watch.js';
import type { WatchFolder } from './folder-watch.js';
import type { PlanProfile } from './profile-planner.js';
import { switchOutlook } from './switch-outlook.js';

/** Key of the journal's state that names the active profile. */
export const ACTIVE_PROFILE_KEY = 'active-profile';

/** What is remembered over a restart; `origin` is a path, or says what a made-up profile was made for. */
export interface RememberedProfile {
  readonly name: string;
  readonly origin: string;
}

export interface ProfileManagerParts {
  readonly catalog: Catalog;
  readonly plan: PlanProfile;
  readonly clock: Clock;
  readonly watchFolder: WatchFolder;
  readonly pool: Pick<Pool, 'apply' | 'status'>;
  readonly journal: Pick<Journal, 'getState' | 'setState'>;
  /** Requests accepted and not ended. */
  readonly running: () => number;
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
   * Changes to the profile of that name. `switch_conflict` while requests run or another change is under way;
   * `profile_not_found`, `profile_invalid` and `does_not_fit` leave everything as it was.
   */
  activate(name: string): Promise<Profile>;
  /** Makes the file of the active profile what runs, as it is now. Errors as `activate`; `invalid_request` for a made-up profile. */
  reload(): Promise<Profile>;
  /** How the file of the active profile differs from what runs; undefined when it does not. */
  edit(): ProfileEdit | undefined;
  /** Ends the watch over files. Idempotent. */
  close(): void;
}

export function createProfileManager(parts: ProfileManagerParts): ProfileManager {
  const { catalog, plan, clock, watchFolder, pool, journal, running } = parts;
  let active: Profile | undefined;
  let changing = false;

  const current = (): Profile => {
    assert(active !== undefined, 'a profile is active');
    return active;
  };
  const remember = ({ name, origin }: Profile): Promise<void> =>
    journal.setState(ACTIVE_PROFILE_KEY, JSON.stringify({ name, origin } satisfies RememberedProfile));
  /** Durable first: a process killed in between comes back with the new profile, never with half of each. */
  const make = async (profile: Profile): Promise<void> => {
    await remember(profile);
    if (active !== undefined && running() > 0) {
      await remember(active);
      throw busy(running());
    }
    active = profile;
    pool.apply(profile);
    watch.aim();
  };

  /** One change at a time; what is read is what runs already leaves everything alone, even under load. */
  const change = async (read: () => Promise<Profile>): Promise<Profile> => {
    if (changing) throw new LlamaestroError('switch_conflict', 'another change of the profile is under way');
    changing = true;
    try {
      const profile = await read();
      if (JSON.stringify(profile) === JSON.stringify(current())) return current();
      if (running() > 0) throw busy(running());
      refuseUnfit(await plan(profile));
      await make(profile);
      return profile;
    } finally {
      changing = false;
    }
  };
  const reload = (): Promise<Profile> => change(() => catalog.load(fileOf(current())));
  const watch: EditWatch = new EditWatch({ clock, catalog, plan, watchFolder, current, apply: reload });

  return {
    current,
    reload,
    edit: () => watch.edit,
    close: () => watch.close(),
    activate: (name) => change(() => catalog.named(name)),
    list: () => catalog.list(),
    async plan(name) {
      const next = await catalog.named(name);
      const planned = await plan(next);
      const loaded = pool.status().models;
      return { ...planned, switch: switchOutlook({ current: current(), loaded, next, plan: planned }) };
    },
    async start(profile) {
      assert(active === undefined, 'the first profile');
      await make(profile);
    },
    async remembered() {
      const text = await journal.getState(ACTIVE_PROFILE_KEY);
      return text === undefined ? undefined : (JSON.parse(text) as RememberedProfile);
    },
  };
}

function fileOf({ name, origin, files }: Profile): string {
  if (files.length > 0) return origin;
  throw new LlamaestroError('invalid_request', `profile '${name}' has no file to read again: it was ${origin}`, {
    remedy: 'Start the server anew with other options.',
  });
}

/** A definite no stops the change; a model that is missing, unknown or damaged is one that does not work, not one too many. */
function refuseUnfit({ profile, problems }: ProfilePlan): void {
  const [first] = problems;
  if (first === undefined) return;
  throw new LlamaestroError('does_not_fit', `profile '${profile}': ${first.message}`, {
    remedy: first.remedy,
    details: { profile, problems },
  });
}

function busy(count: number): LlamaestroError {
  const requests = count === 1 ? '1 request runs' : `${count} requests run`;
  return new LlamaestroError('switch_conflict', `${requests}; the profile changes only while none does`, {
    remedy: 'Wait until they have ended and try again, or restart the server with --profile NAME.',
    details: { running: count },
  });
}
