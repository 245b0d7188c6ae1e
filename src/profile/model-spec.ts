/**
 * From the settings of one model and what is known about its file to what the pool works with: units converted, the file
 * absolute, its identity hashed. Pure: the same input gives the same specification, byte for byte.
 */
import { createHash } from 'node:crypto';
import type { LoadOptions } from '../schema/load.js';
import type { ModelFields } from '../schema/profile-file.js';
import type { ChatSettings, Forced, ModelSource, ModelSpec } from '../schema/profile.js';
import { samplingFrom } from '../schema/sampling.js';
import { durationMs, sizeBytes } from '../schema/units.js';
import type { ModelFacts } from '../store/model-facts.js';
import { purposeOf } from './model-check.js';
import {
  DEFAULT_CONTEXT_PER_SLOT,
  DEFAULT_PRIORITY,
  DEFAULT_SLOTS,
  DEFAULT_TTL_MS,
  MAX_CONTEXT_TOKENS,
} from './profile-defaults.js';

/** SHA-256 over everything that decides what a host of this model is, the identities of its files included. */
export function configHashOf(load: LoadOptions, ...files: readonly ModelFacts[]): string {
  const entries = Object.entries(load).filter(([, value]) => value !== undefined);
  const options = entries.sort(([a], [b]) => (a < b ? -1 : 1));
  const identity = files.map((facts) => (facts.state === 'missing' ? 'missing' : [facts.bytes, facts.mtimeMs]));
  return createHash('sha256')
    .update(JSON.stringify([options, identity]))
    .digest('hex');
}

/** `fields` has the profile's defaults in it; `adapters` are what is known of the files of `lora`, in its order. */
export function modelSpecOf(
  name: string,
  fields: ModelFields,
  facts: ModelFacts,
  adapters: readonly ModelFacts[] = [],
): ModelSpec {
  const load = loadOptionsOf(fields, facts, adapters);
  const missing = [facts, ...adapters].filter(({ state }) => state === 'missing').map(({ path }) => path);
  return {
    name,
    role: fields.role ?? 'general',
    aliases: fields.aliases ?? [],
    description: fields.description ?? '',
    capabilities: fields.capabilities ?? [],
    load,
    sampling: samplingFrom(fields.sampling ?? {}),
    forced: forcedOf(fields),
    stripped: (fields.strip ?? []).map(ourName),
    chat: chatOf(fields),
    lora: (fields.lora ?? []).map(({ name: adapter, scale = 1 }) => ({ name: adapter, scale })),
    residency: fields.residency ?? 'on-demand',
    pinned: fields.pin ?? false,
    ttlMs: fields.ttl === undefined ? DEFAULT_TTL_MS : durationMs(fields.ttl),
    priority: fields.priority ?? DEFAULT_PRIORITY,
    ...(fields.source === undefined ? {} : { source: sourceOf(fields.source) }),
    ...given('host', fields.host),
    configHash: configHashOf(load, facts, ...adapters),
    missing,
    available: missing.length === 0,
  };
}

/** 'max_tokens' is `maxTokens`. */
function ourName(written: string): string {
  return written.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

/** Settings left out are left to the engine, except the context, which everybody has to agree on before a load. */
function loadOptionsOf(fields: ModelFields, facts: ModelFacts, adapters: readonly ModelFacts[]): LoadOptions {
  const slots = fields.slots ?? DEFAULT_SLOTS;
  const kv = typeof fields.kv_type === 'object' ? fields.kv_type : { k: fields.kv_type, v: fields.kv_type };
  return {
    file: facts.path,
    purpose: purposeOf(fields),
    contextTokens: fields.context ?? Math.min(MAX_CONTEXT_TOKENS, slots * defaultContextPerSlot(fields, facts)),
    slots,
    ...given('contextTokensPerSlot', fields.context_per_slot),
    ...given('gpuLayers', fields.gpu_layers),
    ...given('kvTypeK', kv.k),
    ...given('kvTypeV', kv.v),
    ...given('flashAttention', fields.flash_attention),
    ...given('kvLayout', fields.kv_layout),
    ...given('devices', fields.devices),
    ...given('splitMode', fields.split_mode),
    ...given('mainDevice', fields.main_device),
    ...given('tensorSplit', fields.tensor_split),
    ...given('cpuMoeLayers', fields.cpu_moe_layers),
    ...given('tensorOverrides', fields.tensor_overrides),
    ...given(
      'adapters',
      fields.lora?.map(({ name, file }, index) => ({ name, file: adapters[index]?.path ?? file })),
    ),
    ...given('threads', fields.threads),
    ...given('chunkTokens', fields.chunk_tokens),
    ...given('prefixCacheBytes', fields.prefix_cache === undefined ? undefined : sizeBytes(fields.prefix_cache)),
    ...given('mmap', fields.mmap),
  };
}

function given<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: V });
}

function defaultContextPerSlot({ context_per_slot: written }: ModelFields, facts: ModelFacts): number {
  if (written !== undefined) return written;
  const trained = facts.state === 'good' ? facts.header.contextLength : undefined;
  return trained !== undefined && trained > 0 ? Math.min(trained, DEFAULT_CONTEXT_PER_SLOT) : DEFAULT_CONTEXT_PER_SLOT;
}

function forcedOf({ force = {} }: ModelFields): Forced {
  return {
    sampling: samplingFrom(force),
    ...given('maxTokens', force.max_tokens),
    ...given('ignoreEos', force.ignore_eos),
    ...given('stop', force.stop),
  };
}

function chatOf({ chat = {} }: ModelFields): ChatSettings {
  return { ...given('thinking', chat.thinking), ...given('templateArguments', chat.arguments) };
}

function sourceOf({ bytes, ...source }: NonNullable<ModelFields['source']>): ModelSource {
  return { ...source, ...given('bytes', bytes === undefined ? undefined : sizeBytes(bytes)) };
}
