/** What a switch of profiles that is under way means for a request that comes now. Pure; who waits for its end is admission. */
import { LlamaestroError } from '../base/errors.js';
import type { Crossing } from '../profile/profile-switch.js';
import { findModel } from '../schema/profile.js';
import { AUTO } from './choose-route.js';

/**
 * go: by the profile that is served now. wait: the model is only in the next profile. Thrown: `switch_conflict` for a model that
 * the next profile does not have, where the profile's policy is to refuse.
 */
export function atCrossing(crossing: Crossing | undefined, model: string): 'go' | 'wait' {
  if (crossing === undefined || model === AUTO) return 'go';
  const { from, next } = crossing;
  const [isOld, isNew] = [findModel(from, model) !== undefined, findModel(next, model) !== undefined];
  if (isOld === isNew) return 'go';
  const { policy } = from.switching;
  if (isNew) return policy === 'wait' ? 'wait' : 'go';
  if (policy === 'wait') return 'go';
  const names = next.models.map(({ name }) => name);
  throw new LlamaestroError(
    'switch_conflict',
    `model '${model}' leaves: a switch to profile '${next.name}' is under way`,
    {
      param: 'model',
      remedy: `Use one of: ${[AUTO, ...names].join(', ')}.`,
      details: { profile: next.name, models: names },
    },
  );
}
