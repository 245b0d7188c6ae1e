/**
 * A profile as written (YAML, snake_case): what each key accepts and what it is for. Editors get the same as a JSON Schema
 * from `profileJsonSchema`. Knows shapes alone; names that exist, sizes that fit and files that are there are the profile
 * room's to check.
 */
import * as t from 'io-ts';
import { jsonSchemaOf } from './json-schema.js';
import { KvTypeCodec } from './load.js';
import { COMPLEXITIES, KINDS, ROLES } from './profile.js';
import { WRITTEN_SAMPLING } from './sampling.js';
import {
  described,
  listOf,
  matching,
  numberIn,
  oneOf,
  reserved,
  shaped,
  shortOr,
  textOf,
  type JsonSchema,
} from './shape.js';

/** '300s', '5m', '250ms', '1h'. */
const DurationCodec = matching('a duration such as 250ms, 30s, 5m or 1h', /^\d+(\.\d+)?(ms|s|m|h)$/);
/** '24GiB', '512MiB', '2GB'. */
const BytesCodec = matching('a size such as 512MiB, 24GiB or 2GB', /^\d+(\.\d+)?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$/);
/** Names of models and profiles: they appear in subjects, paths and metrics. */
const NameCodec = matching(
  'a name of 1 to 64 letters, digits, dots, dashes and underscores',
  /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
);
const DeviceCodec = matching('a device such as cuda0, metal0 or vulkan1', /^[a-z][a-z0-9]{0,31}$/);

const GpuLayersCodec = shaped(
  new t.Type<number | 'auto', number | 'auto', unknown>(
    "a whole number from 0 to 1024, or 'auto'",
    (value): value is number | 'auto' => isGpuLayers(value),
    (value, context) => (isGpuLayers(value) ? t.success(value) : t.failure(value, context)),
    (value) => value,
  ),
  { anyOf: [{ type: 'integer', minimum: 0, maximum: 1024 }, { const: 'auto' }] },
);

function isGpuLayers(value: unknown): value is number | 'auto' {
  return value === 'auto' || (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 1024);
}

const TemplateArgumentsCodec = shaped(t.record(t.string, t.unknown, 'a mapping of template arguments'), {
  type: 'object',
});

const forcedFields = {
  ...WRITTEN_SAMPLING,
  max_tokens: described(numberIn(1, 2 ** 24, 'whole'), 'Longest answer'),
  ignore_eos: described(t.boolean, 'Go on past the end until max_tokens'),
  stop: described(listOf(textOf(1, 256), 16, 'a list of up to 16 strings'), 'The answer ends before the first of them'),
};
/** Parameters of a request that a profile may set or take away. */
export type RequestParameter = keyof typeof forcedFields;
const PARAMETERS = Object.keys(forcedFields) as RequestParameter[];

const OVERRIDE = 'a mapping with pattern and device';

const ADAPTER = 'a mapping with name, file and scale';
const AdapterCodec = t.intersection(
  [
    t.type({ name: NameCodec, file: described(textOf(1, 4096), 'A GGUF file, found as the file of a model') }, ADAPTER),
    t.partial({ scale: described(numberIn(-100, 100), 'How strongly it counts; 1 where nothing is said') }, ADAPTER),
  ],
  ADAPTER,
);

