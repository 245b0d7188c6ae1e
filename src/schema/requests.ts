/**
 * The bodies clients send, in snake_case as on the wire: our own `execute` and the OpenAI routes. Shapes only; what they
 * mean is the doors' business. `null` counts as absent where OpenAI clients send it.
 */
import * as t from 'io-ts';
import { PRIORITIES } from './run.js';
import { numberIn, oneOf, textOf } from './shape.js';

/** Largest `max_tokens` anybody may ask for; the slot's context is the real limit. */
const MAX_TOKENS = 2 ** 24;
/** Longest name of whose request it is. */
const MAX_USER_CHARACTERS = 256;
/** A body holds no more; the model's context is the real limit. */
const MAX_TASK_CHARACTERS = 2 ** 20;
/** Stop strings of one request, and the length of each. */
const MAX_STOPS = 16;
const MAX_STOP_CHARACTERS = 256;

function optional<A>(codec: t.Type<A, A, unknown>) {
  return t.union([codec, t.null, t.undefined], codec.name);
}

const StopListCodec = new t.Type<string | string[], string | string[], unknown>(
  `a string or up to ${String(MAX_STOPS)} strings of 1 to ${String(MAX_STOP_CHARACTERS)} characters`,
  (value): value is string | string[] => isStop(value),
  (value, context) => (isStop(value) ? t.success(value) : t.failure(value, context)),
  (value) => value,
);

function isStop(value: unknown): value is string | string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const fits = (item: unknown): boolean =>
    typeof item === 'string' && item.length >= 1 && item.length <= MAX_STOP_CHARACTERS;
  return list.length <= MAX_STOPS && list.every(fits);
}

const ContentCodec = t.union(
  [t.string, t.readonlyArray(t.type({ type: t.literal('text'), text: t.string })), t.null],
  'a string or an array of text parts',
);

export const MessageCodec = t.intersection([t.type({ role: textOf(1, 64) }), t.partial({ content: ContentCodec })]);
export const MessagesCodec = t.readonlyArray(MessageCodec, 'a list of messages');
export type WireMessage = t.TypeOf<typeof MessageCodec>;

/** Fields every generating route shares. */
const samplingFields = {
  temperature: optional(numberIn(0, 100)),
  top_k: optional(numberIn(0, 2 ** 31 - 1, 'whole')),
  top_p: optional(numberIn(Number.MIN_VALUE, 1)),
  min_p: optional(numberIn(0, 1)),
  seed: optional(numberIn(0, 2 ** 32 - 1, 'whole')),
  stop: optional(StopListCodec),
  ignore_eos: optional(t.boolean),
  max_tokens: optional(numberIn(1, MAX_TOKENS, 'whole')),
  timeout_ms: optional(numberIn(1, 24 * 3600 * 1000, 'whole')),
  stream: optional(t.boolean),
  model: optional(textOf(1, 256)),
  priority: optional(oneOf(PRIORITIES)),
  user: optional(textOf(1, MAX_USER_CHARACTERS)),
};
export const SamplingFieldsCodec = t.partial(samplingFields);
export type SamplingFields = t.TypeOf<typeof SamplingFieldsCodec>;

const executeFields = {
  ...samplingFields,
  task: optional(textOf(1, MAX_TASK_CHARACTERS)),
  messages: optional(MessagesCodec),
  on_disconnect: optional(t.keyof({ cancel: null, continue: null })),
};
export const ExecuteBodyCodec = t.partial(executeFields);
export const EXECUTE_FIELDS = Object.keys(executeFields);

const streamOptions = t.partial({ include_usage: optional(t.boolean) });
const openAiFields = {
  ...samplingFields,
  max_completion_tokens: optional(numberIn(1, MAX_TOKENS, 'whole')),
  stream_options: optional(streamOptions),
};
export const ChatBodyCodec = t.intersection([t.type({ messages: MessagesCodec }), t.partial(openAiFields)]);
export const CHAT_FIELDS = ['messages', ...Object.keys(openAiFields)];

const PROMPT = 'a string, or a list of exactly one';
/** A list of one prompt is that prompt; a longer one asks for several answers. */
const PromptCodec = new t.Type<string, string, unknown>(
  PROMPT,
  t.string.is,
  (value, context) => {
    const prompts: readonly unknown[] = Array.isArray(value) ? value : [value];
    const [prompt] = prompts;
    if (prompts.length === 1 && typeof prompt === 'string') return t.success(prompt);
    const several = prompts.length > 1 && prompts.every(t.string.is);
    const message = `holds ${String(prompts.length)} prompts, it must be ${PROMPT}`;
    return several ? t.failure(value, context, message) : t.failure(value, context);
  },
  (value) => value,
);
export const CompletionBodyCodec = t.intersection([t.type({ prompt: PromptCodec }), t.partial(openAiFields)]);
export const COMPLETION_FIELDS = ['prompt', ...Object.keys(openAiFields)];

/** Longest time that an unload or a switch may give to what runs. */
const MAX_DRAIN_MS = 3600 * 1000;
const drain = { drain_ms: optional(numberIn(0, MAX_DRAIN_MS, 'whole')) };
const switchFields = { ...drain, wait: optional(t.boolean) };
export const SwitchBodyCodec = t.intersection([t.type({ name: textOf(1, 4096) }), t.partial(switchFields)]);
export const ReloadBodyCodec = t.partial(switchFields);
export const UnloadBodyCodec = t.partial(drain);
