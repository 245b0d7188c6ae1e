/**
 * What the doors' parsers share: from a decoded body to the fields of a `RunRequest`. Pure. A door is a parser (`unknown`
 * to `RunRequest`) and a renderer (run events to its wire form), both pure functions around `orchestra.submit`; what
 * renderers share is `rendering`'s.
 */
import { LlamaestroError } from '../base/errors.js';
import { unknownKeys } from '../schema/decode.js';
import type { ChatMessage, Sampling } from '../schema/load.js';
import { MessagesCodec, type SamplingFields, type WireMessage } from '../schema/requests.js';
import type { RunRequest } from '../schema/run.js';
import { pathTo, strayKeys } from '../schema/stray-keys.js';

/** A request as a door understood it. */
export interface Parsed {
  readonly request: RunRequest;
  readonly stream: boolean;
}

/** The body as an object, or `invalid_request`. */
export function objectOf(body: unknown): Readonly<Record<string, unknown>> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
  throw new LlamaestroError('invalid_request', 'the body must be a JSON object');
}

/** Warnings of one answer; what is beyond is counted. */
const MAX_WARNINGS = 32;

/** A sentence for each field nobody knows, in the body and in its messages. */
export function unknownFieldWarnings(body: Readonly<Record<string, unknown>>, known: readonly string[]): string[] {
  const inMessages = strayKeys(MessagesCodec, body['messages'], 'messages').map(({ parent, key }) =>
    pathTo(parent, key),
  );
  const unknown = [...unknownKeys(body, known), ...inMessages];
  const told = unknown.slice(0, MAX_WARNINGS).map((key) => `unknown field '${key.slice(0, 100)}' was ignored`);
  const rest = unknown.length - told.length;
  return rest === 0 ? told : [...told, `${String(rest)} more unknown fields were ignored`];
}

/** Messages with their text parts joined; an empty list is `invalid_request`. */
export function messagesOf(messages: readonly WireMessage[]): readonly ChatMessage[] {
  if (messages.length === 0) {
    throw new LlamaestroError('invalid_request', "'messages' must hold at least one message", { param: 'messages' });
  }
  return messages.map(({ role, content }) => {
    const text = typeof content === 'string' ? content : (content ?? []).map((part) => part.text).join('');
    return { role, content: text };
  });
}

/** The sampling fields under our names; absent and null ones stay absent. */
export function samplingOf(fields: SamplingFields): Sampling {
  return {
    ...(typeof fields.temperature === 'number' ? { temperature: fields.temperature } : {}),
    ...(typeof fields.top_k === 'number' ? { topK: fields.top_k } : {}),
    ...(typeof fields.top_p === 'number' ? { topP: fields.top_p } : {}),
    ...(typeof fields.min_p === 'number' ? { minP: fields.min_p } : {}),
    ...(typeof fields.seed === 'number' ? { seed: fields.seed } : {}),
  };
}

/** Everything of a `RunRequest` that all doors take alike. */
export function commonOf(
  fields: SamplingFields,
  maxTokens: number | null | undefined,
): Pick<RunRequest, 'model' | 'sampling' | 'stop' | 'ignoreEos' | 'maxTokens' | 'timeoutMs' | 'priority' | 'tenant'> {
  const stop = fields.stop ?? [];
  return {
    model: fields.model ?? 'auto',
    sampling: samplingOf(fields),
    stop: typeof stop === 'string' ? [stop] : stop,
    ignoreEos: fields.ignore_eos ?? false,
    ...(typeof maxTokens === 'number' ? { maxTokens } : {}),
    ...(typeof fields.timeout_ms === 'number' ? { timeoutMs: fields.timeout_ms } : {}),
    ...(typeof fields.priority === 'string' ? { priority: fields.priority } : {}),
    ...(typeof fields.user === 'string' ? { tenant: fields.user } : {}),
  };
}