const modelFields = {
  role: described(oneOf(ROLES), 'What the model is for in the flow'),
  purpose: described(oneOf(['generate', 'embed', 'rerank']), 'What it is loaded for; follows from the role'),
  file: described(textOf(1, 4096), 'A GGUF file: absolute, or below the models folder or the folder of this profile'),
  source: described(
    t.partial(
      {
        repo: textOf(1, 256),
        file: textOf(1, 1024),
        quantisation: textOf(1, 64),
        licence: textOf(1, 128),
        sha256: described(
          matching('64 hexadecimal digits', /^[0-9a-f]{64}$/),
          'Compared by `llamaestro validate --sums`',
        ),
        bytes: described(BytesCodec, 'Size of the file'),
      },
      'a mapping that says where the file comes from',
    ),
    'Where the file comes from; without `file` it is expected as REPO/FILE in the models folder',
  ),
  aliases: described(t.readonlyArray(NameCodec, 'a list of names'), 'Other names that requests may use'),
  description: t.string,
  capabilities: t.readonlyArray(textOf(1, 64), 'a list of words'),
  context: described(numberIn(1, 2 ** 24, 'whole'), 'Tokens over all slots together'),
  slots: described(numberIn(1, 256, 'whole'), 'Sequences at the same time'),
  context_per_slot: described(
    numberIn(2, 2 ** 24, 'whole'),
    'Most tokens of one sequence; above context / slots it needs kv_layout unified',
  ),
  kv_type: described(
    shortOr(KvTypeCodec, t.partial({ k: KvTypeCodec, v: KvTypeCodec }, 'a mapping with k and v')),
    'How keys and values are kept, together or as { k, v }',
  ),
  kv_layout: described(oneOf(['split', 'unified']), 'One stream of keys and values per slot, or one for all'),
  flash_attention: oneOf(['auto', 'on', 'off']),
  gpu_layers: described(GpuLayersCodec, 'Layers on the GPU; auto takes as many as fit'),
  devices: described(listOf(DeviceCodec, 16, 'a list of up to 16 devices'), 'GPUs to use, in the order of the split'),
  split_mode: described(oneOf(['none', 'layer', 'row']), 'How the model is spread over the devices'),
  main_device: described(DeviceCodec, 'The one device of split_mode none'),
  tensor_split: described(
    listOf(numberIn(0, 1e6), 16, 'a list of up to 16 shares'),
    'A share of the layers per device',
  ),
  cpu_moe_layers: described(numberIn(0, 512, 'whole'), 'Experts of the first so many layers stay on the CPU'),
  tensor_overrides: described(
    listOf(t.type({ pattern: textOf(1, 256), device: DeviceCodec }, OVERRIDE), 64, 'a list of up to 64 overrides'),
    'Tensors whose names match lie on the device; the first that matches decides',
  ),
  lora: described(
    listOf(AdapterCodec, 4, 'a list of up to 4 adapters'),
    'Adapters that every request uses, on top of the model',
  ),
  threads: described(numberIn(1, 512, 'whole'), 'Compute threads'),
  chunk_tokens: described(numberIn(16, 4096, 'whole'), 'Prompt tokens of one step; measured at the load when absent'),
  prefix_cache: described(BytesCodec, 'Host memory for known beginnings of prompts; 0B is off'),
  mmap: t.boolean,
  residency: described(oneOf(['resident', 'on-demand']), 'Loaded from the start, or when it is asked for'),
  pin: described(t.boolean, 'Never unloaded to make room'),
  ttl: described(DurationCodec, 'An idle model on demand leaves after this'),
  priority: described(numberIn(0, 9, 'whole'), 'Models of lower priority leave first'),
  sampling: described(t.partial(WRITTEN_SAMPLING, 'a mapping of sampling parameters'), 'Where a request says nothing'),
  force: described(t.partial(forcedFields, 'a mapping of request parameters'), 'Whatever a request says'),
  strip: described(
    t.readonlyArray(oneOf(PARAMETERS), 'a list of request parameters'),
    'Taken out of requests, with a warning in the answer',
  ),
  chat: described(
    t.partial(
      {
        thinking: described(t.boolean, 'Reasoning on or off, for templates that can switch it'),
        arguments: described(TemplateArgumentsCodec, 'Variables of the chat template'),
        template: reserved('a model is served with the template of its file'),
      },
      'a mapping with thinking and arguments',
    ),
    'What the chat template is told beside the messages',
  ),
  host: described(NameCodec, 'Models that say the same are loaded into one process, for several small ones'),
  draft: reserved('speculative decoding comes with a later version'),
};

export const ModelFieldsCodec = t.partial(modelFields, 'a mapping with the settings of a model');
export type ModelFields = t.TypeOf<typeof ModelFieldsCodec>;

const WhenCodec = t.partial({ complexity: oneOf(COMPLEXITIES), kind: oneOf(KINDS) }, 'a mapping of conditions');
const ROUTE = 'a mapping with model and when';
const RouteCodec = t.intersection([t.type({ model: NameCodec }, ROUTE), t.partial({ when: WhenCodec }, ROUTE)], ROUTE);

const RuleCodec = t.partial(
  {
    contains: described(
      listOf(textOf(1, 128), 64, 'a list of up to 64 texts'),
      'The task holds one of these, whatever the case',
    ),
    longer_than: described(numberIn(0, 2 ** 24, 'whole'), 'The task has more characters'),
    shorter_than: described(numberIn(1, 2 ** 24, 'whole'), 'The task has fewer characters'),
    kind: oneOf(KINDS),
    complexity: oneOf(COMPLEXITIES),
  },
  'a mapping with contains, longer_than, shorter_than, kind and complexity',
);

