/**
 * From a checked profile and what is known about its files to what pool and orchestra work with: defaults merged, names
 * settled, what the files lack told as warnings. Pure: the same input gives the same profile, byte for byte.
 */
import { assert } from '../base/assert.js';
import type { ModelFields, ProfileFile } from '../schema/profile-file.js';
import type { ModelSpec, Profile, Route, Rule, StageTimeouts } from '../schema/profile.js';
import { durationMs, sizeBytes } from '../schema/units.js';
import type { ModelFacts } from '../store/model-facts.js';
import { filesOf, purposeOf, withDefaults } from './model-check.js';
import { modelSpecOf } from './model-spec.js';
import {
  DEFAULT_ACK_MS,
  DEFAULT_DRAIN_MS,
  DEFAULT_LOAD_MS,
  DEFAULT_QUEUE_MS,
  DEFAULT_REQUEST_MS,
  DEFAULT_RETRIES,
  DEFAULT_SLOTS,
  DEFAULT_TOKEN_MS,
} from './profile-defaults.js';

export interface ResolveInput {
  /** Free of problems (`checkProfile`). */
  readonly file: ProfileFile;
  /** Shown as where the profile comes from. */
  readonly origin: string;
  /** The files it was read from; none when absent. */
  readonly files?: readonly string[];
  /** By `file` as the profile writes it; one entry for each of `filesOf` every model. */
  readonly facts: ReadonlyMap<string, ModelFacts>;
}

/** Never fails: what the files lack becomes a warning and an unavailable model. */
export function resolveProfile({ file, origin, files = [], facts }: ResolveInput): Profile {
  const models: ModelSpec[] = [];
  const warnings: string[] = [];
  for (const [name, own] of Object.entries(file.models)) {
    const fields = withDefaults(file, own);
    const [known, ...adapters] = filesOf(fields).map((written) => {
      const fact = facts.get(written);
      assert(fact !== undefined, `facts about ${written} of model ${name}`);
      return fact;
    });
    assert(known !== undefined, `a file of model ${name}`);
    models.push(modelSpecOf(name, fields, known, adapters));
    warnings.push(...fileWarnings(name, fields, known), ...uselessWarnings(name, own, fields));
    warnings.push(...adapters.flatMap((adapter) => adapterWarnings(name, adapter)));
  }
  const { flow } = file;
  return {
    name: file.name,
    description: file.description ?? '',
    origin,
    models,
    router: flow.router === undefined ? undefined : settledName(models, flow.router),
    defaultModel: settledName(models, flow.default),
    rules: rulesOf(file),
    routes: routesOf(file, models),
    fallbacks: fallbacksOf(file, models),
    timeouts: timeoutsOf(file),
    retries: flow.retries ?? DEFAULT_RETRIES,
    budgets: amountsOf(file, 'limit'),
    headrooms: amountsOf(file, 'headroom'),
    switching: {
      policy: file.switch?.policy ?? 'wait',
      drainMs: file.switch?.drain === undefined ? DEFAULT_DRAIN_MS : durationMs(file.switch.drain),
    },
    reload: file.reload ?? 'manual',
    files,
    warnings: [...warnings, ...unreachableRoutes(file), ...idleRouter(file)],
  };
}

function settledName(models: readonly ModelSpec[], nameOrAlias: string): string {
  const model = models.find((spec) => spec.name === nameOrAlias || spec.aliases.includes(nameOrAlias));
  assert(model !== undefined, `a checked name, got ${nameOrAlias}`);
  return model.name;
}

function rulesOf({ flow }: ProfileFile): readonly Rule[] {
  return (flow.rules ?? []).map(
    ({ contains, longer_than: longerThan, shorter_than: shorterThan, kind, complexity }) => ({
      ...(contains === undefined ? {} : { contains: contains.map((text) => text.toLowerCase()) }),
      ...(longerThan === undefined ? {} : { longerThan }),
      ...(shorterThan === undefined ? {} : { shorterThan }),
      ...(kind === undefined ? {} : { kind }),
      ...(complexity === undefined ? {} : { complexity }),
    }),
  );
}

function routesOf({ flow }: ProfileFile, models: readonly ModelSpec[]): readonly Route[] {
  return (flow.routes ?? []).map(({ model, when = {} }) => ({
    model: settledName(models, model),
    ...(when.complexity === undefined ? {} : { complexity: when.complexity }),
    ...(when.kind === undefined ? {} : { kind: when.kind }),
  }));
}

