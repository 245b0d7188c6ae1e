/**
 * A switch from one profile to another as a pure machine: what is done, in which order, and what undoes it. One step is under
 * way at a time; each begins with a write to the journal. Up to the flip every way out leads back to the old profile, from it on
 * only forward. Knows neither processes nor requests.
 *
 *   stable -> planning -> pausing -> (draining -> saving -> unloading | loading -> warming)* -> flip -> clearing -> stable
 *   anything from pausing to flip -> rolling-back -> stable, or degraded when not every model came back
 */
import type { LlamaestroError } from '../base/errors.js';

export interface Step {
  readonly action: 'load' | 'unload';
  readonly model: string;
}

/** What planning found. */
export interface Course {
  /** Before the flip, in this order. */
  readonly steps: readonly Step[];
  /** Loaded models that leave after the flip, because nothing needs their room before. */
  readonly after: readonly string[];
  /** Every loaded model that leaves or makes room: what a rollback brings back. */
  readonly leaves: readonly string[];
}

export type SwitchResult = 'done' | 'failed' | 'cancelled';

/** How the last switch ended. */
export interface Ending {
  readonly result: SwitchResult;
  /** Why it was not done. */
  readonly error?: LlamaestroError;
}

/** The steps of the way, with the one that is under way. */
interface OnTheWay {
  readonly course: Course;
  readonly at: number;
}

/** Nothing is under way. */
export type Rest =
  | { readonly name: 'stable'; readonly last?: Ending }
  /** The old profile is served, but without these models. */
  | { readonly name: 'degraded'; readonly missing: readonly string[]; readonly last: Ending };

export type SwitchState =
  | Rest
  | { readonly name: 'planning'; readonly before: Rest }
  | { readonly name: 'pausing'; readonly course: Course }
  | ({ readonly name: 'draining' | 'saving' | 'unloading' | 'loading' | 'warming' } & OnTheWay)
  | { readonly name: 'flip'; readonly course: Course }
  | { readonly name: 'clearing'; readonly course: Course }
  | { readonly name: 'rolling-back'; readonly course: Course; readonly cause: Ending };

export type SwitchStateName = SwitchState['name'];

export type SwitchEvent =
  | { readonly type: 'begin' }
  | { readonly type: 'planned'; readonly course: Course }
  /** What is to come is what runs. */
  | { readonly type: 'unneeded' }
  /** What the state stands for is done. */
  | { readonly type: 'done' }
  | { readonly type: 'failed'; readonly error: LlamaestroError }
  /** Somebody asked for it. */
  | { readonly type: 'cancel'; readonly error: LlamaestroError }
  /** The rollback is over; `missing` did not come back. */
  | { readonly type: 'restored'; readonly missing: readonly string[] };

/** In the order in which they are given; what is written is durable before the next begins. */
export type SwitchEffect =
  | { readonly type: 'plan' }
  /** This state, for whoever starts after a sudden end. */
  | { readonly type: 'write' }
  | { readonly type: 'pause' }
  | { readonly type: 'drain' | 'save' | 'unload' | 'load' | 'warm'; readonly model: string }
  /** Writes the new profile as the active one, then serves it. */
  | { readonly type: 'flip' }
  | { readonly type: 'clear' }
  | { readonly type: 'restore'; readonly models: readonly string[] }
  /** Whoever waits for the end is told. */
  | { readonly type: 'settle' };

export interface SwitchTransition {
  readonly state: SwitchState;
  readonly effects: readonly SwitchEffect[];
}

export const STABLE: Rest = { name: 'stable' };

/** Errors that say that there was no room: another model may leave first. */
const NO_ROOM: readonly string[] = ['out_of_memory', 'does_not_fit'];

/** The next state and what to do. What does not concern a state leaves it as it is. */
export function transition(state: SwitchState, event: SwitchEvent): SwitchTransition {
  switch (state.name) {
    case 'stable':
    case 'degraded':
      return event.type === 'begin' ? to({ name: 'planning', before: state }, { type: 'plan' }) : stay(state);
    case 'planning':
      return whilePlanning(state, event);
    case 'pausing':
      return event.type === 'done' ? walk(state.course, 0) : orBack(state, event);
    case 'draining':
    case 'saving':
    case 'unloading':
    case 'loading':
    case 'warming':
      return onTheWay(state, event);
    case 'flip':
      if (event.type === 'done') return write({ name: 'clearing', course: state.course }, { type: 'clear' });
      // It is too late to cancel, but what could not be written has not happened.
      return event.type === 'failed' ? back(state.course, 'failed', event.error) : stay(state);
    case 'clearing':
      return event.type === 'done' || event.type === 'failed' ? end({ result: 'done' }) : stay(state);
    case 'rolling-back':
      return event.type === 'restored' ? restored(state, event.missing) : stay(state);
  }
}

