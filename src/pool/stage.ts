/**
 * What a switch may do to the pool while another profile is made ready beside the applied one: load its models, take leave of
 * those that it does not keep, and in the end put it in place or give it up. Each call is one step; which one comes when is the
 * switch's business, and the pool goes on serving all the while.
 */
import type { Clock } from '../base/ports.js';
import { deadline, linked, orAborted } from '../base/signals.js';
import type { Profile } from '../schema/profile.js';
import type { ModelInstance } from './model-instance.js';
import type { Departure } from './occupancy.js';
import type { ModelStatus, Stage } from './pool.js';
import { left, type Roster } from './roster.js';

export interface StageParts {
  readonly roster: Roster;
  readonly clock: Clock;
  /** Resolves when `done` holds; rejects with the signal's reason. */
  readonly until: (done: () => boolean, signal?: AbortSignal) => Promise<void>;
  readonly onChange: () => void;
}

export class PoolStage implements Stage {
  private isOver = false;
  private readonly departures = new Map<string, Promise<Departure>>();

  constructor(
    private readonly profile: Profile,
    private readonly parts: StageParts,
  ) {}

  pause(): void {
    for (const instance of this.parts.roster.leavers) instance.bidding.hold();
  }

  async drain(model: string, drainMs: number, signal: AbortSignal): Promise<void> {
    const instance = this.present(model);
    // Room is needed: what an earlier process of some model still runs takes it just as well.
    this.parts.roster.hurry(drainMs);
    instance.bidding.pause();
    const patience = deadline(this.parts.clock, drainMs);
    const either = linked(patience.signal, signal);
    await this.parts
      .until(() => instance.desk.leased === 0, either.signal)
      .catch((thrown: unknown) => {
        if (signal.aborted) throw thrown;
      })
      .finally(() => {
        patience.end();
        either.end();
      });
  }

  async dismiss(model: string, signal: AbortSignal): Promise<void> {
    const instance = this.present(model);
    const { hid } = instance;
    const departure = instance.bidding.dismiss(left(model), 0);
    if (departure !== undefined) this.departures.set(model, departure);
    await this.parts.until(() => hid === undefined || instance.hid !== hid, signal);
  }

  proof(model: string): Promise<Departure | undefined> {
    return this.departures.get(model) ?? Promise.resolve(undefined);
  }

  load(model: string, signal: AbortSignal): Promise<void> {
    return orAborted(this.parts.roster.stagedFor(model).bidding.call(), signal);
  }

  isReady(model: string): boolean {
    return this.parts.roster.stagedFor(model).isReady;
  }

  flip(drainMs: number): void {
    this.isOver = true;
    this.parts.roster.apply(this.profile, drainMs);
    this.parts.onChange();
  }

  cleared(signal: AbortSignal): Promise<void> {
    return this.parts.until(() => !this.parts.roster.isClearing, signal);
  }

  abandon(): void {
    if (this.isOver) return;
    this.isOver = true;
    this.parts.roster.unstage();
    this.parts.onChange();
  }

  restore(model: string, signal: AbortSignal): Promise<void> {
    return orAborted(this.present(model).bidding.call(), signal);
  }

  status(): readonly ModelStatus[] {
    return this.parts.roster.newcomers.flatMap((instance) => instance.status());
  }

  private present(model: string): ModelInstance {
    return this.parts.roster.presentFor(model);
  }
}
