/**
 * What is wrong with a profile as written: shape, misspelt keys, names that do not exist or clash, settings that contradict
 * each other. Pure and complete: it finds every problem, not only the first. Knows no file and no line; a problem names its
 * path.
 */
import { faultsOf } from '../schema/decode.js';
import { ProfileFileCodec, type ModelFields, type ProfileFile, type Role } from '../schema/profile.js';
import { pathTo, strayKeys } from '../schema/stray-keys.js';
import { nearestWord } from './nearest-word.js';
import { DEFAULT_SLOTS, MAX_DURATION_MS, MAX_MODELS, MAX_ROUTES, MIN_CONTEXT_PER_SLOT } from './profile-defaults.js';
import { durationMs } from '../schema/units.js';

export interface Problem {
  readonly path: string;
  readonly message: string;
  /** The key itself is wrong rather than its value. */
  readonly atKey?: boolean;
}

export type CheckedProfile =
  | { readonly file: ProfileFile; readonly problems: readonly [] }
  | { readonly file: undefined; readonly problems: readonly Problem[] };

/** Means "let the orchestra choose" in a request, so no model can be called so. */
export const RESERVED_NAME = 'auto';
const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const DEVICE = /^(cpu|(cuda|metal|vulkan)\d{1,2})$/;
/** Fields that only make sense for one model. */
const NOT_FOR_DEFAULTS = ['file', 'source', 'aliases', 'role', 'purpose', 'description'] as const;

/** The typed profile, or all problems of `data`. */
export function checkProfile(data: unknown): CheckedProfile {
  const shape = [...strayProblems(data), ...faultsOf(ProfileFileCodec, data)];
  if (!ProfileFileCodec.is(data)) return { file: undefined, problems: shape };
  const problems = [...shape, ...modelProblems(data), ...nameProblems(data), ...flowProblems(data), ...rest(data)];
  return problems.length === 0 ? { file: data, problems: [] } : { file: undefined, problems };
}

/** The purpose a model has: as written, or what its role is for. */
export function purposeOf(fields: ModelFields): 'generate' | 'embed' | 'rerank' {
  return fields.purpose ?? purposeOfRole(fields.role ?? 'general');
}

/** `fields` over the profile's defaults; sampling is merged key by key. */
export function withDefaults(file: ProfileFile, fields: ModelFields): ModelFields {
  const { defaults } = file;
  if (defaults === undefined) return fields;
  const sampling = { ...defaults.sampling, ...fields.sampling };
  return { ...defaults, ...fields, ...(Object.keys(sampling).length === 0 ? {} : { sampling }) };
}

function purposeOfRole(role: Role): 'generate' | 'embed' | 'rerank' {
  if (role === 'embedder') return 'embed';
  return role === 'reranker' ? 'rerank' : 'generate';
}

function strayProblems(data: unknown): Problem[] {
  return strayKeys(ProfileFileCodec, data).map(({ parent, key, known }) => {
    const meant = nearestWord(key, known);
    const hint = meant === undefined ? `known here: ${known.join(', ')}` : `did you mean '${meant}'?`;
    return { path: pathTo(parent, key), message: `unknown key '${key}': ${hint}`, atKey: true };
  });
}

function modelProblems(file: ProfileFile): Problem[] {
  const models = Object.entries(file.models);
  const problems: Problem[] = [];
  if (models.length === 0) problems.push({ path: 'models', message: 'a profile needs at least one model' });
  if (models.length > MAX_MODELS) {
    problems.push({ path: 'models', message: `${models.length} models are more than ${MAX_MODELS}` });
  }
  for (const key of NOT_FOR_DEFAULTS) {
    if (file.defaults?.[key] === undefined) continue;
    problems.push({
      path: `defaults.${key}`,
      message: `'${key}' belongs to one model, not to the defaults`,
      atKey: true,
    });
  }
  return [...problems, ...models.flatMap(([name, fields]) => oneModel(file, pathTo('models', name), fields))];
}

