/**
 * `POST /v1/chat/completions` and `POST /v1/completions`: parsers and renderers, pure. What OpenAI's API has and this
 * server does not yet is refused by name, so that nothing is dropped in silence; what has no effect here is accepted.
 */
import { LlamaestroError, type WireError } from '../base/errors.js';
import { decode } from '../schema/decode.js';
import { CHAT_FIELDS, ChatBodyCodec, COMPLETION_FIELDS, CompletionBodyCodec } from '../schema/requests.js';
import type { FinishReason, RunEvent, RunResult } from '../schema/run.js';
import { commonOf, messagesOf, objectOf, unknownFieldWarnings, type Parsed } from './doors.js';
import { problemOf } from './problem.js';
import { DONE, type Rendering, type SseFrame } from './rendering.js';

/** Fields that change nothing about the answer here. */
const HARMLESS = ['metadata', 'store', 'service_tier', 'parallel_tool_calls', 'safety_identifier', 'prompt_cache_key'];

/** Fields that would change the answer, with the values that ask for nothing. */
const REFUSED: Readonly<Record<string, (value: unknown) => boolean>> = {
  tools: (value) => Array.isArray(value) && value.length === 0,
  functions: (value) => Array.isArray(value) && value.length === 0,
  tool_choice: (value) => value === 'none' || value === 'auto',
  function_call: (value) => value === 'none' || value === 'auto',
  n: (value) => value === 1,
  best_of: (value) => value === 1,
  echo: (value) => value === false,
  suffix: (value) => value === '',
  logprobs: (value) => value === false,
  top_logprobs: (value) => value === 0,
  logit_bias: (value) => typeof value === 'object' && value !== null && Object.keys(value).length === 0,
  response_format: (value) => typeof value === 'object' && value !== null && 'type' in value && value.type === 'text',
  frequency_penalty: (value) => value === 0,
  presence_penalty: (value) => value === 0,
  grammar: (value) => value === '',
  audio: () => false,
  modalities: (value) => Array.isArray(value) && value.every((item) => item === 'text'),
};

function refuseUnsupported(body: Readonly<Record<string, unknown>>): void {
  for (const [field, asksForNothing] of Object.entries(REFUSED)) {
    const value = body[field];
    if (value === undefined || value === null || asksForNothing(value)) continue;
    throw new LlamaestroError('invalid_request', `'${field}' is not supported by this server yet`, {
      param: field,
      remedy: `Leave '${field}' out.`,
    });
  }
}

function warningsOf(body: Readonly<Record<string, unknown>>, known: readonly string[]): readonly string[] {
  return unknownFieldWarnings(body, [...known, ...HARMLESS, ...Object.keys(REFUSED)]);
}

/** A parsed OpenAI request; `includeUsage` asks for the extra chunk with counts. */
export interface OpenAiParsed extends Parsed {
  readonly includeUsage: boolean;
}

export function parseChat(body: unknown): OpenAiParsed {
  const object = objectOf(body);
  refuseUnsupported(object);
  const fields = decode(ChatBodyCodec, object);
  return {
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    request: {
      door: 'chat',
      prompt: { kind: 'messages', messages: messagesOf(fields.messages) },
      promptField: 'messages',
      onDisconnect: 'cancel',
      warnings: warningsOf(object, CHAT_FIELDS),
      ...commonOf(fields, fields.max_completion_tokens ?? fields.max_tokens),
    },
  };
}

export function parseCompletion(body: unknown): OpenAiParsed {
  const object = objectOf(body);
  refuseUnsupported(object);
  const fields = decode(CompletionBodyCodec, object);
  return {
    stream: fields.stream ?? false,
    includeUsage: fields.stream_options?.include_usage ?? false,
    request: {
      door: 'completions',
      prompt: { kind: 'text', text: fields.prompt },
      promptField: 'prompt',
      onDisconnect: 'cancel',
      warnings: warningsOf(object, COMPLETION_FIELDS),
      ...commonOf(fields, fields.max_completion_tokens ?? fields.max_tokens),
    },
  };
}

