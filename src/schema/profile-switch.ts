/** How far a switch of profiles is, as the API and the command line tell it. Plain types; `profile/switch-progress` fills them. */
import type { WireError } from '../base/errors.js';
import type { SwitchStep } from './profile-plan.js';

/** What a switch does at a moment; at rest it is stable, or degraded when a rollback did not bring every model back. */
export type SwitchStage =
  | 'stable'
  | 'planning'
  | 'pausing'
  | 'draining'
  | 'saving'
  | 'unloading'
  | 'loading'
  | 'warming'
  | 'flip'
  | 'clearing'
  | 'rolling-back'
  | 'degraded';

/** One step of the plan and how far it is. */
export interface StepProgress extends SwitchStep {
  readonly state: 'waiting' | 'running' | 'done';
  /** 0 to 1. */
  readonly fraction: number;
}

/** How a switch ended; after failed and cancelled the old profile is served. */
export interface SwitchEnding {
  readonly from: string;
  readonly to: string;
  readonly result: 'done' | 'failed' | 'cancelled';
  readonly ms: number;
  readonly error?: WireError;
}

export interface SwitchProgress {
  readonly state: SwitchStage;
  /** The profile that is served now. */
  readonly active: string;
  /** Under way: from which profile to which. */
  readonly from?: string;
  readonly to?: string;
  /** The model of the step under way. */
  readonly model?: string;
  readonly steps: readonly StepProgress[];
  /** Loaded models that keep their process, by their names in the new profile. */
  readonly stays: readonly string[];
  readonly elapsedMs?: number;
  /** Milliseconds that the rest will probably take; absent where a step is not known. */
  readonly etaMs?: number;
  /** False once it can only go forward. */
  readonly cancellable: boolean;
  /** Models that a rollback did not bring back. */
  readonly missing: readonly string[];
  /** The one before, or the one that has just ended. */
  readonly last?: SwitchEnding;
}