const TimeoutsCodec = t.partial(
  {
    queue: described(DurationCodec, 'Longest wait for a slot'),
    max_wait: described(DurationCodec, 'A request that would probably wait longer is refused at once'),
    request: described(DurationCodec, 'A whole request'),
    load: described(DurationCodec, 'A load; each GiB of the model adds to it'),
    ack: described(DurationCodec, 'Until a host answers'),
    token: described(DurationCodec, 'Longest silence of a running answer'),
  },
  'a mapping of durations',
);

const FLOW = 'a mapping with default, router, rules, routes, fallback, timeouts and retries';
const FlowCodec = t.intersection(
  [
    t.type({ default: described(NameCodec, 'Takes what no route matches') }, FLOW),
    t.partial(
      {
        router: described(
          NameCodec,
          'The model that is to judge tasks; in this version rules alone do, and a warning says so',
        ),
        rules: described(
          listOf(RuleCodec, 256, 'a list of up to 256 rules'),
          'Judge tasks first; the first match decides',
        ),
        routes: described(t.readonlyArray(RouteCodec, 'a list of routes'), 'The first match decides'),
        fallback: described(
          t.record(
            t.string,
            listOf(NameCodec, 8, 'a list of up to 8 models'),
            'a mapping from models to lists of models',
          ),
          'Who takes a routed task when its model cannot',
        ),
        timeouts: TimeoutsCodec,
        retries: described(numberIn(0, 10, 'whole'), 'Attempts after the first'),
        labels: reserved('the kinds and complexities of tasks are fixed'),
        breaker: reserved('the pool alone decides when a failing model is tried again'),
        steps: reserved('version 1 takes one step, the one that router and routes describe'),
      },
      FLOW,
    ),
  ],
  FLOW,
);

const BudgetCodec = shortOr(
  BytesCodec,
  t.partial(
    {
      limit: described(BytesCodec, 'What all models together may take'),
      headroom: described(BytesCodec, 'Kept free for everybody else'),
    },
    'a mapping with limit and headroom',
  ),
);

const PROFILE = 'a mapping with version, name, models and flow';
const required = {
  version: t.literal(1),
  name: described(NameCodec, 'As the file is called'),
  models: t.record(t.string, ModelFieldsCodec, 'a mapping from names to models'),
  flow: FlowCodec,
};
export const ProfileFileCodec = t.intersection(
  [
    t.type(required, PROFILE),
    t.partial(
      {
        description: t.string,
        extends: described(
          textOf(1, 4096),
          'Name or path of the profile that this one changes: mappings are merged, all else replaced, null takes away',
        ),
        reload: described(
          oneOf(['manual', 'auto']),
          'What happens when the file of the active profile is edited; manual waits for the command',
        ),
        switch: t.partial(
          {
            policy: described(
              oneOf(['wait', 'refuse']),
              'What becomes of requests for a model that another profile does not have, while a switch to it is under way',
            ),
            drain: described(DurationCodec, 'What running requests of a leaving model get to end'),
          },
          'a mapping with policy and drain',
        ),
        defaults: described(ModelFieldsCodec, 'For every model that does not say otherwise'),
        budgets: described(
          t.record(t.string, BudgetCodec, 'a mapping from devices to sizes'),
          'What devices may be used for',
        ),
      },
      PROFILE,
    ),
  ],
  PROFILE,
);
/** A profile as the YAML says it, what it extends merged in, defaults not yet applied. */
export type ProfileFile = t.TypeOf<typeof ProfileFileCodec>;

/** Of one file: what it extends may supply the rest, and null takes inherited things away. */
export function profileJsonSchema(): JsonSchema {
  const {
    required: _all,
    properties,
    ...rest
  } = jsonSchemaOf(ProfileFileCodec) as {
    readonly required: unknown;
    readonly properties: Readonly<Record<string, JsonSchema>>;
  };
  const flow: JsonSchema = { ...properties['flow'] };
  const { required: _default, ...loose } = flow;
  const nullable = (schema: JsonSchema | undefined): JsonSchema => {
    const values = schema?.['additionalProperties'];
    return { ...schema, additionalProperties: { anyOf: [values, { type: 'null' }] } };
  };
  const { models, budgets } = properties;
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Profile of llamaestro',
    ...rest,
    properties: { ...properties, models: nullable(models), budgets: nullable(budgets), flow: loose },
    required: ['version', 'name'],
    anyOf: [
      { required: ['extends'] },
      { required: ['models', 'flow'], properties: { flow: { required: ['default'] } } },
    ],
  };
}
