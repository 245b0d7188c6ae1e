/**
 * A profile file together with those that it extends, as one mapping that still knows where each value is written. Mappings
 * are merged, everything else is replaced, and null takes away what would be inherited. Knows files and YAML, no rule of
 * profiles beyond `extends`.
 */
import { dirname, resolve } from 'node:path';
import { LlamaestroError } from '../base/errors.js';
import type { Problem } from './problem.js';
import { profileFault, type LocatedProblem } from './profile-fault.js';
import { readYaml, type Positions } from './profile-reader.js';

/** Files that one profile is made from. */
export const MAX_CHAIN = 8;
/** What a profile has to say itself. */
const OWN_KEYS: ReadonlySet<string> = new Set(['version', 'name', 'description', 'extends']);

export interface ProfileSource {
  /** Text of a file; `profile_not_found` or `profile_invalid` when there is none. */
  readText(path: string): Promise<string>;
  /** Paths of the profiles of that name, the one that goes first first; none when `reference` is a path. */
  named(reference: string): Promise<readonly string[]>;
}

interface Layer {
  readonly path: string;
  readonly data: unknown;
  readonly positions: Positions;
}

export interface MergedProfile {
  readonly data: unknown;
  /** Absolute, the file that was asked for first. */
  readonly files: readonly string[];
  /** The place of a problem of `data`: in the outermost file that writes it, or what is around it. */
  locate(problem: Problem): LocatedProblem;
}

/** Reads the file at `path` and all that it extends. `profile_invalid` for faults of the text, circles and missing parents. */
export async function readMerged(path: string, source: ProfileSource): Promise<MergedProfile> {
  const layers: Layer[] = [];
  let next: string | undefined = path;
  while (next !== undefined) {
    const layer: Layer = { path: next, ...readYaml(await source.readText(next), next) };
    layers.push(layer);
    next = await parentOf(layer, layers, source);
  }
  return {
    data: layers.map(({ data }) => data).reduceRight((base, over) => merged(withoutOwn(base), over)),
    files: layers.map((layer) => layer.path),
    locate: (problem) => located(problem, layers),
  };
}

async function parentOf(layer: Layer, layers: readonly Layer[], source: ProfileSource): Promise<string | undefined> {
  const reference = isMapping(layer.data) ? layer.data['extends'] : undefined;
  if (typeof reference !== 'string' || reference === '') return undefined;
  const refuse = (message: string, remedy: string): never => {
    throw profileFault(layer.path, [{ message, remedy, path: 'extends', position: layer.positions.value('extends') }]);
  };
  const names = await source.named(reference);
  const candidates = names.length > 0 ? names : [resolve(dirname(layer.path), reference)];
  const seen = layers.map(({ path }) => path);
  // A profile may extend a namesake further down the line of folders, so only a file that is in already closes the circle.
  const parent = candidates.find((candidate) => !seen.includes(candidate));
  if (parent === undefined) {
    const circle = [...seen.slice(seen.indexOf(candidates[0] ?? '')), candidates[0]].join(', ');
    return refuse(`'extends' leads in a circle: ${circle}`, 'Let one of these profiles stand on its own.');
  }
  if (layers.length >= MAX_CHAIN) {
    return refuse(`more than ${MAX_CHAIN} profiles extend one another`, 'Join some of them.');
  }
  try {
    await source.readText(parent);
  } catch (thrown) {
    if (!(thrown instanceof LlamaestroError) || thrown.code !== 'profile_not_found') throw thrown;
    refuse(`there is no profile '${reference}' to extend`, 'Write the name of a profile, or a path beside this file.');
  }
  return parent;
}

type Mapping = Readonly<Record<string, unknown>>;

function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function withoutOwn(base: unknown): unknown {
  if (!isMapping(base)) return base;
  return Object.fromEntries(Object.entries(base).filter(([key]) => !OWN_KEYS.has(key)));
}

/** `over` on top of `base`; a null that takes nothing away stays, so that it is found as the mistake it is. */
function merged(base: unknown, over: unknown): unknown {
  if (!isMapping(base) || !isMapping(over)) return over;
  // In the order of the base, so that a profile lists its models as the one that it extends.
  const inherited = Object.entries(base).flatMap(([key, value]): [string, unknown][] => {
    if (!Object.hasOwn(over, key)) return [[key, value]];
    return over[key] === null ? [] : [[key, merged(value, over[key])]];
  });
  const own = Object.entries(over).filter(([key]) => !Object.hasOwn(base, key));
  return Object.fromEntries([...inherited, ...own]);
}

function located({ path, message, remedy, atKey }: Problem, layers: readonly Layer[]): LocatedProblem {
  const layer = layerOf(path, layers);
  const position = atKey === true ? layer?.positions.key(path) : layer?.positions.value(path);
  const isOwn = layer === layers[0];
  return {
    message,
    path,
    remedy,
    ...(position === undefined ? {} : { position }),
    ...(isOwn || layer === undefined ? {} : { file: layer.path }),
  };
}

/** The outermost file that writes `path`, or else the longest part of it that is written anywhere. */
function layerOf(path: string, layers: readonly Layer[]): Layer | undefined {
  for (let at = path; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('.'), at.lastIndexOf('[')))) {
    const found = layers.find(({ positions }) => positions.has(at));
    if (found !== undefined) return found;
  }
  return layers[0];
}
