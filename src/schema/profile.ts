/**
 * A profile as written (YAML, snake_case) and as resolved (what pool and orchestra work with). Reading, line numbers and
 * inheritance are the profile room's; this file knows the shape alone.
 */
import * as t from 'io-ts';
import { numberIn, textOf } from './decode.js';
import { KvTypeCodec, type LoadOptions, type Sampling } from './load.js';

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

function worded<A>(name: string, accepts: (value: unknown) => value is A): t.Type<A, A, unknown> {
  return new t.Type(
    name,
    accepts,
    (value, context) => (accepts(value) ? t.success(value) : t.failure(value, context)),
    (value) => value,
  );
}

function matching(name: string, pattern: RegExp): t.Type<string, string, unknown> {
  return worded(name, (value): value is string => typeof value === 'string' && pattern.test(value));
}

function oneOf<W extends string>(words: readonly W[]): t.Type<W, W, unknown> {
  return worded(`one of ${words.join(', ')}`, (value): value is W => (words as readonly unknown[]).includes(value));
}

/** '300s', '5m', '250ms', '1h'. */
export const DurationCodec = matching('a duration such as 250ms, 30s, 5m or 1h', /^\d+(\.\d+)?(ms|s|m|h)$/);
/** '24GiB', '512MiB', '2GB'. */
export const BytesCodec = matching(
  'a size such as 512MiB, 24GiB or 2GB',
  /^\d+(\.\d+)?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$/,
);
/** Names of models and profiles: they appear in subjects, paths and metrics. */
export const NameCodec = matching(
  'a name of 1 to 64 letters, digits, dots, dashes and underscores',
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
);

const GpuLayersCodec = worded(
  "a whole number from 0 to 1024, or 'auto'",
  (value): value is number | 'auto' =>
    value === 'auto' || (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 1024),
);
const TopPCodec = worded(
  'a number above 0 and at most 1',
  (value): value is number => typeof value === 'number' && value > 0 && value <= 1,
);

const modelFields = {
  role: oneOf(ROLES),
  purpose: oneOf(['generate', 'embed', 'rerank']),
  file: textOf(1, 4096),
  source: t.partial(
    {
      repo: t.string,
      file: t.string,
      quantisation: t.string,
      licence: t.string,
      sha256: t.string,
      bytes: BytesCodec,
    },
    'a mapping that says where the file comes from',
  ),
  aliases: t.readonlyArray(NameCodec, 'a list of names'),
  description: t.string,
  capabilities: t.readonlyArray(textOf(1, 64), 'a list of words'),
  context: numberIn(1, 2 ** 24, 'whole'),
  slots: numberIn(1, 256, 'whole'),
  gpu_layers: GpuLayersCodec,
  kv_type: KvTypeCodec,
  kv_layout: oneOf(['split', 'unified']),
  flash_attention: oneOf(['auto', 'on', 'off']),
  threads: numberIn(1, 512, 'whole'),
  mmap: t.boolean,
  residency: oneOf(['resident', 'on-demand']),
  pin: t.boolean,
  ttl: DurationCodec,
  priority: numberIn(0, 9, 'whole'),
  sampling: t.partial(
    {
      temperature: numberIn(0, 100),
      top_k: numberIn(0, 2 ** 31 - 1, 'whole'),
      top_p: TopPCodec,
      min_p: numberIn(0, 1),
    },
    'a mapping of sampling parameters',
  ),
};

export const ModelFieldsCodec = t.partial(modelFields, 'a mapping with the settings of a model');
export type ModelFields = t.TypeOf<typeof ModelFieldsCodec>;

export const COMPLEXITIES = ['simple', 'moderate', 'complex'] as const;
export type Complexity = (typeof COMPLEXITIES)[number];
export const KINDS = ['chat', 'code', 'reasoning', 'planning', 'critique', 'summary'] as const;
export type Kind = (typeof KINDS)[number];

const WhenCodec = t.partial({ complexity: oneOf(COMPLEXITIES), kind: oneOf(KINDS) }, 'a mapping of conditions');
const ROUTE = 'a mapping with model and when';
const RouteCodec = t.intersection([t.type({ model: NameCodec }, ROUTE), t.partial({ when: WhenCodec }, ROUTE)], ROUTE);

const TimeoutsCodec = t.partial(
  {
    queue: DurationCodec,
    request: DurationCodec,
    load: DurationCodec,
    ack: DurationCodec,
    token: DurationCodec,
  },
  'a mapping of durations',
);

const FLOW = 'a mapping with default, router, routes, timeouts and retries';
const FlowCodec = t.intersection(
  [
    t.type({ default: NameCodec }, FLOW),
    t.partial(
      {
        router: NameCodec,
        routes: t.readonlyArray(RouteCodec, 'a list of routes'),
        timeouts: TimeoutsCodec,
        retries: numberIn(0, 10, 'whole'),
      },
      FLOW,
    ),
  ],
  FLOW,
);

const PROFILE = 'a mapping with version, name, models and flow';
export const ProfileFileCodec = t.intersection(
  [
    t.type(
      {
        version: t.literal(1),
        name: NameCodec,
        models: t.record(t.string, ModelFieldsCodec, 'a mapping from names to models'),
        flow: FlowCodec,
      },
      PROFILE,
    ),
    t.partial(
      {
        description: t.string,
        defaults: ModelFieldsCodec,
        budgets: t.record(t.string, BytesCodec, 'a mapping from devices to sizes'),
      },
      PROFILE,
    ),
  ],
  PROFILE,
);
/** A profile as the YAML says it, defaults not yet applied. */
export type ProfileFile = t.TypeOf<typeof ProfileFileCodec>;

/** One model of a profile with everything decided but memory. */
export interface ModelSpec {
  readonly name: string;
  readonly role: Role;
  readonly aliases: readonly string[];
  readonly description: string;
  readonly capabilities: readonly string[];
  /** File is absolute. */
  readonly load: LoadOptions;
  readonly sampling: Sampling;
  readonly residency: 'resident' | 'on-demand';
  readonly pinned: boolean;
  readonly ttlMs: number;
  readonly priority: number;
  readonly source?: ModelFields['source'];
  /** Equal hashes: the same process may serve both. Covers `load` alone. */
  readonly configHash: string;
  /** False when the file does not exist; such a model is listed, and refused with `model_unusable` when asked for. */
  readonly available: boolean;
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
  readonly routes: readonly Route[];
  readonly timeouts: StageTimeouts;
  /** Attempts after the first, in the orchestra's one retry loop. */
  readonly retries: number;
  /** Bytes per device id that this profile may use. */
  readonly budgets: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
}

/** The model called `name` by name or alias. */
export function findModel(profile: Profile, name: string): ModelSpec | undefined {
  return profile.models.find((model) => model.name === name || model.aliases.includes(name));
}
