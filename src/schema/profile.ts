/**
 * A profile as resolved: what pool and orchestra work with. How people write it is `profile-file`'s; reading it, line
 * numbers and inheritance are the profile room's.
 */
import type { LoadOptions, Sampling } from './load.js';

/** The ten roles a model can have in the flow; a role says what the model is for, not what it is. */
export const ROLES = [
  'router',
  'fast',
  'general',
  'coder',
  'reasoner',
  'planner',
  'critic',
  'summarizer',
  'embedder',
  'reranker',
] as const;
export type Role = (typeof ROLES)[number];

export const COMPLEXITIES = ['simple', 'moderate', 'complex'] as const;
export type Complexity = (typeof COMPLEXITIES)[number];
export const KINDS = ['chat', 'code', 'reasoning', 'planning', 'critique', 'summary'] as const;
export type Kind = (typeof KINDS)[number];

/** Where a model file comes from, as far as the profile knows. */
export interface ModelSource {
  readonly repo?: string;
  readonly file?: string;
  readonly quantisation?: string;
  readonly licence?: string;
  /** Hexadecimal, lower case. */
  readonly sha256?: string;
  readonly bytes?: number;
}

/** What a profile settles about requests to a model, whatever they say. */
export interface Forced {
  readonly sampling: Sampling;
  readonly maxTokens?: number;
  readonly ignoreEos?: boolean;
  readonly stop?: readonly string[];
}

/** What the chat template of a model is told beside the messages. */
export interface ChatSettings {
  readonly thinking?: boolean;
  readonly templateArguments?: Readonly<Record<string, unknown>>;
}

/** One model of a profile with everything decided but memory. */
export interface ModelSpec {
  readonly name: string;
  readonly role: Role;
  readonly aliases: readonly string[];
  readonly description: string;
  readonly capabilities: readonly string[];
  /** File is absolute. */
  readonly load: LoadOptions;
  /** Where a request says nothing. */
  readonly sampling: Sampling;
  readonly forced: Forced;
  /** Parameters that requests may not set, by our names (`topK`, `maxTokens`). */
  readonly stripped: readonly string[];
  readonly chat: ChatSettings;
  /** Adapters of `load` that every request uses, and how strongly. */
  readonly lora: readonly { readonly name: string; readonly scale: number }[];
  readonly residency: 'resident' | 'on-demand';
  readonly pinned: boolean;
  readonly ttlMs: number;
  readonly priority: number;
  readonly source?: ModelSource;
  /** Models of one profile that say the same share a process; absent: one of its own. */
  readonly host?: string;
  /** Equal hashes: the same process may serve both. Covers `load` alone. */
  readonly configHash: string;
  /** Absolute paths of files that do not exist, its own or those of its adapters. */
  readonly missing: readonly string[];
  /** Nothing is missing. Else the model is listed, and refused with `model_unusable` when asked for. */
  readonly available: boolean;
}

/** Judges tasks before anything else does; what it does not say is left to the others. The first whose conditions all hold decides. */
export interface Rule {
  /** Lower case; one of them is in the task. */
  readonly contains?: readonly string[];
  /** Characters. */
  readonly longerThan?: number;
  readonly shorterThan?: number;
  readonly kind?: Kind;
  readonly complexity?: Complexity;
}

/** First route whose conditions all hold decides. */
export interface Route {
  readonly complexity?: Complexity;
  readonly kind?: Kind;
  readonly model: string;
}

/** Each stage's longest wait, milliseconds. */
export interface StageTimeouts {
  readonly queueMs: number;
  /** A request that would probably wait longer is refused at once; absent: what its own time allows. */
  readonly maxWaitMs?: number;
  readonly requestMs: number;
  readonly loadMs: number;
  readonly ackMs: number;
  /** Longest silence between two frames of a running sequence. */
  readonly tokenMs: number;
}

/** A resolved profile: names checked, files absolute, units converted. */
export interface Profile {
  readonly name: string;
  readonly description: string;
  /** Where it was read from; a made-up one says so. */
  readonly origin: string;
  readonly models: readonly ModelSpec[];
  readonly router: string | undefined;
  readonly defaultModel: string;
  readonly rules: readonly Rule[];
  readonly routes: readonly Route[];
  /** By model: who takes a routed task, in this order, when that model cannot. */
  readonly fallbacks: Readonly<Record<string, readonly string[]>>;
  readonly timeouts: StageTimeouts;
  /** Attempts after the first, in the orchestra's one retry loop. */
  readonly retries: number;
  /** Bytes per device id that this profile may use. */
  readonly budgets: Readonly<Record<string, number>>;
  /** Bytes per device id that stay free for everybody else; the pool's own figure where none is given. */
  readonly headrooms: Readonly<Record<string, number>>;
  /** What a switch away from this profile does to requests of models that leave. */
  readonly switching: {
    /** Those that come meanwhile wait for its end, or are refused, where the next profile has no such model. */
    readonly policy: 'wait' | 'refuse';
    /** What those that run get to end. */
    readonly drainMs: number;
  };
  /** What an edit of the profile's file does while it is active. */
  readonly reload: 'manual' | 'auto';
  /** Every file it was made from, the outermost first; none for a made-up one. */
  readonly files: readonly string[];
  readonly warnings: readonly string[];
}

/** The model called `name` by name or alias. */
export function findModel(profile: Profile, name: string): ModelSpec | undefined {
  return profile.models.find((model) => model.name === name || model.aliases.includes(name));
}
