/**
 * The lease desks of one unit: each of its models has a queue and limits of its own, and all of them open and lose the same
 * process. To the unit they look like one desk. Knows no states.
 */
import { assert } from '../base/assert.js';
import type { LlamaestroError } from '../base/errors.js';
import type { ModelSpec } from '../schema/profile.js';
import { LeaseDesk, type AttemptName, type DeskParts } from './lease-desk.js';
import type { Line } from './watchdog.js';

export type DesksParts = Omit<DeskParts, 'plannedSlots'>;

export class Desks {
  private readonly desks: readonly LeaseDesk[];

  /** One for each of the models there are now; later ones take their places in the same order. */
  constructor(members: () => readonly ModelSpec[], parts: DesksParts) {
    this.desks = members().map(
      ({ name }, index) => new LeaseDesk(name, { ...parts, plannedSlots: () => members()[index]?.load.slots ?? 1 }),
    );
  }

  /** Of the model at this place. */
  at(index: number): LeaseDesk {
    const desk = this.desks[index];
    assert(desk !== undefined, 'each model of a unit has a desk');
    return desk;
  }

  get leased(): number {
    return this.sum(({ leased }) => leased);
  }
  get waiting(): number {
    return this.sum(({ waiting }) => waiting);
  }
  get granted(): number {
    return this.sum(({ granted }) => granted);
  }
  /** Since when nobody leases or waits anywhere. */
  get idleSinceMs(): number | undefined {
    let latestMs = -Infinity;
    for (const { idleSinceMs } of this.desks) {
      if (idleSinceMs === undefined) return undefined;
      latestMs = Math.max(latestMs, idleSinceMs);
    }
    return latestMs;
  }
  get attempts(): readonly AttemptName[] {
    return this.desks.flatMap(({ attempts }) => attempts);
  }
  /** The one whose requests wait although its slots are free, else any whose requests wait. */
  get worst(): Pick<Line, 'waiting' | 'leased' | 'slots'> {
    const waited = this.desks.filter(({ waiting }) => waiting > 0);
    return waited.find(({ leased, slots }) => leased < slots) ?? waited[0] ?? this.at(0);
  }

  rename(members: readonly ModelSpec[]): void {
    members.forEach(({ name }, index) => this.at(index).rename(name));
  }

  /** `slots`: of each model, in order. */
  open(hid: string, slots: readonly number[], loadStartedAtMs: number): void {
    this.desks.forEach((desk, index) => desk.open(hid, slots[index] ?? 1, loadStartedAtMs));
  }

  serve(): void {
    for (const desk of this.desks) desk.serve();
  }

  shut(): void {
    for (const desk of this.desks) desk.shut();
  }

  resume(): void {
    for (const desk of this.desks) desk.resume();
  }

  progress(fraction: number, startedAtMs: number): void {
    for (const desk of this.desks) desk.progress(fraction, startedAtMs);
  }

  lose(error: LlamaestroError): void {
    for (const desk of this.desks) desk.lose(error);
  }

  reject(error: LlamaestroError): void {
    for (const desk of this.desks) desk.reject(error);
  }

  /** What runs on the process as a whole. */
  listed(attempts: readonly AttemptName[]): void {
    for (const desk of this.desks) desk.listed(attempts);
  }

  private sum(of: (desk: LeaseDesk) => number): number {
    return this.desks.reduce((total, desk) => total + of(desk), 0);
  }
}