function usageOf(result: RunResult): Record<string, unknown> {
  const { promptTokens, cachedTokens, completionTokens } = result.usage;
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

function finishOf(reason: FinishReason): 'stop' | 'length' {
  return reason === 'length' ? 'length' : 'stop';
}

/** What only our clients read: which run, which route, what was ignored. */
function extras(result: RunResult): Record<string, unknown> {
  return { run_id: result.id, route: result.route ?? null, warnings: result.warnings };
}

interface Shape {
  readonly idPrefix: string;
  readonly object: string;
  readonly chunkObject: string;
  readonly full: (text: string) => Record<string, unknown>;
  readonly first: Record<string, unknown> | undefined;
  readonly delta: (text: string) => Record<string, unknown>;
  readonly end: Record<string, unknown>;
}

const CHAT: Shape = {
  idPrefix: 'chatcmpl-',
  object: 'chat.completion',
  chunkObject: 'chat.completion.chunk',
  full: (text) => ({ message: { role: 'assistant', content: text, refusal: null }, logprobs: null }),
  first: { delta: { role: 'assistant', content: '' } },
  delta: (text) => ({ delta: { content: text } }),
  end: { delta: {} },
};

const COMPLETION: Shape = {
  idPrefix: 'cmpl-',
  object: 'text_completion',
  chunkObject: 'text_completion',
  full: (text) => ({ text, logprobs: null }),
  first: undefined,
  delta: (text) => ({ text, logprobs: null }),
  end: { text: '', logprobs: null },
};

/** Stands for the text of a chunk; no id or name of a model holds it. */
const TEXT_MARK = '\u0000text\u0000';

/** `createdS`: seconds since 1970, equal in all chunks. */
function render(shape: Shape, createdS: number, includeUsage: boolean): Rendering {
  let id = '';
  let model = '';
  let started = false;
  const head = (object: string): Record<string, unknown> => ({ id, object, created: createdS, model });
  const chunk = (choice: Record<string, unknown>, finish: string | null, more: object = {}): SseFrame => ({
    data: JSON.stringify({
      ...head(shape.chunkObject),
      choices: [{ index: 0, ...choice, finish_reason: finish }],
      ...(includeUsage ? { usage: null } : {}),
      ...more,
    }),
  });
  // All chunks of a stream are alike but for their text, so what is around it is put into JSON once.
  let around: readonly [string, string] | undefined;
  const textChunk = (text: string): SseFrame => {
    if (around === undefined) {
      const [before = '', after = ''] = chunk(shape.delta(TEXT_MARK), null).data.split(JSON.stringify(TEXT_MARK));
      around = [before, after];
    }
    return { data: around[0] + JSON.stringify(text) + around[1] };
  };
  const opening = (): readonly SseFrame[] => {
    if (started || shape.first === undefined) return [];
    started = true;
    return [chunk(shape.first, null)];
  };
  const broken = (failure: WireError, runId: string): readonly SseFrame[] => {
    const { error } = problemOf(failure, runId);
    const body = { ...head(shape.chunkObject), choices: [], error, remedy: failure.remedy };
    return [{ data: JSON.stringify(body), last: true }];
  };
  return {
    broken,
    body(result) {
      id = `${shape.idPrefix}${result.id}`;
      model = result.route?.model ?? '';
      const finish = finishOf(result.finishReason);
      const choice = { index: 0, ...shape.full(result.text), finish_reason: finish };
      return { ...head(shape.object), choices: [choice], usage: usageOf(result), ...extras(result) };
    },
    frames(event: RunEvent): readonly SseFrame[] {
      switch (event.type) {
        case 'accepted':
          id = `${shape.idPrefix}${event.id}`;
          return [];
        case 'routed':
          model = event.route.model;
          return [];
        case 'delta':
          return event.text === '' ? opening() : [...opening(), textChunk(event.text)];
        case 'completed': {
          const last = chunk(shape.end, finishOf(event.result.finishReason), extras(event.result));
          const usage = { ...head(shape.chunkObject), choices: [], usage: usageOf(event.result) };
          return [...opening(), last, ...(includeUsage ? [{ data: JSON.stringify(usage) }] : []), DONE];
        }
        case 'failed':
        case 'cancelled':
          return broken(event.error, event.result.id);
        default:
          return [];
      }
    },
  };
}

/** Chat chunks: role first, text, finish reason, optional usage, [DONE]; a failure is one frame with `error` and no [DONE]. */
export function renderChat(createdS: number, includeUsage: boolean): Rendering {
  return render(CHAT, createdS, includeUsage);
}

/** The same for raw completions. */
export function renderCompletion(createdS: number, includeUsage: boolean): Rendering {
  return render(COMPLETION, createdS, includeUsage);
}
