/**
 * From a checked profile and what is known about its files to what pool and orchestra work with: defaults merged, units
 * converted, names settled, files absolute, identities hashed. Pure: the same input gives the same profile, byte for byte.
 */
import { createHash } from 'node:crypto';
import { assert } from '../base/assert.js';
import type { LoadOptions, Sampling } from '../schema/load.js';
import type { ModelFields, ModelSpec, Profile, ProfileFile, Route, StageTimeouts } from '../schema/profile.js';
import type { ModelFacts } from '../store/model-facts.js';
import { purposeOf, withDefaults } from './profile-check.js';
import {
  DEFAULT_ACK_MS,
  DEFAULT_CONTEXT_PER_SLOT,
  DEFAULT_LOAD_MS,
  DEFAULT_PRIORITY,
  DEFAULT_QUEUE_MS,
  DEFAULT_REQUEST_MS,
  DEFAULT_RETRIES,
  DEFAULT_SLOTS,
  DEFAULT_TOKEN_MS,
  DEFAULT_TTL_MS,
  MAX_CONTEXT_TOKENS,
} from './profile-defaults.js';
import { durationMs, sizeBytes } from '../schema/units.js';

export interface ResolveInput {
  /** Free of problems (`checkProfile`). */
  readonly file: ProfileFile;
  /** Shown as where the profile comes from. */
  readonly origin: string;
  /** By `file` as the profile writes it; one entry per model's file. */
  readonly facts: ReadonlyMap<string, ModelFacts>;
}

/** Never fails: what the files lack becomes a warning and an unavailable model. */
export function resolveProfile({ file, origin, facts }: ResolveInput): Profile {
  const models: ModelSpec[] = [];
  const warnings: string[] = [];
  for (const [name, own] of Object.entries(file.models)) {
    const fields = withDefaults(file, own);
    const known = facts.get(fields.file ?? '');
    assert(known !== undefined, `facts about the file of model ${name}`);
    models.push(specOf(name, fields, known));
    warnings.push(...fileWarnings(name, fields, known));
  }
  return {
    name: file.name,
    description: file.description ?? '',
    origin,
    models,
    router: file.flow.router === undefined ? undefined : settledName(models, file.flow.router),
    defaultModel: settledName(models, file.flow.default),
    routes: routesOf(file, models),
    timeouts: timeoutsOf(file),
    retries: file.flow.retries ?? DEFAULT_RETRIES,
    budgets: Object.fromEntries(Object.entries(file.budgets ?? {}).map(([device, text]) => [device, sizeBytes(text)])),
    warnings: [...warnings, ...unreachableRoutes(file)],
  };
}

/** SHA-256 over everything that decides what a host of this model is, the file's identity included. */
export function configHashOf(load: LoadOptions, facts: ModelFacts): string {
  const entries = Object.entries(load).filter(([, value]) => value !== undefined);
  const options = entries.sort(([a], [b]) => (a < b ? -1 : 1));
  const identity = facts.state === 'missing' ? 'missing' : [facts.bytes, facts.mtimeMs];
  return createHash('sha256')
    .update(JSON.stringify([options, identity]))
    .digest('hex');
}

function specOf(name: string, fields: ModelFields, facts: ModelFacts): ModelSpec {
  const load = loadOptionsOf(fields, facts);
  return {
    name,
    role: fields.role ?? 'general',
    aliases: fields.aliases ?? [],
    description: fields.description ?? '',
    capabilities: fields.capabilities ?? [],
    load,
    sampling: samplingOf(fields),
    residency: fields.residency ?? 'on-demand',
    pinned: fields.pin ?? false,
    ttlMs: fields.ttl === undefined ? DEFAULT_TTL_MS : durationMs(fields.ttl),
    priority: fields.priority ?? DEFAULT_PRIORITY,
    ...(fields.source === undefined ? {} : { source: fields.source }),
    configHash: configHashOf(load, facts),
    available: facts.state !== 'missing',
  };
}

