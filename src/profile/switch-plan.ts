/**
 * How the models of one profile take the place of another's: what stays untouched, what comes while the old ones are still
 * there, what must wait until some have left. Pure: the switch and its dry run read the same plan. Complete: where any
 * order works, this one does. Who leaves anyway goes first; a model on demand that stays is unloaded only where that is not
 * enough, as the pool would do it for any other load.
 */
import { carryOver } from '../pool/carry-over.js';
import { cheapestSet } from '../pool/victims.js';
import type { BytesByDevice, SwitchDevice, SwitchPlan, SwitchStep } from '../schema/profile-plan.js';

/** A model whose process is there. */
export interface RunningModel {
  readonly name: string;
  readonly configHash: string;
  /** What it holds. */
  readonly bytes: BytesByDevice;
  /** Milliseconds until what it runs has ended and it is gone, probably. */
  readonly expectedMs?: number;
}

/** A model of the new profile. */
export interface WantedModel {
  readonly name: string;
  readonly configHash: string;
  readonly bytes: BytesByDevice;
  /** It is to be loaded by the switch itself: resident, and its file is there. */
  readonly isLoaded: boolean;
  /** When it stays, it may be unloaded to make room nevertheless: on demand, and not pinned. */
  readonly isMovable: boolean;
  /** Milliseconds of its load, probably. */
  readonly expectedMs?: number;
}

export interface SwitchQuestion {
  readonly running: readonly RunningModel[];
  /** In the order in which they are best loaded. */
  readonly wanted: readonly WantedModel[];
  /** What all models together may take. */
  readonly devices: readonly { readonly device: string; readonly roomBytes: number }[];
}

export function planSwitch(question: SwitchQuestion): SwitchPlan {
  // The pool keeps processes by the same rule.
  const kept = carryOver(question.running, question.wanted);
  const staying = question.wanted.filter((_, index) => kept[index] !== undefined);
  const movable = kept.filter((model, index) => model !== undefined && question.wanted[index]?.isMovable === true);
  const leaving = question.running.filter((model) => !kept.includes(model));
  const coming = question.wanted.filter((model) => model.isLoaded && !staying.includes(model));
  const course = new Course(question);
  const impossible = course.run(
    leaving,
    movable.filter((model) => model !== undefined),
    coming,
  );
  const expectedMs = sumOfMs(course.steps);
  const { makesRoom } = course;
  const stays = question.wanted.filter((_, index) => {
    const model = kept[index];
    return model !== undefined && !makesRoom.includes(model);
  });
  return {
    stays: stays.map(({ name }) => name),
    leaves: leaving.map(({ name }) => name),
    makesRoom: makesRoom.map(({ name }) => name),
    comes: coming.filter((model) => !impossible.includes(model)).map(({ name }) => name),
    steps: course.steps,
    devices: course.devices(),
    ...(expectedMs === undefined ? {} : { expectedMs }),
    impossible: impossible.map(({ name }) => name),
  };
}

function sumOfMs(steps: readonly SwitchStep[]): number | undefined {
  let sum = 0;
  for (const { expectedMs } of steps) {
    if (expectedMs === undefined) return undefined;
    sum += expectedMs;
  }
  return sum;
}

/** Bytes as the steps go by. */
class Course {
  readonly steps: SwitchStep[] = [];
  /** Of those that would stay. */
  readonly makesRoom: RunningModel[] = [];
  private readonly before: BytesByDevice;
  private readonly held: Record<string, number> = {};
  private readonly worst: Record<string, number> = {};

  constructor(private readonly question: SwitchQuestion) {
    for (const { bytes } of question.running) this.add(bytes, 1);
    this.before = { ...this.held };
  }

