/**
 * A profile for a single GGUF file that nobody wrote a profile for. Pure; it goes through the same checks as a written one.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Profile } from '../schema/profile.js';
import type { ModelFacts } from '../store/model-facts.js';
import { checkProfile, RESERVED_NAME } from './profile-check.js';
import { profileFault } from './profile-fault.js';
import { resolveProfile } from './profile-resolver.js';

/** The alias every made-up profile gives its one model. */
export const DEFAULT_ALIAS = 'default';

export interface MadeUpOptions {
  /** Tokens over all slots together; 4096 per slot, or the trained length if that is less, when absent. */
  readonly contextTokens?: number;
  /** Sequences at a time; 1 when absent. */
  readonly slots?: number;
}

/** The name of the model in `path`: the file's stem with what cannot be in a name replaced, and without a split's number. */
export function nameOfFile(path: string): string {
  const base = path.split(/[\\/]/).at(-1) ?? '';
  const stem = base.replace(/\.gguf$/i, '').replace(/-\d{5}-of-\d{5}$/, '');
  const name = stem
    .replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64);
  if (name === '') return 'model';
  return name === RESERVED_NAME ? `${name}-model` : name;
}

/**
 * One resident model that answers everything. `model_unusable` when the file is missing, damaged or makes no text;
 * `profile_invalid` when the numbers do not work.
 */
export function madeUpProfile(facts: ModelFacts, options: MadeUpOptions = {}): Profile {
  if (facts.state === 'missing') {
    throw new LlamaestroError('model_unusable', `there is no file ${facts.path}`, {
      remedy: 'Give the path of a GGUF file.',
      details: { path: facts.path },
    });
  }
  if (facts.state === 'damaged') throw LlamaestroError.fromWire(facts.error);
  const { purpose, architecture } = facts.header;
  if (purpose !== 'generate') {
    const kind = purpose === 'embed' ? 'vectors' : 'scores';
    throw new LlamaestroError('model_unusable', `${facts.path} makes ${kind} (${architecture}), not text`, {
      remedy: `Put it into a profile with the role ${purpose === 'embed' ? 'embedder' : 'reranker'}, beside a model for text.`,
      details: { path: facts.path, architecture, purpose },
    });
  }
  const name = nameOfFile(facts.path);
  const { file, problems } = checkProfile({
    version: 1,
    name,
    description: `Made up for ${facts.path}`,
    models: {
      [name]: {
        file: facts.path,
        residency: 'resident',
        ...(name === DEFAULT_ALIAS ? {} : { aliases: [DEFAULT_ALIAS] }),
        ...(options.contextTokens === undefined ? {} : { context: options.contextTokens }),
        ...(options.slots === undefined ? {} : { slots: options.slots }),
      },
    },
    flow: { default: name },
  });
  if (file === undefined) throw profileFault(`profile made up for ${facts.path}`, problems);
  return resolveProfile({ file, origin: `made up for ${facts.path}`, facts: new Map([[facts.path, facts]]) });
}