/** Settings left out are left to the engine, except the context, which everybody has to agree on before a load. */
function loadOptionsOf(fields: ModelFields, facts: ModelFacts): LoadOptions {
  const slots = fields.slots ?? DEFAULT_SLOTS;
  return {
    file: facts.path,
    purpose: purposeOf(fields),
    contextTokens: fields.context ?? Math.min(MAX_CONTEXT_TOKENS, slots * defaultContextPerSlot(facts)),
    slots,
    ...(fields.gpu_layers === undefined ? {} : { gpuLayers: fields.gpu_layers }),
    ...(fields.kv_type === undefined ? {} : { kvTypeK: fields.kv_type, kvTypeV: fields.kv_type }),
    ...(fields.flash_attention === undefined ? {} : { flashAttention: fields.flash_attention }),
    ...(fields.kv_layout === undefined ? {} : { kvLayout: fields.kv_layout }),
    ...(fields.threads === undefined ? {} : { threads: fields.threads }),
    ...(fields.mmap === undefined ? {} : { mmap: fields.mmap }),
  };
}

function defaultContextPerSlot(facts: ModelFacts): number {
  const trained = facts.state === 'good' ? facts.header.contextLength : undefined;
  return trained !== undefined && trained > 0 ? Math.min(trained, DEFAULT_CONTEXT_PER_SLOT) : DEFAULT_CONTEXT_PER_SLOT;
}

function samplingOf({ sampling = {} }: ModelFields): Sampling {
  return {
    ...(sampling.temperature === undefined ? {} : { temperature: sampling.temperature }),
    ...(sampling.top_k === undefined ? {} : { topK: sampling.top_k }),
    ...(sampling.top_p === undefined ? {} : { topP: sampling.top_p }),
    ...(sampling.min_p === undefined ? {} : { minP: sampling.min_p }),
  };
}

function settledName(models: readonly ModelSpec[], nameOrAlias: string): string {
  const model = models.find((spec) => spec.name === nameOrAlias || spec.aliases.includes(nameOrAlias));
  assert(model !== undefined, `a checked name, got ${nameOrAlias}`);
  return model.name;
}

function routesOf(file: ProfileFile, models: readonly ModelSpec[]): readonly Route[] {
  return (file.flow.routes ?? []).map(({ model, when = {} }) => ({
    model: settledName(models, model),
    ...(when.complexity === undefined ? {} : { complexity: when.complexity }),
    ...(when.kind === undefined ? {} : { kind: when.kind }),
  }));
}

function timeoutsOf(file: ProfileFile): StageTimeouts {
  const written = file.flow.timeouts ?? {};
  const ms = (text: string | undefined, otherwise: number): number =>
    text === undefined ? otherwise : durationMs(text);
  return {
    queueMs: ms(written.queue, DEFAULT_QUEUE_MS),
    requestMs: ms(written.request, DEFAULT_REQUEST_MS),
    loadMs: ms(written.load, DEFAULT_LOAD_MS),
    ackMs: ms(written.ack, DEFAULT_ACK_MS),
    tokenMs: ms(written.token, DEFAULT_TOKEN_MS),
  };
}

function fileWarnings(name: string, fields: ModelFields, facts: ModelFacts): string[] {
  if (facts.state === 'missing') return [`model '${name}': there is no file ${facts.path}`];
  if (facts.state === 'damaged') return [`model '${name}': ${facts.error.message}`];
  const warnings: string[] = [];
  const { contextLength, purpose, architecture } = facts.header;
  const perSlot = Math.floor((fields.context ?? 0) / (fields.slots ?? DEFAULT_SLOTS));
  if (contextLength !== undefined && contextLength > 0 && perSlot > contextLength) {
    warnings.push(`model '${name}': ${perSlot} tokens per slot, but it was trained for ${contextLength}`);
  }
  if (purpose !== 'generate' && purposeOf(fields) === 'generate') {
    warnings.push(`model '${name}': its file holds a model for vectors or scores (${architecture}), not for text`);
  }
  return warnings;
}

function unreachableRoutes(file: ProfileFile): string[] {
  const routes = file.flow.routes ?? [];
  const always = routes.findIndex(({ when = {} }) => when.kind === undefined && when.complexity === undefined);
  if (always === -1 || always === routes.length - 1) return [];
  return [`routes after number ${always + 1} are never reached, since that one has no condition`];
}
