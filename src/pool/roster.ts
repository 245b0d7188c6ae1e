/**
 * Which model instances there are: those of the applied profile, those of a profile that is made ready beside it, and those on
 * their way out. Says who serves which name; the life of each instance is its own, and when things change is the pool's
 * affair.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError } from '../base/errors.js';
import { findModel, type ModelSpec, type Profile } from '../schema/profile.js';
import { carryOver } from './carry-over.js';
import type { LeaseDesk } from './lease-desk.js';
import type { ModelInstance } from './model-instance.js';
import { unitsOf, type Unit } from './unit.js';

/** A profile that is not applied yet, and who serves its units, in their order: instances that stay, or new ones. */
interface Staged {
  readonly profile: Profile;
  readonly instances: readonly ModelInstance[];
}

/** A model of the applied profile, who serves it, and where its requests wait. */
export interface Seat {
  readonly spec: ModelSpec;
  readonly instance: ModelInstance;
  readonly desk: LeaseDesk;
}

/** A present instance and the one that is to take its place. */
interface Twins {
  readonly instance: ModelInstance;
  readonly twin: ModelInstance;
}

export class Roster {
  private applied: Profile | undefined;
  private present: readonly ModelInstance[] = [];
  private staged: Staged | undefined;
  /** No longer of a profile, not yet gone. */
  private leaving: readonly ModelInstance[] = [];
  /** Those that are to take the place of a present one, as soon as they are ready. */
  private twins: readonly Twins[] = [];

  constructor(private readonly make: (unit: Unit) => ModelInstance) {}

  /** The applied one. */
  get profile(): Profile | undefined {
    return this.applied;
  }
  /** The one whose budgets hold: while another one is made ready it is that, since its models must fit. */
  get governing(): Profile | undefined {
    return this.staged?.profile ?? this.applied;
  }
  /** Of the applied profile, in the order of its units. */
  get instances(): readonly ModelInstance[] {
    return this.present;
  }
  get everybody(): readonly ModelInstance[] {
    return [...this.present, ...this.twins.map(({ twin }) => twin), ...this.newcomers, ...this.leaving];
  }
  /** Of the applied profile, and not of the one that is made ready. */
  get leavers(): readonly ModelInstance[] {
    const { staged } = this;
    return staged === undefined ? [] : this.present.filter((instance) => !staged.instances.includes(instance));
  }
  /** Made for the profile that is made ready. */
  get newcomers(): readonly ModelInstance[] {
    return this.staged?.instances.filter((instance) => !this.present.includes(instance)) ?? [];
  }
  /** True while another profile is made ready. */
  get isStaging(): boolean {
    return this.staged !== undefined;
  }
  /** True while an instance that left a profile still has its process. */
  get isClearing(): boolean {
    return this.leaving.some(({ hid }) => hid !== undefined);
  }

  /** By name or alias. */
  find(model: string): Seat | undefined {
    const spec = this.applied === undefined ? undefined : findModel(this.applied, model);
    const instance = this.present.find((one) => spec !== undefined && one.placeOf(spec.name) >= 0);
    if (spec === undefined || instance === undefined) return undefined;
    return { spec, instance, desk: instance.deskOf(spec.name) };
  }

  named(model: string): Seat {
    const seat = this.find(model);
    if (seat !== undefined) return seat;
    const models = this.applied?.models.map(({ name }) => name) ?? [];
    throw new LlamaestroError('model_not_found', `there is no model '${model}'`, { details: { models } });
  }

  byHost(hid: string): ModelInstance | undefined {
    return this.everybody.find((instance) => instance.hid === hid);
  }

  /** Who is to serve a unit of the profile that is made ready. */
  stagedFor(unit: string): ModelInstance {
    const index = unitsOf(this.staged?.profile.models ?? []).findIndex(({ name }) => name === unit);
    const instance = this.staged?.instances[index];
    assert(instance !== undefined, `${unit} is of the profile that is made ready`);
    return instance;
  }

  /** Who serves a unit of the applied profile. */
  presentFor(unit: string): ModelInstance {
    const instance = this.present.find(({ name }) => name === unit);
    assert(instance !== undefined, `${unit} is of the applied profile`);
    return instance;
  }

