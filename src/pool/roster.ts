/**
 * Which model instances there are: those of the applied profile, those of a profile that is made ready beside it, and those on
 * their way out. Says who serves which name; the life of each instance is its own, and when things change is the pool's
 * affair.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError } from '../base/errors.js';
import { findModel, type ModelSpec, type Profile } from '../schema/profile.js';
import { carryOver } from './carry-over.js';
import type { ModelInstance } from './model-instance.js';

/** A profile that is not applied yet, and who serves its models, in their order: instances that stay, or new ones. */
interface Staged {
  readonly profile: Profile;
  readonly instances: readonly ModelInstance[];
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

  constructor(private readonly make: (spec: ModelSpec) => ModelInstance) {}

  /** The applied one. */
  get profile(): Profile | undefined {
    return this.applied;
  }
  /** The one whose budgets hold: while another one is made ready it is that, since its models must fit. */
  get governing(): Profile | undefined {
    return this.staged?.profile ?? this.applied;
  }
  /** Of the applied profile, in its order. */
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
  find(model: string): ModelInstance | undefined {
    const spec = this.applied === undefined ? undefined : findModel(this.applied, model);
    return this.present.find(({ name }) => name === spec?.name);
  }

  named(model: string): ModelInstance {
    const instance = this.find(model);
    if (instance !== undefined) return instance;
    const models = this.present.map(({ name }) => name);
    throw new LlamaestroError('model_not_found', `there is no model '${model}'`, { details: { models } });
  }

  byHost(hid: string): ModelInstance | undefined {
    return this.everybody.find((instance) => instance.hid === hid);
  }

  /** Who is to serve a model of the profile that is made ready. */
  stagedFor(model: string): ModelInstance {
    const index = this.staged?.profile.models.findIndex(({ name }) => name === model) ?? -1;
    const instance = this.staged?.instances[index];
    assert(instance !== undefined, `${model} is a model of the profile that is made ready`);
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
    profile.models.forEach((spec, index) => instances[index]?.adopt(spec));
    for (const instance of gone) this.replace(instance, drainMs);
    this.freeHeld();
  }

  /** Makes another instance of the same model, which serves nobody until `exchange`. */
  twin(instance: ModelInstance): ModelInstance {
    const twin = this.make(instance.spec);
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
    instance.desk.moveWaitersTo(twin.desk);
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
      const { name, configHash } = instance.spec;
      return { name, configHash, isLoaded: instance.hid !== undefined, instance };
    });
    const kept = carryOver(old, profile.models);
    return profile.models.map((spec, index) => kept[index]?.instance ?? this.make(spec));
  }

  /** Who waits goes over to the model of that name, if there still is one. */
  private replace(instance: ModelInstance, drainMs: number | undefined): void {
    const successor = this.find(instance.name);
    const cause = left(instance.name);
    if (successor === undefined) instance.desk.reject(cause);
    else instance.desk.moveWaitersTo(successor.desk);
    instance.bidding.retire(cause, drainMs);
  }
}

/** What a request hears whose model leaves under it: it is asked for again under the profile that is served then. */
export function left(model: string): LlamaestroError {
  return new LlamaestroError('profile_switching', `model '${model}' leaves: the profile is being switched`);
}
