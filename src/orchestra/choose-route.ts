/** Which model a request goes to: pure, over the profile and a classification. Knows nothing of load or memory. */
import { LlamaestroError } from '../base/errors.js';
import { findModel, type ModelSpec, type Profile } from '../schema/profile.js';
import type { RouteDecision } from '../schema/run.js';
import type { Classification } from './classifier.js';

/** The name that lets the orchestra choose. */
export const AUTO = 'auto';

/** The decision without the time it took. */
export type Choice = Omit<RouteDecision, 'ms'> & { readonly spec: ModelSpec };

/** Names a client may use, `auto` first. */
export function routableNames(profile: Profile): readonly string[] {
  return [AUTO, ...profile.models.flatMap((model) => [model.name, ...model.aliases])];
}

function usable(profile: Profile, name: string): ModelSpec {
  const spec = findModel(profile, name);
  if (spec === undefined) {
    const names = routableNames(profile);
    throw new LlamaestroError('model_not_found', `profile '${profile.name}' has no model '${name}'`, {
      param: 'model',
      remedy: `Use one of: ${names.join(', ')}.`,
      details: { models: names },
    });
  }
  if (!spec.available) {
    throw new LlamaestroError('model_unusable', `the file of model '${spec.name}' is missing: ${spec.load.file}`, {
      param: 'model',
      remedy: 'Put the file there, or choose another model.',
    });
  }
  return spec;
}

/**
 * 1. A named model is taken as named. 2. Else the first route whose conditions hold and whose file is there.
 * 3. Else the default. Throws `model_not_found` (listing names) and `model_unusable`.
 */
export function chooseRoute(profile: Profile, requested: string, judged: Classification): Choice {
  const { kind, complexity } = judged;
  if (requested !== AUTO) {
    const spec = usable(profile, requested);
    return {
      spec,
      model: spec.name,
      kind,
      complexity,
      source: 'explicit',
      confidence: 1,
      reason: 'the request names it',
    };
  }
  for (const route of profile.routes) {
    const matches =
      (route.kind === undefined || route.kind === kind) &&
      (route.complexity === undefined || route.complexity === complexity);
    const spec = matches ? findModel(profile, route.model) : undefined;
    if (spec?.available !== true) continue;
    return {
      spec,
      model: spec.name,
      kind,
      complexity,
      source: 'rules',
      confidence: judged.confidence,
      reason: judged.reason,
    };
  }
  const spec = usable(profile, profile.defaultModel);
  return {
    spec,
    model: spec.name,
    kind,
    complexity,
    source: 'default',
    confidence: judged.confidence,
    reason: 'no route matched',
  };
}
