/**
 * Carries a switch of profiles out: asks the pure machine what comes next, writes it to the journal, does it, and is the only
 * writer of its state. One switch at a time: a second one to the same profile joins it, any other is refused. Processes are the
 * pool's.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock } from '../base/ports.js';
import { deferred, type Deferred } from '../base/signals.js';
import type { Journal } from '../journal/journal.js';
import type { Pool, Stage } from '../pool/pool.js';
import { isIn } from '../pool/unit.js';
import type { SwitchPlan } from '../schema/profile-plan.js';
import type { SwitchEnding, SwitchProgress } from '../schema/profile-switch.js';
import type { Profile } from '../schema/profile.js';
import { refuseUnfit, type PlanProfile } from './profile-planner.js';
import { switchOutlook } from './switch-outlook.js';
import { progressOf, type TripFacts } from './switch-progress.js';
import { remember, type SwitchRecord } from './switch-record.js';
import {
  isAtRest,
  isCancellable,
  STABLE,
  transition,
  type Course,
  type Ending,
  type SwitchEffect,
  type SwitchEvent,
  type SwitchState,
} from './switch-state.js';

export interface SwitchParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly pool: Pick<Pool, 'stage' | 'status'>;
  readonly journal: Pick<Journal, 'setStates'>;
  readonly plan: PlanProfile;
  readonly current: () => Profile;
  /** Another machine in place of the usual one: for whoever wants to see that its mistakes are noticed. */
  readonly transition?: typeof transition;
  /** `profile` is served from now on. */
  readonly adopt: (profile: Profile) => void;
}

/** Where to. */
export interface Destination {
  readonly name: string;
  /** Rejects when there is no such profile, or none that is valid. */
  readonly read: () => Promise<Profile>;
  /** What requests of leaving models get to end; the active profile's own time when absent. */
  readonly drainMs?: number;
}

/** A switch between its beginning and its end. */
interface Trip {
  readonly destination: Destination;
  readonly from: Profile;
  readonly startedAtMs: number;
  readonly startedWallMs: number;
  readonly planned: Deferred<void>;
  readonly over: Deferred<SwitchEnding>;
  /** Its flip is done, or its way back begun. */
  readonly crossed: Deferred<void>;
  /** Once it is planned. */
  way?: { readonly next: Profile; readonly plan: SwitchPlan; readonly stage: Stage };
}

/** A switch as far as requests are concerned: from its first step to its flip or its way back. */
export interface Crossing {
  readonly from: Profile;
  readonly next: Profile;
  /** Resolves at its end, whichever; what is cleared or brought back after it concerns no request. */
  readonly over: Promise<unknown>;
}

