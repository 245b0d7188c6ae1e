/** Which model a request goes to: pure, over the profile and a classification. Knows nothing of load or memory. */
import { LlamaestroError } from '../base/errors.js';
import { findModel, type ModelSpec, type Profile } from '../schema/profile.js';
import type { RouteDecision } from '../schema/run.js';
import type { Classification } from './classifier.js';

/** The name that lets the orchestra choose. */
export const AUTO = 'auto';

/** The decision without the time it took. */
export interface Choice {
  readonly route: Omit<RouteDecision, 'ms'>;
  /** The model chosen, then those that take the request when it cannot, each with its file; at least one. */
  readonly specs: readonly [ModelSpec, ...ModelSpec[]];
}

/** Names a client may use, `auto` first. */
export function routableNames(profile: Profile): readonly string[] {
  return [AUTO, ...profile.models.flatMap((model) => [model.name, ...model.aliases])];
}

function named(profile: Profile, name: string): ModelSpec {
  const spec = findModel(profile, name);
  if (spec !== undefined) return spec;
  const names = routableNames(profile);
  throw new LlamaestroError('model_not_found', `profile '${profile.name}' has no model '${name}'`, {
    param: 'model',
    remedy: `Use one of: ${names.join(', ')}.`,
    details: { models: names },
  });
}

function fileMissing(spec: ModelSpec): LlamaestroError {
  const [file = spec.load.file] = spec.missing;
  return new LlamaestroError('model_unusable', `a file of model '${spec.name}' is missing: ${file}`, {
    param: 'model',
    remedy: 'Put the file there, or choose another model.',
  });
}

/** The model of that name and those that stand in for it, as far as their files are there. */
function chainOf(profile: Profile, name: string): readonly ModelSpec[] {
  const names = [name, ...(profile.fallbacks[name] ?? [])];
  return names.flatMap((each) => findModel(profile, each) ?? []).filter(({ available }) => available);
}

/**
 * 1. A named model is taken as named, and nothing else. 2. Else the first route whose conditions hold and whose model, or
 * one that stands in for it, has its file. 3. Else the default. Throws `model_not_found` (listing names) and `model_unusable`.
 */
export function chooseRoute(profile: Profile, requested: string, judged: Classification): Choice {
  const { kind, complexity, confidence, reason } = judged;
  if (requested !== AUTO) {
    const spec = named(profile, requested);
    if (!spec.available) throw fileMissing(spec);
    const said = { source: 'explicit', confidence: 1, reason: 'the request names it' } as const;
    return { route: { model: spec.name, kind, complexity, ...said }, specs: [spec] };
  }
  const chosen = (meant: string, source: RouteDecision['source'], why: string): Choice | undefined => {
    const [spec, ...rest] = chainOf(profile, meant);
    if (spec === undefined) return undefined;
    const isMeant = spec.name === meant;
    const how = isMeant ? { source, reason: why } : fallbackFrom(meant, 'its file is missing');
    return { route: { model: spec.name, kind, complexity, confidence, ...how }, specs: [spec, ...rest] };
  };
  for (const route of profile.routes) {
    const matches =
      (route.kind === undefined || route.kind === kind) &&
      (route.complexity === undefined || route.complexity === complexity);
    const choice = matches ? chosen(route.model, 'rules', reason) : undefined;
    if (choice !== undefined) return choice;
  }
  const choice = chosen(profile.defaultModel, 'default', 'no route matched');
  if (choice !== undefined) return choice;
  throw fileMissing(named(profile, profile.defaultModel));
}

/** How a decision says that another model was meant. */
export function fallbackFrom(meant: string, why: string): Pick<RouteDecision, 'source' | 'reason'> {
  return { source: 'fallback', reason: `instead of '${meant}': ${why}` };
}
