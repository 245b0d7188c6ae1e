/** How far a switch is, for people and programs: its steps with what is done of each, and what the rest will probably take. Pure. */
import type { ModelStatus } from '../pool/pool.js';
import { isIn } from '../pool/unit.js';
import type { SwitchPlan, SwitchStep } from '../schema/profile-plan.js';
import type { StepProgress, SwitchEnding, SwitchProgress } from '../schema/profile-switch.js';
import { isAtRest, isCancellable, type Step, type SwitchState } from './switch-state.js';

/** A switch under way, as its driver knows it. */
export interface TripFacts {
  readonly from: string;
  readonly to: string;
  readonly elapsedMs: number;
  /** Absent while it is being planned. */
  readonly plan?: SwitchPlan;
  /** The models that are made ready. */
  readonly staged: readonly ModelStatus[];
}

export interface SwitchFacts {
  readonly state: SwitchState;
  readonly active: string;
  readonly trip?: TripFacts;
  readonly last?: SwitchEnding;
  /** Of the active profile. */
  readonly models: readonly ModelStatus[];
  /** Of each model that a rollback did not bring back: its finished loads until then. */
  readonly losses: ReadonlyMap<string, number>;
}

export function progressOf({ state, active, trip, last, models, losses }: SwitchFacts): SwitchProgress {
  // One that was ready since is there, whether or not it is loaded at this moment.
  const isBack = (model: string): boolean =>
    models.some(
      ({ name, state, loads }) => isIn(model, name) && (state === 'ready' || loads > (losses.get(model) ?? 0)),
    );
  const missing = state.name === 'degraded' ? state.missing.filter((model) => !isBack(model)) : [];
  const steps = trip?.plan === undefined ? [] : stepsOf(state, trip.plan, trip.staged);
  const etaMs = trip === undefined ? undefined : restOf(steps);
  const model = 'at' in state ? state.course.steps[state.at]?.model : undefined;
  return {
    state: shownState(state, trip !== undefined, missing),
    active,
    ...(trip === undefined ? {} : { from: trip.from, to: trip.to, elapsedMs: Math.round(trip.elapsedMs) }),
    ...(model === undefined ? {} : { model }),
    steps,
    stays: trip?.plan?.stays ?? [],
    ...(etaMs === undefined ? {} : { etaMs: Math.round(etaMs) }),
    cancellable: isCancellable(state),
    missing,
    ...(last === undefined ? {} : { last }),
  };
}

/** A switch is over when its end is written; a loss is one as long as it lasts. */
function shownState(state: SwitchState, isUnderWay: boolean, missing: readonly string[]): SwitchProgress['state'] {
  if (isUnderWay && isAtRest(state)) return state.last?.result === 'done' ? 'clearing' : 'rolling-back';
  return state.name === 'degraded' && missing.length === 0 ? 'stable' : state.name;
}

/** In the order in which they are taken, which may have changed on the way. */
function stepsOf(state: SwitchState, plan: SwitchPlan, staged: readonly ModelStatus[]): readonly StepProgress[] {
  if (!('course' in state)) return [];
  const { steps, after } = state.course;
  const taken: readonly Step[] = [...steps, ...after.map((model): Step => ({ action: 'unload', model }))];
  return taken.map((step, index) => {
    const planned = plan.steps.find(({ action, model }) => action === step.action && model === step.model);
    const known: SwitchStep = planned ?? { ...step, bytes: {} };
    const where = placeOf(state, index);
    const fraction = where === 'done' ? 1 : where === 'waiting' ? 0 : fractionOf(step, staged);
    return { ...known, state: where, fraction };
  });
}

function placeOf(state: Extract<SwitchState, { course: unknown }>, index: number): StepProgress['state'] {
  const before = state.course.steps.length;
  switch (state.name) {
    case 'pausing':
    case 'rolling-back':
      return 'waiting';
    case 'flip':
      return index < before ? 'done' : 'waiting';
    case 'clearing':
      return index < before ? 'done' : 'running';
    default:
      if (index === state.at) return 'running';
      return index < state.at ? 'done' : 'waiting';
  }
}

function fractionOf({ action, model }: Step, staged: readonly ModelStatus[]): number {
  const status = action === 'load' ? staged.find(({ name }) => isIn(model, name)) : undefined;
  return status?.state === 'ready' ? 1 : (status?.loadFraction ?? 0);
}

function restOf(steps: readonly StepProgress[]): number | undefined {
  let sum = 0;
  for (const { state, fraction, expectedMs } of steps) {
    if (state === 'done') continue;
    if (expectedMs === undefined) return undefined;
    sum += expectedMs * (1 - fraction);
  }
  return sum;
}