  /** Loads whatever fits, and lets one leave only when nothing does; returns what never fits. */
  run(
    leaving: readonly RunningModel[],
    movable: readonly RunningModel[],
    coming: readonly WantedModel[],
  ): readonly WantedModel[] {
    const old = [...leaving];
    const fresh = [...coming];
    let order: SwitchStep['order'] = 'load-first';
    for (;;) {
      const next = fresh.findIndex(({ bytes }) => this.fits(bytes));
      const [model] = next === -1 ? [] : fresh.splice(next, 1);
      if (model !== undefined) {
        this.step('load', model, order);
      } else {
        const goes = fresh.length === 0 ? old[0] : this.bestToLeave(old, fresh);
        const going = goes === undefined ? this.roomFor(fresh, movable) : [goes];
        if (going.length === 0) return fresh;
        if (goes === undefined) this.makesRoom.push(...going);
        else old.splice(old.indexOf(goes), 1);
        for (const one of going) this.step('unload', one);
        if (fresh.length > 0) order = 'leave-first';
      }
    }
  }

  devices(): readonly SwitchDevice[] {
    return this.question.devices.map(({ device, roomBytes }) => ({
      device,
      roomBytes,
      beforeBytes: this.before[device] ?? 0,
      worstBytes: this.worst[device] ?? 0,
      afterBytes: this.held[device] ?? 0,
    }));
  }

  /** The smallest that lets somebody in; else the one that frees most where something is short. */
  private bestToLeave(old: readonly RunningModel[], fresh: readonly WantedModel[]): RunningModel | undefined {
    const letsIn = (model: RunningModel): boolean => fresh.some(({ bytes }) => this.fits(bytes, model.bytes));
    const useful = old.filter(letsIn).sort((a, b) => totalOf(a.bytes) - totalOf(b.bytes));
    if (useful[0] !== undefined) return useful[0];
    const short = this.question.devices.filter(({ device, roomBytes }) =>
      fresh.some(({ bytes }) => (bytes[device] ?? 0) > roomBytes - (this.held[device] ?? 0)),
    );
    const freed = (model: RunningModel): number =>
      short.reduce((sum, { device }) => sum + (model.bytes[device] ?? 0), 0);
    return [...old].sort((a, b) => freed(b) - freed(a))[0];
  }

  /**
   * Those of `movable` that let the first of `fresh` in that can be let in at all: as few as possible whose end nobody knows,
   * then as few as possible. Empty when they help nobody.
   */
  private roomFor(fresh: readonly WantedModel[], movable: readonly RunningModel[]): readonly RunningModel[] {
    const candidates = movable
      .filter((model) => !this.makesRoom.includes(model))
      .map((model) => ({
        ...{ id: model.name, cost: model.expectedMs === undefined ? 1 : 0, size: totalOf(model.bytes) },
        model,
      }));
    for (const { bytes } of fresh) {
      const chosen = cheapestSet(candidates, (some) => this.fits(bytes, ...some.map(({ model }) => model.bytes)));
      if (chosen !== undefined) return chosen.map(({ model }) => model);
    }
    return [];
  }

  private fits(bytes: BytesByDevice, ...without: readonly BytesByDevice[]): boolean {
    return this.question.devices.every(({ device, roomBytes }) => {
      const needed = bytes[device] ?? 0;
      const freed = without.reduce((sum, { [device]: amount = 0 }) => sum + amount, 0);
      return needed === 0 || (this.held[device] ?? 0) - freed + needed <= roomBytes;
    });
  }

  private step(
    action: SwitchStep['action'],
    { name, bytes, expectedMs }: RunningModel | WantedModel,
    order?: SwitchStep['order'],
  ): void {
    this.add(bytes, action === 'load' ? 1 : -1);
    const known = expectedMs === undefined ? {} : { expectedMs };
    this.steps.push({ action, model: name, bytes, ...(order === undefined ? {} : { order }), ...known });
  }

  private add(bytes: BytesByDevice, sign: 1 | -1): void {
    for (const [device, amount] of Object.entries(bytes)) {
      const held = (this.held[device] ?? 0) + sign * amount;
      this.held[device] = held;
      this.worst[device] = Math.max(this.worst[device] ?? 0, held);
    }
  }
}

function totalOf(bytes: BytesByDevice): number {
  return Object.values(bytes).reduce((sum, amount) => sum + amount, 0);
}
