/**
 * What is wrong with a profile as written: shape, misspelt keys, names that do not exist or clash, settings that contradict
 * each other. Pure and complete: it finds every problem, not only the first. Knows no file and no line; a problem names its
 * path.
 */
import { faultsOf } from '../schema/decode.js';
import { ProfileFileCodec, type ProfileFile } from '../schema/profile-file.js';
import { pathTo, strayKeys } from '../schema/stray-keys.js';
import { flowProblems } from './flow-check.js';
import { groupProblems } from './group-check.js';
import { modelProblems } from './model-check.js';
import { shapeProblem, strayProblem, type Problem } from './problem.js';
import { MAX_MODELS } from './profile-defaults.js';

export type CheckedProfile =
  | { readonly file: ProfileFile; readonly problems: readonly [] }
  | { readonly file: undefined; readonly problems: readonly Problem[] };

/** Means "let the orchestra choose" in a request, so no model can be called so. */
export const RESERVED_NAME = 'auto';
const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const DEVICE = /^(cpu|(cuda|metal|vulkan)\d{1,2})$/;
/** Fields that only make sense for one model. */
const NOT_FOR_DEFAULTS = ['file', 'source', 'aliases', 'role', 'purpose', 'description', 'host'] as const;

/** The typed profile, or all problems of `data`. */
export function checkProfile(data: unknown): CheckedProfile {
  const stray = strayKeys(ProfileFileCodec, data).map(({ parent, key, known }) => strayProblem(parent, key, known));
  const shape = [...stray, ...faultsOf(ProfileFileCodec, data).map(shapeProblem)];
  if (!ProfileFileCodec.is(data)) return { file: undefined, problems: shape };
  const problems = [
    ...shape,
    ...allModels(data),
    ...nameProblems(data),
    ...groupProblems(data),
    ...flowProblems(data),
    ...budgetProblems(data),
  ];
  return problems.length === 0 ? { file: data, problems: [] } : { file: undefined, problems };
}

function allModels(file: ProfileFile): readonly Problem[] {
  const models = Object.entries(file.models);
  const problems: Problem[] = [];
  if (models.length === 0) {
    const remedy = "Write at least one: 'models: { NAME: { file: PATH } }'.";
    problems.push({ path: 'models', message: 'a profile needs at least one model', remedy });
  }
  if (models.length > MAX_MODELS) {
    const message = `${models.length} models are more than ${MAX_MODELS}`;
    problems.push({ path: 'models', message, remedy: 'Split the profile.' });
  }
  for (const key of NOT_FOR_DEFAULTS) {
    if (file.defaults?.[key] === undefined) continue;
    const message = `'${key}' belongs to one model, not to the defaults`;
    problems.push({ path: `defaults.${key}`, message, remedy: `Write '${key}' at the model.`, atKey: true });
  }
  return [...problems, ...models.flatMap(([name, fields]) => modelProblems(file, pathTo('models', name), fields))];
}

/** Names and aliases share one space, since a request may use either. */
function nameProblems(file: ProfileFile): readonly Problem[] {
  const problems: Problem[] = [];
  const owners = new Map(Object.keys(file.models).map((name) => [name, name]));
  const remedy = 'Choose another name.';
  for (const name of owners.keys()) {
    const path = pathTo('models', name);
    if (!MODEL_NAME.test(name)) {
      const rule = '1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit';
      problems.push({ path, message: `'${name}' is not a name for a model: ${rule}`, remedy, atKey: true });
    }
    if (name === RESERVED_NAME) {
      problems.push({ path, message: `'${name}' cannot be a model's name`, remedy, atKey: true });
    }
  }
  for (const [name, { aliases = [] }] of Object.entries(file.models)) {
    for (const [index, alias] of aliases.entries()) {
      const path = `${pathTo('models', name)}.aliases[${index}]`;
      const owner = owners.get(alias);
      if (alias === RESERVED_NAME) problems.push({ path, message: `'${alias}' cannot be an alias`, remedy });
      else if (owner === undefined) owners.set(alias, name);
      else problems.push({ path, message: `'${alias}' already means the model '${owner}'`, remedy });
    }
  }
  return problems;
}

function budgetProblems(file: ProfileFile): readonly Problem[] {
  return Object.keys(file.budgets ?? {})
    .filter((device) => !DEVICE.test(device))
    .map((device) => ({
      path: pathTo('budgets', device),
      message: `'${device}' is not a device: cpu, cuda0, cuda1, metal0, vulkan0 and so on`,
      remedy: 'Name a device as `llamaestro status` lists it.',
      atKey: true,
    }));
}
