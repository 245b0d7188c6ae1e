/**
 * What survives the process about profiles: which one is active, and the switch under way. The name of the active profile is the
 * one truth: whoever starts after a sudden end takes it, and the record of the switch only says what happened.
 */
import type { Journal } from '../journal/journal.js';
import type { SwitchEnding, SwitchStage } from '../schema/profile-switch.js';
import type { Profile } from '../schema/profile.js';

/** Keys of the journal's states. */
export const ACTIVE_PROFILE_KEY = 'active-profile';
export const SWITCH_KEY = 'switch';

/** What is remembered over a restart; `origin` is a path, or says what a made-up profile was made for. */
export interface RememberedProfile {
  readonly name: string;
  readonly origin: string;
}

/** A switch, and the step that it was about to take. */
export interface SwitchRecord {
  readonly from: string;
  readonly to: string;
  readonly step: SwitchStage;
  readonly model?: string;
  readonly startedAtMs: number;
  /** Present when it is over. */
  readonly ending?: SwitchEnding;
}

/** Both in one commit, where both are given. */
export async function remember(
  journal: Pick<Journal, 'setStates'>,
  what: { readonly active?: Profile; readonly record?: SwitchRecord },
): Promise<void> {
  const { active, record } = what;
  const profile =
    active === undefined ? undefined : ({ name: active.name, origin: active.origin } as RememberedProfile);
  await journal.setStates({
    ...(profile === undefined ? {} : { [ACTIVE_PROFILE_KEY]: JSON.stringify(profile) }),
    ...(record === undefined ? {} : { [SWITCH_KEY]: JSON.stringify(record) }),
  });
}

export async function rememberedProfile(journal: Pick<Journal, 'getState'>): Promise<RememberedProfile | undefined> {
  const text = await journal.getState(ACTIVE_PROFILE_KEY);
  return text === undefined ? undefined : (JSON.parse(text) as RememberedProfile);
}

/** The last switch that began. */
export async function rememberedSwitch(journal: Pick<Journal, 'getState'>): Promise<SwitchRecord | undefined> {
  const text = await journal.getState(SWITCH_KEY);
  return text === undefined ? undefined : (JSON.parse(text) as SwitchRecord);
}