function oneModel(file: ProfileFile, path: string, own: ModelFields): Problem[] {
  const problems: Problem[] = [];
  /** At the setting itself where the model writes it, else at the model. */
  const add = (key: keyof ModelFields, message: string): unknown =>
    problems.push({ path: own[key] === undefined ? path : `${path}.${key}`, message });
  const fields = withDefaults(file, own);

  if (fields.file === undefined) add('file', "the model needs 'file', the path of a GGUF file");
  const { context, slots = DEFAULT_SLOTS } = fields;
  if (context !== undefined && context < slots * MIN_CONTEXT_PER_SLOT) {
    const each = Math.floor(context / slots);
    add('context', `${context} tokens over ${slots} slots leave ${each} each; ${MIN_CONTEXT_PER_SLOT} is the least`);
  }
  if (fields.flash_attention === 'off' && fields.kv_type?.startsWith('q') === true) {
    add('kv_type', `kv_type ${fields.kv_type} needs flash attention, which is off`);
  }
  const { role } = fields;
  if (role !== undefined && purposeOf(fields) !== purposeOfRole(role)) {
    add('purpose', `the role ${role} needs purpose ${purposeOfRole(role)}, not ${purposeOf(fields)}`);
  }
  if (fields.ttl !== undefined && durationMs(fields.ttl) > MAX_DURATION_MS) {
    add('ttl', `${fields.ttl} is longer than a week`);
  }
  return problems;
}

/** Names and aliases share one space, since a request may use either. */
function nameProblems(file: ProfileFile): Problem[] {
  const problems: Problem[] = [];
  const owners = new Map(Object.keys(file.models).map((name) => [name, name]));
  for (const name of owners.keys()) {
    const path = pathTo('models', name);
    if (!MODEL_NAME.test(name)) {
      const rule = '1 to 64 letters, digits, dots, dashes and underscores, the first a letter or digit';
      problems.push({ path, message: `'${name}' is not a name for a model: ${rule}`, atKey: true });
    }
    if (name === RESERVED_NAME) problems.push({ path, message: `'${name}' cannot be a model's name`, atKey: true });
  }
  for (const [name, { aliases = [] }] of Object.entries(file.models)) {
    for (const [index, alias] of aliases.entries()) {
      const path = `${pathTo('models', name)}.aliases[${index}]`;
      const owner = owners.get(alias);
      if (alias === RESERVED_NAME) problems.push({ path, message: `'${alias}' cannot be an alias` });
      else if (owner !== undefined) problems.push({ path, message: `'${alias}' already means the model '${owner}'` });
      else owners.set(alias, name);
    }
  }
  return problems;
}

function flowProblems(file: ProfileFile): Problem[] {
  const { flow } = file;
  const problems = [...targetProblems(file, 'flow.default', flow.default)];
  if (flow.router !== undefined) problems.push(...targetProblems(file, 'flow.router', flow.router));
  const routes = flow.routes ?? [];
  if (routes.length > MAX_ROUTES) {
    problems.push({ path: 'flow.routes', message: `${routes.length} routes are more than ${MAX_ROUTES}` });
  }
  for (const [index, route] of routes.entries()) {
    problems.push(...targetProblems(file, `flow.routes[${index}].model`, route.model));
  }
  for (const [stage, text] of Object.entries(flow.timeouts ?? {})) {
    const ms = durationMs(text);
    const path = `flow.timeouts.${stage}`;
    if (ms < 1) problems.push({ path, message: 'a timeout must be longer than nothing' });
    if (ms > MAX_DURATION_MS) problems.push({ path, message: `${text} is longer than a week` });
  }
  return problems;
}

/** A route leads to a model of the profile that generates text. */
function targetProblems(file: ProfileFile, path: string, target: string): Problem[] {
  const found = Object.entries(file.models).find(([name, { aliases }]) => name === target || aliases?.includes(target));
  if (found === undefined) {
    const names = Object.keys(file.models);
    const meant = nearestWord(target, names);
    const hint = meant === undefined ? `the profile has ${names.join(', ')}` : `did you mean '${meant}'?`;
    return [{ path, message: `there is no model '${target}': ${hint}` }];
  }
  const purpose = purposeOf(withDefaults(file, found[1]));
  if (purpose === 'generate') return [];
  return [{ path, message: `the model '${target}' has purpose ${purpose} and cannot answer a request` }];
}

function rest(file: ProfileFile): Problem[] {
  return Object.keys(file.budgets ?? {})
    .filter((device) => !DEVICE.test(device))
    .map((device) => ({
      path: pathTo('budgets', device),
      message: `'${device}' is not a device: cpu, cuda0, cuda1, metal0, vulkan0 and so on`,
      atKey: true,
    }));
}