/** Whether a switch is under way that can still be taken back. */
export function isCancellable({ name }: SwitchState): boolean {
  return !['stable', 'degraded', 'flip', 'clearing', 'rolling-back'].includes(name);
}

/** Nothing is under way. */
export function isAtRest(state: SwitchState): state is Rest {
  return state.name === 'stable' || state.name === 'degraded';
}

function stay(state: SwitchState): SwitchTransition {
  return { state, effects: [] };
}

function to(state: SwitchState, ...effects: SwitchEffect[]): SwitchTransition {
  return { state, effects };
}

function write(state: SwitchState, ...effects: SwitchEffect[]): SwitchTransition {
  return to(state, { type: 'write' }, ...effects);
}

function end(last: Ending): SwitchTransition {
  return write({ name: 'stable', last }, { type: 'settle' });
}

/** Nothing was touched yet, so nothing is taken back. */
function whilePlanning(state: Extract<SwitchState, { name: 'planning' }>, event: SwitchEvent): SwitchTransition {
  switch (event.type) {
    case 'planned':
      return write({ name: 'pausing', course: event.course }, { type: 'pause' });
    case 'unneeded':
    case 'failed':
    case 'cancel':
      return to(state.before, { type: 'settle' });
    default:
      return stay(state);
  }
}

type Walking = Extract<SwitchState, OnTheWay>;

function onTheWay(state: Walking, event: SwitchEvent): SwitchTransition {
  if (event.type === 'failed' && state.name === 'loading' && NO_ROOM.includes(event.error.code)) {
    const other = madeRoom(state);
    if (other !== undefined) return walk(other, state.at);
  }
  if (event.type !== 'done') return orBack(state, event);
  const { course, at } = state;
  const model = course.steps[at]?.model ?? '';
  switch (state.name) {
    case 'draining':
      return write({ ...state, name: 'saving' }, { type: 'save', model });
    case 'saving':
      return write({ ...state, name: 'unloading' }, { type: 'unload', model });
    case 'loading':
      return write({ ...state, name: 'warming' }, { type: 'warm', model });
    case 'unloading':
    case 'warming':
      return walk(course, at + 1);
  }
}

/** Begins the step at `at`, or flips when there is none. */
function walk(course: Course, at: number): SwitchTransition {
  const step = course.steps[at];
  if (step === undefined) return to({ name: 'flip', course }, { type: 'flip' });
  const { action, model } = step;
  return action === 'load'
    ? write({ name: 'loading', course, at }, { type: 'load', model })
    : write({ name: 'draining', course, at }, { type: 'drain', model });
}

/** The same course with the next model that leaves ahead of the load under way; undefined when nobody is left to go. */
function madeRoom({ course, at }: OnTheWay): Course | undefined {
  const { steps, after } = course;
  const ahead = steps.slice(0, at);
  const rest = steps.slice(at);
  const next = rest.findIndex(({ action }) => action === 'unload');
  const step = rest[next];
  if (step !== undefined) {
    return { ...course, steps: [...ahead, step, ...rest.filter((_, index) => index !== next)] };
  }
  const [model, ...others] = after;
  if (model === undefined) return undefined;
  return { ...course, steps: [...ahead, { action: 'unload', model }, ...rest], after: others };
}

function orBack(state: Extract<SwitchState, { readonly course: Course }>, event: SwitchEvent): SwitchTransition {
  if (event.type === 'failed') return back(state.course, 'failed', event.error);
  return event.type === 'cancel' ? back(state.course, 'cancelled', event.error) : stay(state);
}

function back(course: Course, result: SwitchResult, error: LlamaestroError): SwitchTransition {
  const models = course.leaves;
  return write({ name: 'rolling-back', course, cause: { result, error } }, { type: 'restore', models });
}

function restored(
  { cause }: Extract<SwitchState, { name: 'rolling-back' }>,
  missing: readonly string[],
): SwitchTransition {
  if (missing.length === 0) return end(cause);
  return write({ name: 'degraded', missing, last: cause }, { type: 'settle' });
}