function fallbacksOf({ flow }: ProfileFile, models: readonly ModelSpec[]): Profile['fallbacks'] {
  const chains = Object.entries(flow.fallback ?? {});
  return Object.fromEntries(
    chains.map(([from, chain]) => [settledName(models, from), chain.map((to) => settledName(models, to))]),
  );
}

function timeoutsOf({ flow }: ProfileFile): StageTimeouts {
  const written = flow.timeouts ?? {};
  const ms = (text: string | undefined, otherwise: number): number =>
    text === undefined ? otherwise : durationMs(text);
  return {
    queueMs: ms(written.queue, DEFAULT_QUEUE_MS),
    ...(written.max_wait === undefined ? {} : { maxWaitMs: durationMs(written.max_wait) }),
    requestMs: ms(written.request, DEFAULT_REQUEST_MS),
    loadMs: ms(written.load, DEFAULT_LOAD_MS),
    ackMs: ms(written.ack, DEFAULT_ACK_MS),
    tokenMs: ms(written.token, DEFAULT_TOKEN_MS),
  };
}

/** Bytes by device; a size alone is a limit. */
function amountsOf({ budgets = {} }: ProfileFile, key: 'limit' | 'headroom'): Readonly<Record<string, number>> {
  const amounts = Object.entries(budgets).flatMap(([device, budget]) => {
    const { [key]: text } = typeof budget === 'string' ? { limit: budget, headroom: undefined } : budget;
    return text === undefined ? [] : [[device, sizeBytes(text)] as const];
  });
  return Object.fromEntries(amounts);
}

function fileWarnings(name: string, fields: ModelFields, facts: ModelFacts): readonly string[] {
  if (facts.state === 'missing') return [`model '${name}': there is no file ${facts.path}`];
  if (facts.state === 'damaged') return [`model '${name}': ${facts.error.message}`];
  const warnings: string[] = [];
  const { contextLength, purpose, architecture, hasChatTemplate } = facts.header;
  const perSlot = fields.context_per_slot ?? Math.floor((fields.context ?? 0) / (fields.slots ?? DEFAULT_SLOTS));
  if (contextLength !== undefined && contextLength > 0 && perSlot > contextLength) {
    warnings.push(`model '${name}': ${perSlot} tokens per slot, but it was trained for ${contextLength}`);
  }
  if (purpose !== 'generate' && purposeOf(fields) === 'generate') {
    warnings.push(`model '${name}': its file holds a model for vectors or scores (${architecture}), not for text`);
  }
  const expectedBytes = fields.source?.bytes === undefined ? undefined : sizeBytes(fields.source.bytes);
  if (expectedBytes !== undefined && facts.header.splitCount === 1 && expectedBytes !== facts.bytes) {
    warnings.push(`model '${name}': the file has ${facts.bytes} bytes, its source says ${expectedBytes}`);
  }
  if (fields.chat !== undefined && !hasChatTemplate) {
    warnings.push(`model '${name}': its file has no chat template, so 'chat' may be refused by its requests`);
  }
  return warnings;
}

function adapterWarnings(name: string, facts: ModelFacts): readonly string[] {
  if (facts.state === 'missing') return [`model '${name}': there is no file ${facts.path}`];
  return facts.state === 'damaged' ? [`model '${name}': ${facts.error.message}`] : [];
}

/** Settings that the model itself writes and that change nothing. */
function uselessWarnings(name: string, own: ModelFields, { residency, pin }: ModelFields): readonly string[] {
  const warnings: string[] = [];
  if (own.ttl !== undefined && residency === 'resident') {
    warnings.push(`model '${name}': its ttl has no effect, since it is resident`);
  } else if (own.ttl !== undefined && pin === true) {
    warnings.push(`model '${name}': its ttl has no effect, since it is pinned`);
  }
  return warnings;
}

function idleRouter({ flow: { router } }: ProfileFile): readonly string[] {
  return router === undefined ? [] : [`flow.router: rules alone judge tasks in this version; '${router}' is not asked`];
}

function unreachableRoutes({ flow }: ProfileFile): readonly string[] {
  const routes = flow.routes ?? [];
  const always = routes.findIndex(({ when = {} }) => when.kind === undefined && when.complexity === undefined);
  if (always === -1 || always === routes.length - 1) return [];
  return [`routes after number ${always + 1} are never reached, since that one has no condition`];
}
