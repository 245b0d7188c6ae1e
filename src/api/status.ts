/** What `/readyz` and `/v1/status` say: pure views over the rooms' own status. */
import type { OrchestraStatus } from '../orchestra/orchestra.js';
import type { ModelStatus, PoolStatus } from '../pool/pool.js';
import type { ProfileEdit } from '../profile/edit-watch.js';
import type { SwitchProgress } from '../schema/profile-switch.js';
import type { ModelSpec, Profile } from '../schema/profile.js';
import type { ApiParts } from './api-parts.js';

export interface Readiness {
  readonly ready: boolean;
  /** Why not, in words; also what is degraded although ready. */
  readonly reasons: readonly string[];
}

/** Ready: runs are accepted and no resident model is still on its first way up. A failed one degrades, it does not block. */
export function readiness(
  orchestra: OrchestraStatus,
  pool: PoolStatus,
  profile: Profile,
  change: SwitchProgress,
): Readiness {
  if (!orchestra.accepting)
    return { ready: false, reasons: ['no runs are taken: the server stops, or the bus is lost'] };
  const residents = new Set(profile.models.filter((m) => m.residency === 'resident' && m.available).map((m) => m.name));
  const rising = pool.models.filter(
    (model) => residents.has(model.name) && (model.state === 'starting' || model.state === 'loading'),
  );
  const reasons = rising.map((model) => `model '${model.name}' is ${model.state}`);
  return {
    ready: rising.length === 0,
    reasons: [...reasons, ...stuck(pool), ...failures(pool), ...absences(profile), ...losses(change)],
  };
}

/** What is known of a file that is not there, for whoever goes to get it. */
function missingBodies({ name, missing, load, source }: ModelSpec): readonly unknown[] {
  return missing.map((path) => missingBody(name, path, path === load.file ? source : undefined));
}

function missingBody(model: string, path: string, source: ModelSpec['source']): Record<string, unknown> {
  const { bytes, licence, repo, file, sha256 } = source ?? {};
  return {
    model,
    file: path,
    bytes: bytes ?? null,
    licence: licence ?? null,
    source: repo === undefined ? null : { repo, file: file ?? null, sha256: sha256 ?? null },
  };
}

function editWarnings(edit: ProfileEdit | undefined): readonly string[] {
  switch (edit?.state) {
    case undefined:
      return [];
    case 'broken':
      return [`the profile was edited and is broken now, so the former goes on: ${edit.error.message}`];
    case 'waiting': {
      const why = edit.error === undefined ? "apply it with 'llamaestro reload'" : edit.error.message;
      return [`the profile was edited; the former goes on: ${why}`];
    }
  }
}

function losses({ missing, last }: SwitchProgress): string[] {
  return missing.map(
    (model) => `model '${model}' did not come back after the switch to '${last?.to ?? ''}' was taken back`,
  );
}

function absences(profile: Profile): string[] {
  return profile.models
    .filter((model) => !model.available)
    .map((model) => `a file of model '${model.name}' is missing: ${model.missing.join(', ')}`);
}

/** What the pool's own watchdog complains of: requests that wait for nobody. */
export function stuck({ vigil }: PoolStatus): string[] {
  return vigil.neglects.map(({ model, why }) => `requests for model '${model}' wait for nobody: ${why}`);
}

function failures(pool: PoolStatus): string[] {
  const failed = pool.models
    .filter((model) => model.state === 'failed')
    .map((model) => `model '${model.name}' failed: ${model.lastError?.message ?? 'no reason known'}`);
  const barred = pool.nodes
    .flatMap(({ quarantines }) => quarantines)
    .map(({ device, model }) => `device '${device}' is under quarantine: not all memory of model '${model}' came back`);
  const worn = pool.models.flatMap(({ name, health }) =>
    (health?.complaints ?? []).map((why) => `model '${name}' wears out: ${why}`),
  );
  return [...failed, ...worn, ...barred];
}

function healthBody({ health }: ModelStatus): unknown {
  if (health === undefined) return null;
  const { verdict, wordAgeMs, pulseAgeMs, stillMs, longestStepMs, speedRatio, complaints } = health;
  return {
    verdict,
    word_age_ms: wordAgeMs,
    heartbeat_age_ms: pulseAgeMs ?? null,
    step_age_ms: stillMs,
    longest_step_ms: longestStepMs,
    speed_ratio: speedRatio ?? null,
    complaints,
  };
}

function modelBody(model: ModelStatus): Record<string, unknown> {
  return {
    name: model.name,
    role: model.role,
    state: model.state,
    available: model.available,
    host: model.hid ?? null,
    group: model.host ?? null,
    pid: model.pid ?? null,
    load_fraction: model.loadFraction ?? null,
    architecture: model.info?.architecture ?? null,
    parameters: model.info?.parameterCount ?? null,
    quantisation: model.info?.quantisation ?? null,
    context_tokens_per_slot: model.info?.contextTokensPerSlot ?? null,
    slots: model.slots,
    leased: model.leased,
    queued: model.queued,
    queued_by_class: model.queuedByClass,
    memory: {
      planned: model.planned ?? null,
      extra: model.extra ?? null,
      allocated: model.allocated ?? null,
      measured: model.measured ?? null,
      resident_bytes: model.residentBytes ?? null,
    },
    load_ms: model.info?.loadMs ?? null,
    loads: model.loads,
    crashes: model.crashes,
    health: healthBody(model),
    prompt_tokens: model.promptTokens,
    generated_tokens: model.generatedTokens,
    restored_prefix_tokens: model.restoredPrefixTokens ?? 0,
    retry_in_ms: model.retryInMs ?? null,
    last_error: model.lastError ?? null,
  };
}

/** The body of `/v1/status`. */
export function statusBody(parts: Pick<ApiParts, 'orchestra' | 'pool' | 'profiles' | 'identity' | 'clock'>): unknown {
  const orchestra = parts.orchestra.status();
  const pool = parts.pool.status();
  const profile = parts.profiles.current();
  const change = parts.profiles.progress();
  const { ready, reasons } = readiness(orchestra, pool, profile, change);
  const degraded = reasons.length > 0;
  return {
    health: !ready ? 'waiting' : degraded ? 'degraded' : 'ok',
    reasons,
    server: { ...parts.identity, time: new Date(parts.clock.wallMs()).toISOString() },
    profile: {
      name: profile.name,
      origin: profile.origin,
      warnings: [...editWarnings(parts.profiles.edit()), ...profile.warnings],
      edit: parts.profiles.edit() ?? null,
      missing: profile.models.flatMap(missingBodies),
    },
    switch: change,
    runs: orchestra,
    queues: Object.fromEntries(pool.models.map((model) => [model.name, model.queued])),
    models: pool.models.map(modelBody),
    nodes: pool.nodes,
    scheduler: {
      event_loop_lag_ms: pool.vigil.eventLoopLagMs,
      cpu_pressure: pool.vigil.cpuPressure,
      stuck: pool.vigil.neglects.map(({ model, why }) => ({ model, why })),
    },
  };
}
