/**
 * Asks for the bytes of each model of a profile and puts them together. Loads nothing and touches no running model; whoever
 * cannot be asked leaves models unknown, never a fault of the profile.
 */
import { LlamaestroError, toLlamaestroError, type ErrorCode } from '../base/errors.js';
import { bytesOf, sumOf } from '../pool/ledger.js';
import { DEFAULT_LIMITS } from '../pool/limits.js';
import type { NodeAgent } from '../pool/node-client.js';
import type { DeviceInfo, MemoryPlan } from '../schema/load.js';
import type { PlannedModel, ProfilePlan } from '../schema/profile-plan.js';
import type { ModelSpec, Profile } from '../schema/profile.js';
import { fitOf, type FitLimits } from './fit.js';
import { isIn, unitsOf } from '../pool/unit.js';

/** Whoever knows the machine. */
export type PlanningNode = Pick<NodeAgent, 'plan' | 'devices'>;

/** Plans a profile; never rejects for what a model or the node says. */
export type PlanProfile = (profile: Profile) => Promise<ProfilePlan>;

/** Errors that say something about the model and not about whoever was asked. */
const OF_THE_MODEL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'invalid_request',
  'model_unusable',
  'does_not_fit',
  'out_of_memory',
  'host_lost',
]);

export function createProfilePlanner(node: PlanningNode, limits: FitLimits = DEFAULT_LIMITS): PlanProfile {
  return async (profile) => {
    const models: PlannedModel[] = [];
    // One after the other: the planner is one process, and a profile has a few dozen models at most.
    for (const spec of profile.models) models.push(await plannedModel(node, spec));
    const devices = await node.devices().catch((): readonly DeviceInfo[] => []);
    const { budgets, headrooms } = profile;
    const fit = fitOf({ models: asUnits(profile, models), devices, budgets, headrooms, limits });
    const unusable = models.filter(({ state }) => state === 'unusable');
    return {
      profile: profile.name,
      origin: profile.origin,
      fits: fit.problems.length === 0 && unusable.length === 0,
      models,
      ...fit,
      warnings: [...profile.warnings, ...unknownDevices(profile, devices)],
    };
  };
}

/** A definite no; a model that is missing, unknown or damaged is one that does not work, not one too many. */
export function refuseUnfit({ profile, problems }: ProfilePlan): void {
  const [first] = problems;
  if (first === undefined) return;
  throw new LlamaestroError('does_not_fit', `profile '${profile}': ${first.message}`, {
    remedy: first.remedy,
    details: { profile, problems },
  });
}

/** Models that share a process count as one, which stays when one of them does. */
function asUnits(profile: Profile, models: readonly PlannedModel[]): readonly PlannedModel[] {
  return unitsOf(profile.models).flatMap(({ name, pinned }): readonly PlannedModel[] => {
    const [first, ...others] = models.filter((model) => isIn(name, model.name));
    if (first === undefined || others.length === 0) return first === undefined ? [] : [first];
    const members = [first, ...others];
    const bytes = members.reduce((sum, model) => sumOf(sum, model.bytes ?? {}), {});
    return [{ ...first, name, pinned, stays: members.some(({ stays }) => stays), bytes }];
  });
}

async function plannedModel(node: PlanningNode, spec: ModelSpec): Promise<PlannedModel> {
  const { name, role, pinned, residency, load, source, missing } = spec;
  const head = {
    ...{ name, role, pinned, stays: pinned || residency === 'resident', file: load.file },
    ...(source === undefined ? {} : { source }),
  };
  const [absent] = missing;
  if (absent !== undefined) return { ...head, file: absent, state: 'missing' };
  try {
    return { ...head, state: 'planned', ...figures(await node.plan(load)) };
  } catch (thrown) {
    const error = toLlamaestroError(thrown);
    return { ...head, state: OF_THE_MODEL.has(error.code) ? 'unusable' : 'unknown', error: error.toWire() };
  }
}

function figures(
  plan: MemoryPlan,
): Pick<PlannedModel, 'bytes' | 'weightsBytes' | 'kvBytes' | 'computeBytes' | 'gpuLayers'> {
  const sum = (key: 'weightsBytes' | 'kvBytes' | 'computeBytes'): number =>
    plan.devices.reduce((total, device) => total + device[key], 0);
  return {
    bytes: bytesOf(plan),
    weightsBytes: sum('weightsBytes'),
    kvBytes: sum('kvBytes'),
    computeBytes: sum('computeBytes') + plan.outputBytes + plan.estimatedExtraBytes,
    gpuLayers: plan.gpuLayers,
  };
}

/** A budget for a device that is not there does nothing on this machine. */
function unknownDevices({ budgets, headrooms }: Profile, devices: readonly DeviceInfo[]): readonly string[] {
  if (devices.length === 0) return ['the devices of this machine could not be read, so no sum was made'];
  const known = new Set(devices.map(({ id }) => id));
  const named = new Set([...Object.keys(budgets), ...Object.keys(headrooms)]);
  return [...named].filter((device) => !known.has(device)).map((device) => `this machine has no device ${device}`);
}
