/**
 * What is loaded and unloaded as one: a model by itself as a rule, or the models of a profile that share a host. Pure; says
 * which models go together and what holds for them as a whole, and knows no process.
 */
import { createHash } from 'node:crypto';
import { assert } from '../base/assert.js';
import type { GroupMember } from '../schema/bus-messages.js';
import type { ModelSpec } from '../schema/profile.js';

export interface Unit {
  /** The model's name, or those of all members: 'embedder+router'. */
  readonly name: string;
  /** At least one; several in the order of their names. */
  readonly members: readonly ModelSpec[];
  /** Equal hashes: the same process may serve both. Those of a group cover the names of its members. */
  readonly configHash: string;
  readonly residency: ModelSpec['residency'];
  /** One that is pinned pins all. */
  readonly pinned: boolean;
  /** The longest of any. */
  readonly ttlMs: number;
  /** The highest of any. */
  readonly priority: number;
  readonly available: boolean;
}

/** No model has this in its name. */
const AND = '+';

/** Of the models of a profile, in the order of their first members. One whose file is missing stands alone, so that the others of its group serve. */
export function unitsOf(models: readonly ModelSpec[]): readonly Unit[] {
  const groups = new Map<string, ModelSpec[]>();
  for (const spec of models) {
    const key = spec.host === undefined || !spec.available ? `model ${spec.name}` : `host ${spec.host}`;
    groups.set(key, [...(groups.get(key) ?? []), spec]);
  }
  return [...groups.values()].map(unitOf);
}

/** The unit of these models. */
export function unitOf(specs: readonly ModelSpec[]): Unit {
  const members = [...specs].sort((one, other) => (one.name < other.name ? -1 : 1));
  const [first] = members;
  assert(first !== undefined, 'a unit has a member');
  return {
    name: members.map(({ name }) => name).join(AND),
    members,
    configHash: members.length === 1 ? first.configHash : hashOf(members),
    residency: members.some(({ residency }) => residency === 'resident') ? 'resident' : 'on-demand',
    pinned: members.some(({ pinned }) => pinned),
    ttlMs: Math.max(...members.map(({ ttlMs }) => ttlMs)),
    priority: Math.max(...members.map(({ priority }) => priority)),
    available: members.every(({ available }) => available),
  };
}

/** The options its models are loaded with, beside the file that all CPU hosts of a machine share. */
export function loadsOf({ members }: Unit, stepLock: string | undefined): readonly GroupMember[] {
  const lock = stepLock === undefined ? {} : { stepLock };
  return members.map(({ name: model, load }) => ({ model, load: { ...lock, ...load } }));
}

/** Whether the unit of that name has this model in it. */
export function isIn(unit: string, model: string): boolean {
  return unit.split(AND).includes(model);
}

function hashOf(members: readonly ModelSpec[]): string {
  const text = JSON.stringify(members.map(({ name, configHash }) => [name, configHash]));
  return createHash('sha256').update(text).digest('hex');
}
