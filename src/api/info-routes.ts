/** The routes that tell: health, status, models, profiles. */
import Router from '@koa/router';
import { LlamaestroError } from '../base/errors.js';
import { AUTO } from '../orchestra/choose-route.js';
import type { ModelStatus } from '../pool/pool.js';
import { findModel, type ModelSpec, type Profile } from '../schema/profile.js';
import type { ApiParts } from './api-parts.js';
import { METRICS_TYPE, metricsText } from './metrics.js';
import { readiness, statusBody, stuck } from './status.js';

interface ModelEntry {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: string;
  readonly [key: string]: unknown;
}

function entryOf(spec: ModelSpec, state: ModelStatus | undefined, id = spec.name): ModelEntry {
  const perSlot = Math.floor((spec.load.contextTokens ?? 0) / (spec.load.slots ?? 1));
  const context = state?.info?.contextTokensPerSlot ?? perSlot;
  return {
    id,
    object: 'model',
    created: 0,
    owned_by: 'llamaestro',
    role: spec.role,
    purpose: spec.load.purpose,
    aliases: spec.aliases,
    state: state?.state ?? 'unloaded',
    available: spec.available,
    context_length: context,
    max_model_len: context,
  };
}

function modelEntries(profile: Profile, states: readonly ModelStatus[]): readonly ModelEntry[] {
  const stateOf = (name: string): ModelStatus | undefined => states.find((state) => state.name === name);
  const fallback = findModel(profile, profile.defaultModel);
  const auto = fallback === undefined ? [] : [entryOf(fallback, stateOf(fallback.name), AUTO)];
  const named = profile.models.flatMap((spec) =>
    [spec.name, ...spec.aliases].map((id) => entryOf(spec, stateOf(spec.name), id)),
  );
  return [...auto, ...named];
}

function modelRoutes(router: Router, parts: ApiParts): void {
  const entries = (): readonly ModelEntry[] => modelEntries(parts.profiles.current(), parts.pool.status().models);
  router.get('/v1/models', (ctx) => {
    ctx.body = { object: 'list', data: entries() };
  });
  router.get('/v1/models/:id', (ctx) => {
    const { id } = ctx.params;
    const found = entries().find((entry) => entry.id === id);
    if (found === undefined) {
      const models = entries().map((entry) => entry.id);
      throw new LlamaestroError('model_not_found', `there is no model '${String(id)}'`, {
        param: 'model',
        details: { models },
      });
    }
    ctx.body = found;
  });
}

function resources(profile: Profile, states: readonly ModelStatus[]): unknown {
  return profile.models.map((spec) => {
    const state = states.find((entry) => entry.name === spec.name);
    const { contextTokens, slots, gpuLayers } = spec.load;
    return {
      name: spec.name,
      role: spec.role,
      purpose: spec.load.purpose,
      aliases: spec.aliases,
      description: spec.description,
      capabilities: spec.capabilities,
      residency: spec.residency,
      available: spec.available,
      source: spec.source ?? null,
      resources: {
        context_tokens: contextTokens ?? null,
        slots: slots ?? 1,
        gpu_layers: gpuLayers ?? 'auto',
        planned: state?.planned ?? null,
        extra: state?.extra ?? null,
        allocated: state?.allocated ?? null,
        measured: state?.measured ?? null,
      },
      state: state?.state ?? 'unloaded',
    };
  });
}

function profileRoutes(router: Router, parts: ApiParts): void {
  router.get('/v1/profiles', async (ctx) => {
    const active = parts.profiles.current();
    const states = parts.pool.status().models;
    ctx.body = {
      active: {
        name: active.name,
        description: active.description,
        origin: active.origin,
        models: resources(active, states),
        warnings: active.warnings,
      },
      profiles: await parts.profiles.list(),
    };
  });
  router.get('/v1/profiles/:name/plan', async (ctx) => {
    ctx.body = await parts.profiles.plan(String(ctx.params['name']));
  });
}

export function infoRoutes(parts: ApiParts): Router {
  const router = new Router();
  router.get('/healthz', (ctx) => {
    const reasons = stuck(parts.pool.status());
    ctx.status = reasons.length === 0 ? 200 : 503;
    ctx.body = reasons.length === 0 ? { status: 'alive' } : { status: 'stuck', reasons };
  });
  router.get('/readyz', (ctx) => {
    const { orchestra, pool, profiles } = parts;
    const { ready, reasons } = readiness(orchestra.status(), pool.status(), profiles.current(), profiles.progress());
    ctx.status = ready ? 200 : 503;
    if (!ready) ctx.set('Retry-After', '1');
    ctx.body = { status: ready ? 'ready' : 'waiting', reasons };
  });
  router.get('/v1/status', (ctx) => {
    ctx.body = statusBody(parts);
  });
  router.get('/metrics', (ctx) => {
    ctx.type = METRICS_TYPE;
    ctx.body = metricsText(parts.pool.status());
  });
  modelRoutes(router, parts);
  profileRoutes(router, parts);
  return router;
}