export class ProfileSwitch {
  private state: SwitchState = STABLE;
  private trip: Trip | undefined;
  private ended: SwitchEnding | undefined;
  /** Of each model that the last way back did not bring: its finished loads until then. */
  private losses: ReadonlyMap<string, number> = new Map();
  /** Of the step under way; what an earlier one still has to say is not heard. */
  private turn = new AbortController();
  private isClosed = false;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly parts: SwitchParts) {}

  /** A switch that a former process began, and how it ended by that. */
  recall(ending: SwitchEnding): void {
    this.ended = ending;
  }

  /**
   * Resolves when the switch is planned and under way, with the promise of its end; joins one that goes to the same profile.
   * Rejects with what speaks against it, and then nothing was touched: `switch_conflict`, `does_not_fit`, whatever `read` says.
   */
  async begin(destination: Destination): Promise<{ readonly over: Promise<SwitchEnding> }> {
    if (this.isClosed) throw new LlamaestroError('draining', 'the server is stopping');
    // One that has ended is only being written down.
    while (this.trip !== undefined && isAtRest(this.state)) await this.trip.over.promise;
    const { trip } = this;
    if (trip !== undefined && trip.destination.name !== destination.name) throw this.conflict(trip);
    const own = trip ?? this.depart(destination);
    await own.planned.promise;
    return { over: own.over.promise };
  }

  /** Takes the switch under way back; nothing when there is none. `switch_conflict` when it can only go forward. */
  cancel(): void {
    if (isAtRest(this.state) || this.state.name === 'rolling-back') return;
    if (!isCancellable(this.state)) {
      throw new LlamaestroError('switch_conflict', 'the new profile is served already', {
        remedy: 'Switch back to the former profile.',
      });
    }
    this.dispatch({ type: 'cancel', error: new LlamaestroError('cancelled', 'the switch was cancelled') });
  }

  get progress(): SwitchProgress {
    const { state, trip, ended } = this;
    const { current, pool } = this.parts;
    return progressOf({
      state,
      active: current().name,
      models: pool.status().models,
      losses: this.losses,
      ...(trip === undefined ? {} : { trip: this.factsOf(trip) }),
      ...(ended === undefined ? {} : { last: ended }),
    });
  }

  /** Undefined while requests need not care. */
  get crossing(): Crossing | undefined {
    const { trip } = this;
    if (trip?.way === undefined || hasCrossed(this.state)) return undefined;
    return { from: trip.from, next: trip.way.next, over: trip.crossed.promise };
  }

  /** Calls `listener` after each step; returns how to stop. */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** The process ends: nothing is taken back, since a restart finds the old profile or the new one. */
  close(): void {
    this.isClosed = true;
    this.turn.abort(new LlamaestroError('draining', 'the server is stopping'));
  }

  private depart(destination: Destination): Trip {
    const { clock, current } = this.parts;
    const trip: Trip = {
      destination,
      from: current(),
      startedAtMs: clock.nowMs(),
      startedWallMs: Math.round(clock.wallMs()),
      planned: deferred(),
      over: deferred(),
      crossed: deferred(),
    };
    this.trip = trip;
    this.dispatch({ type: 'begin' });
    return trip;
  }

  private conflict({ destination }: Trip): LlamaestroError {
    return new LlamaestroError('switch_conflict', `a switch to profile '${destination.name}' is under way`, {
      details: { to: destination.name, state: this.state.name },
    });
  }

  private factsOf({ from, destination, startedAtMs, way }: Trip): TripFacts {
    const elapsedMs = this.parts.clock.nowMs() - startedAtMs;
    const planned = way === undefined ? {} : { plan: way.plan };
    return { from: from.name, to: destination.name, elapsedMs, staged: way?.stage.status() ?? [], ...planned };
  }

  private dispatch(event: SwitchEvent): void {
    const { state, effects } = (this.parts.transition ?? transition)(this.state, event);
    if (state === this.state) return;
    this.parts.log.debug('a switch goes on', { from: this.state.name, to: state.name, event: event.type });
    this.state = state;
    if (hasCrossed(state)) this.trip?.crossed.resolve();
    const former = this.turn;
    this.turn = new AbortController();
    former.abort(new LlamaestroError('cancelled', 'the switch went on without it'));
    void this.carryOut(effects, this.turn.signal);
    for (const listener of [...this.listeners]) listener();
  }

  /** One effect after the other, as long as the machine is where it asked for them. */
  private async carryOut(effects: readonly SwitchEffect[], signal: AbortSignal): Promise<void> {
    try {
      for (const effect of effects) {
        const event = await this.perform(effect, signal);
        if (signal.aborted) return;
        if (event !== undefined) return this.dispatch(event);
      }
    } catch (thrown) {
      if (signal.aborted) return;
      const error = toLlamaestroError(thrown);
      this.trip?.planned.reject(error);
      this.dispatch({ type: 'failed', error });
    }
  }

  private async perform(effect: SwitchEffect, signal: AbortSignal): Promise<SwitchEvent | undefined> {
    const done: SwitchEvent = { type: 'done' };
    switch (effect.type) {
      case 'plan':
        return this.plan(signal);
      case 'write':
        return void (await this.write());
      case 'settle':
        return void this.settle();
      case 'restore':
        return { type: 'restored', missing: await this.restore(effect.models, signal) };
      case 'flip':
        await this.flip(signal);
        return done;
      default:
        await this.step(effect, signal);
        return done;
    }
  }

  private async step(
    effect: Exclude<SwitchEffect, { type: 'plan' | 'write' | 'settle' | 'restore' | 'flip' }>,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { stage } = this.way;
    switch (effect.type) {
      case 'pause':
        return stage.pause();
      case 'drain':
        return stage.drain(effect.model, this.drainMs, signal);
      case 'save':
        return stage.dismiss(effect.model, signal);
      case 'unload':
        return stage.proof(effect.model);
      case 'load':
      // What died since is loaded once more.
      case 'warm':
        return stage.load(effect.model, signal);
      case 'clear':
        return stage.cleared(signal);
    }
  }

  /** Everything that can fail without touching a running model. */
  private async plan(signal: AbortSignal): Promise<SwitchEvent | undefined> {
    const trip = this.ongoing;
    const { plan, pool, current } = this.parts;
    const next = await trip.destination.read();
    if (JSON.stringify(next) === JSON.stringify(current())) {
      trip.planned.resolve();
      return { type: 'unneeded' };
    }
    const planned = await plan(next);
    refuseUnfit(planned);
    // From here on nothing waits, so that what the plan says of the pool is what the stage finds.
    signal.throwIfAborted();
    const stage = pool.stage(next);
    const outlook = switchOutlook({ current: current(), loaded: pool.status().models, next, plan: planned });
    trip.way = { next, plan: outlook, stage };
    trip.planned.resolve();
    this.dispatch({ type: 'planned', course: courseOf(outlook) });
    return undefined;
  }

  /** The one write that decides: what is active after a sudden end. Every new model is ready by then. */
  private async flip(signal: AbortSignal): Promise<void> {
    const { next, plan, stage } = this.way;
    for (const model of plan.comes) if (!stage.isReady(model)) await stage.load(model, signal);
    await remember(this.parts.journal, { active: next, record: this.record(this.ongoing) });
    signal.throwIfAborted();
    stage.flip(this.drainMs);
    this.parts.adopt(next);
  }

  /** Models that did not come back. */
  private async restore(models: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    const { stage } = this.way;
    const { log, pool } = this.parts;
    stage.abandon();
    const losses = new Map<string, number>();
    this.losses = losses;
    const back = models.map((model) =>
      stage.restore(model, signal).catch((error: unknown) => {
        log.warn('a model did not come back after a switch that was not done', { model, error: String(error) });
        losses.set(model, pool.status().models.find(({ name }) => isIn(model, name))?.loads ?? 0);
      }),
    );
    await Promise.all(back);
    return [...losses.keys()];
  }

  /** Before the flip it must succeed, or the step is not taken; on the way out nothing waits for the disk. */
  private async write(): Promise<void> {
    const { journal, log } = this.parts;
    const { ongoing } = this;
    const isBack = this.state.name === 'rolling-back';
    const isLate = isBack || this.state.name === 'clearing' || isAtRest(this.state);
    // A flip that failed at the disk may have reached it.
    const active = isBack ? { active: ongoing.from } : {};
    const written = remember(journal, { ...active, record: this.record(ongoing) });
    if (!isLate) return written;
    await written.catch((error: unknown) =>
      log.warn('a step of a switch could not be journalled', { error: String(error) }),
    );
  }

  private record(trip: Trip): SwitchRecord {
    const { state } = this;
    const model = 'at' in state ? state.course.steps[state.at]?.model : undefined;
    return {
      ...{ from: trip.from.name, to: trip.destination.name, step: state.name, startedAtMs: trip.startedWallMs },
      ...(model === undefined ? {} : { model }),
      ...(isAtRest(state) ? { ending: this.ending(trip) } : {}),
    };
  }

  private ending(trip: Trip): SwitchEnding {
    const last = isAtRest(this.state) ? this.state.last : undefined;
    return endingOf(trip, last ?? { result: 'done' }, this.parts.clock.nowMs() - trip.startedAtMs);
  }

  private settle(): void {
    const { trip } = this;
    if (trip === undefined) return;
    this.trip = undefined;
    // One that was never under way is nothing to remember: whoever asked for it was told.
    const ending = trip.way === undefined ? endingOf(trip, { result: 'done' }, 0) : this.ending(trip);
    if (trip.way !== undefined) {
      this.ended = ending;
      const { from, to, result, ms, error } = ending;
      this.parts.log.info('a switch of profiles is over', { from, to, result, ms, error: error?.message });
    }
    trip.planned.reject(new LlamaestroError('cancelled', 'the switch was cancelled'));
    trip.over.resolve(ending);
    for (const listener of [...this.listeners]) listener();
  }

  private get ongoing(): Trip {
    const { trip } = this;
    assert(trip !== undefined, 'a switch is under way');
    return trip;
  }

  private get way(): NonNullable<Trip['way']> {
    const { way } = this.ongoing;
    assert(way !== undefined, 'a switch has a way once it is planned');
    return way;
  }

  private get drainMs(): number {
    const { destination, from } = this.ongoing;
    return destination.drainMs ?? from.switching.drainMs;
  }
}

/** Past its flip, on its way back, or over: requests go by what is active. */
function hasCrossed(state: SwitchState): boolean {
  return state.name === 'clearing' || state.name === 'rolling-back' || isAtRest(state);
}

function endingOf({ from, destination }: Trip, { result, error }: Ending, ms: number): SwitchEnding {
  const why = error === undefined ? {} : { error: error.toWire() };
  return { from: from.name, to: destination.name, result, ms: Math.round(ms), ...why };
}

/** Models whose room nobody needs leave only after the flip: until then they serve. */
function courseOf({ steps, leaves, makesRoom }: SwitchPlan): Course {
  const loads = steps.map(({ action }) => action).lastIndexOf('load');
  const after = steps.slice(loads + 1).map(({ model }) => model);
  return { steps: steps.slice(0, loads + 1), after, leaves: [...leaves, ...makesRoom] };
}
