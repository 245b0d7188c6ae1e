/**
 * The profiles there are: by name in the profile folders, by path anywhere, or made up for one model file. Reads files and
 * nothing else; which profile is in use is the manager's.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, extname, resolve } from 'node:path';
import { LlamaestroError, toLlamaestroError, type WireError } from '../base/errors.js';
import type { Profile, Role } from '../schema/profile.js';
import { createModelLookUp, type LookUpModel, type ModelFacts } from '../store/model-facts.js';
import { madeUpProfile, type MadeUpOptions } from './made-up-profile.js';
import { filesOf, withDefaults } from './model-check.js';
import { readMerged } from './inheritance.js';
import { nearestWord } from './nearest-word.js';
import { checkProfile } from './profile-check.js';
import type { Problem } from './problem.js';
import { profileFault, type LocatedProblem } from './profile-fault.js';
import { resolveProfile } from './profile-resolver.js';

/** Profiles of all folders together. */
export const MAX_PROFILES = 256;
/** Bytes of a profile; a fraction of it is already a lot. */
const MAX_PROFILE_BYTES = 4 * 1024 * 1024;
const EXTENSIONS: readonly string[] = ['.yaml', '.yml'];

export interface CatalogOptions {
  /** Where profiles are looked for by name, the first that has it winning. Missing folders are empty ones. */
  readonly folders: readonly string[];
  /** Where relative model files are looked for, before the profile's own folder. */
  readonly modelRoots: readonly string[];
  readonly lookUp?: LookUpModel;
}

/** One profile of the list; a broken one says what is wrong. */
export interface ProfileSummary {
  readonly name: string;
  readonly description: string;
  readonly origin: string;
  readonly valid: boolean;
  readonly models: readonly { readonly name: string; readonly role: Role; readonly available: boolean }[];
  readonly error?: WireError;
}

export interface InspectedProfile {
  readonly profile: Profile;
  locate(problem: Problem): LocatedProblem;
}

export interface Catalog {
  /** The profile of that name or at that path: `profile_not_found` listing names, or `profile_invalid` with line and column. */
  load(nameOrPath: string): Promise<Profile>;
  /** The same with the way back from a path in it to the place where that is written. */
  inspect(nameOrPath: string): Promise<InspectedProfile>;
  /** As `load`, for names alone: what a client says must not open files outside the folders. */
  named(name: string): Promise<Profile>;
  /** A profile for one GGUF file; `model_unusable` when the file is no model for text. */
  forFile(file: string, options?: MadeUpOptions): Promise<Profile>;
  /** All profiles of the folders, by name, read anew. */
  list(): Promise<readonly ProfileSummary[]>;
}

export function createCatalog(options: CatalogOptions): Catalog {
  const { folders, lookUp = createModelLookUp() } = options;
  const inspect = (path: string, name?: string): Promise<InspectedProfile> =>
    readProfile(path, name, { ...options, lookUp });
  const read = async (path: string, name?: string): Promise<Profile> => (await inspect(path, name)).profile;
  const named = async (name: string): Promise<InspectedProfile> => {
    const known = await profilePaths(folders);
    const [path] = known.get(name) ?? [];
    if (path === undefined) throw notFound(name, [...known.keys()]);
    return inspect(path, name);
  };
  const byEither = (nameOrPath: string): Promise<InspectedProfile> =>
    looksLikePath(nameOrPath) ? inspect(resolve(nameOrPath)) : named(nameOrPath);
  return {
    inspect: byEither,
    load: async (nameOrPath) => (await byEither(nameOrPath)).profile,
    named: async (name) => (await named(name)).profile,
    async forFile(file, madeUp) {
      return madeUpProfile(await lookUp(resolve(file), []), madeUp);
    },
    async list() {
      const known = [...(await profilePaths(folders))].sort(([a], [b]) => (a < b ? -1 : 1));
      const summaries: ProfileSummary[] = [];
      for (const [name, [path = '']] of known) summaries.push(await summaryOf(name, path, read));
      return summaries;
    },
  };
}

function looksLikePath(text: string): boolean {
  return /[\\/]/.test(text) || EXTENSIONS.includes(extname(text).toLowerCase());
}

/** Paths by name, the one in the first folder that has it first. */
async function profilePaths(folders: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const paths = new Map<string, string[]>();
  for (const folder of folders) {
    const entries = await readdir(folder).catch(() => []);
    for (const entry of entries.sort()) {
      const extension = extname(entry);
      const name = basename(entry, extension);
      if (!EXTENSIONS.includes(extension) || name.startsWith('.')) continue;
      const known = paths.get(name);
      if (known !== undefined) known.push(resolve(folder, entry));
      else if (paths.size < MAX_PROFILES) paths.set(name, [resolve(folder, entry)]);
    }
  }
  return paths;
}

function notFound(name: string, names: readonly string[]): LlamaestroError {
  const meant = nearestWord(name, names);
  const hint = meant === undefined ? '' : `; did you mean '${meant}'?`;
  return new LlamaestroError('profile_not_found', `there is no profile '${name}'${hint}`, {
    remedy: `Use one of: ${names.length === 0 ? '(none)' : names.join(', ')}; or the path of a YAML file.`,
    details: { names },
  });
}

async function summaryOf(
  name: string,
  path: string,
  read: (path: string, name: string) => Promise<Profile>,
): Promise<ProfileSummary> {
  try {
    const { description, origin, models } = await read(path, name);
    const seen = models.map((model) => ({ name: model.name, role: model.role, available: model.available }));
    return { name, description, origin, valid: true, models: seen };
  } catch (error) {
    return { name, description: '', origin: path, valid: false, models: [], error: toLlamaestroError(error).toWire() };
  }
}

/** `expectedName`: the name it was asked for by, which the file has to repeat, or it could not be found again. */
async function readProfile(
  path: string,
  expectedName: string | undefined,
  { folders, modelRoots, lookUp }: Required<CatalogOptions>,
): Promise<InspectedProfile> {
  const { data, files, locate } = await readMerged(path, {
    readText,
    named: async (name) => (looksLikePath(name) ? [] : ((await profilePaths(folders)).get(name) ?? [])),
  });
  const { file, problems } = checkProfile(data);
  if (file === undefined) throw profileFault(path, problems.map(locate));
  if (expectedName !== undefined && file.name !== expectedName) {
    const message = `the name is '${file.name}', but the file is called ${basename(path)}`;
    throw profileFault(path, [locate({ path: 'name', message, remedy: `Write 'name: ${expectedName}'.` })]);
  }
  const roots = [...new Set([...modelRoots, ...files.map((each) => dirname(each))])];
  const facts = new Map<string, ModelFacts>();
  for (const fields of Object.values(file.models)) {
    for (const modelFile of filesOf(withDefaults(file, fields))) {
      if (!facts.has(modelFile)) facts.set(modelFile, await lookUp(modelFile, roots));
    }
  }
  return { profile: resolveProfile({ file, origin: path, files, facts }), locate };
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > MAX_PROFILE_BYTES) throw profileFault(path, [{ message: `the file has ${size} bytes, too many` }]);
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(path));
  } catch (error) {
    if (error instanceof LlamaestroError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      throw new LlamaestroError('profile_not_found', `there is no profile at ${path}`, { details: { path } });
    }
    const reason = code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'the file is not UTF-8 text' : message;
    throw profileFault(path, [{ message: `cannot be read: ${reason}` }]);
  }
}
