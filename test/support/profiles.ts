/** Small resolved profiles for tests that need one. */
import type { ModelSpec, Profile } from '../../src/schema/profile.js';

export function modelSpec(name: string, more: Partial<ModelSpec> = {}): ModelSpec {
  return {
    name,
    role: 'general',
    aliases: [],
    description: '',
    capabilities: [],
    load: { file: `/models/${name}.gguf`, purpose: 'generate', contextTokens: 1024, slots: 2 },
    sampling: {},
    forced: { sampling: {} },
    stripped: [],
    chat: {},
    lora: [],
    residency: 'on-demand',
    pinned: false,
    ttlMs: 300_000,
    priority: 5,
    configHash: name,
    missing: [],
    available: true,
    ...more,
  };
}

export function profileOf(models: readonly ModelSpec[], more: Partial<Profile> = {}): Profile {
  return {
    name: 'test',
    description: 'made by a test',
    origin: 'test',
    models,
    router: undefined,
    defaultModel: models[0]?.name ?? 'none',
    rules: [],
    routes: [],
    fallbacks: {},
    timeouts: { queueMs: 30_000, requestMs: 60_000, loadMs: 30_000, ackMs: 1000, tokenMs: 10_000 },
    retries: 2,
    budgets: {},
    headrooms: {},
    switching: { policy: 'wait', drainMs: 30_000 },
    reload: 'manual',
    files: [],
    warnings: [],
    ...more,
  };
}