  /** Nothing is loaded and nobody leaves by this alone. */
  stage(profile: Profile): void {
    assert(this.staged === undefined, 'one profile at a time is made ready');
    for (const { twin } of this.twins) this.forsake(twin, left(twin.name));
    this.staged = { profile, instances: this.instancesFor(profile) };
  }

  /** What was made for the staged profile leaves; those that were held go on. */
  unstage(): void {
    const { newcomers } = this;
    this.staged = undefined;
    this.leaving = [...this.leaving, ...newcomers];
    for (const instance of newcomers) instance.bidding.retire(left(instance.name));
    this.freeHeld();
  }

  /** What those who are on their way out still run gets no more time than `drainMs`: a switch does not wait for longer. */
  hurry(drainMs?: number): void {
    for (const instance of this.leaving) instance.bidding.retire(left(instance.name), drainMs);
  }

  /** Makes `profile` the one that is served. What a lease of a leaving model gets beyond `drainMs`: it is lost. */
  apply(profile: Profile, drainMs?: number): void {
    if (this.staged !== undefined && this.staged.profile !== profile) this.unstage();
    for (const { twin } of this.twins) this.forsake(twin, left(twin.name));
    const instances = this.staged?.instances ?? this.instancesFor(profile);
    const gone = this.present.filter((instance) => !instances.includes(instance));
    this.applied = profile;
    this.staged = undefined;
    this.present = instances;
    this.hurry(drainMs);
    this.leaving = [...this.leaving, ...gone];
    unitsOf(profile.models).forEach((unit, index) => instances[index]?.adopt(unit));
    for (const instance of gone) this.replace(instance, drainMs);
    this.freeHeld();
  }

  /** Makes another instance of the same model, which serves nobody until `exchange`. */
  twin(instance: ModelInstance): ModelInstance {
    const twin = this.make(instance.unit);
    this.twins = [...this.twins, { instance, twin }];
    return twin;
  }

  /** The twin takes the place: who waits goes over, and what runs ends where it is, however long it takes. */
  exchange(instance: ModelInstance, twin: ModelInstance, cause: LlamaestroError): void {
    // Another profile came meanwhile: the twin was forsaken then.
    if (!this.twins.some((pair) => pair.twin === twin)) return;
    this.twins = this.twins.filter((pair) => pair.twin !== twin);
    this.present = this.present.map((other) => (other === instance ? twin : other));
    this.leaving = [...this.leaving, instance];
    twin.takeOver(instance);
    for (const { name } of instance.unit.members) instance.deskOf(name).moveWaitersTo(twin.deskOf(name));
    instance.bidding.retire(cause, Infinity);
  }

  /** The twin is not wanted any more. */
  forsake(twin: ModelInstance, cause: LlamaestroError): void {
    if (!this.twins.some((pair) => pair.twin === twin)) return;
    this.twins = this.twins.filter((pair) => pair.twin !== twin);
    this.leaving = [...this.leaving, twin];
    twin.bidding.retire(cause);
  }

  /** Forgets those who are gone. */
  sweep(): void {
    this.leaving = this.leaving.filter((instance) => instance.hid !== undefined);
  }

  /** Those that were to leave and stay, and those that stay and were unloaded for room. */
  private freeHeld(): void {
    for (const { bidding } of this.present) if (bidding.isHeld) bidding.free();
  }

  private instancesFor(profile: Profile): readonly ModelInstance[] {
    const old = this.present.map((instance) => {
      const { name, configHash } = instance.unit;
      return { name, configHash, isLoaded: instance.hid !== undefined, instance };
    });
    const units = unitsOf(profile.models);
    const kept = carryOver(old, units);
    return units.map((unit, index) => kept[index]?.instance ?? this.make(unit));
  }

  /** Who waits goes over to the model of that name, if there still is one. */
  private replace(instance: ModelInstance, drainMs: number | undefined): void {
    for (const { name } of instance.unit.members) {
      const successor = this.find(name);
      if (successor === undefined) instance.deskOf(name).reject(left(name));
      else instance.deskOf(name).moveWaitersTo(successor.desk);
    }
    instance.bidding.retire(left(instance.name), drainMs);
  }
}

/** What a request hears whose model leaves under it: it is asked for again under the profile that is served then. */
export function left(model: string): LlamaestroError {
  return new LlamaestroError('profile_switching', `model '${model}' leaves: the profile is being switched`);
}
