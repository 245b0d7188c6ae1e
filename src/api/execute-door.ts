/** `POST /v1/execute`: our own route. A parser and a renderer, both pure. */
import { LlamaestroError } from '../base/errors.js';
import { decode } from '../schema/decode.js';
import { EXECUTE_FIELDS, ExecuteBodyCodec } from '../schema/requests.js';
import type { RunEvent, RunResult } from '../schema/run.js';
import { commonOf, messagesOf, objectOf, unknownFieldWarnings, type Parsed } from './doors.js';
import { problemOf } from './problem.js';
import { DONE, type Rendering, type SseFrame } from './rendering.js';

/** From a body to a valid request; `invalid_request` names the field. */
export function parseExecute(body: unknown): Parsed {
  const object = objectOf(body);
  const fields = decode(ExecuteBodyCodec, object);
  const task = fields.task ?? undefined;
  const messages = fields.messages ?? undefined;
  if ((task === undefined) === (messages === undefined)) {
    const message = task === undefined ? "'task' or 'messages' is needed" : "'task' and 'messages' exclude each other";
    throw new LlamaestroError('invalid_request', message, { param: task === undefined ? 'task' : 'messages' });
  }
  const turns = task === undefined ? messagesOf(messages ?? []) : [{ role: 'user', content: task }];
  return {
    stream: fields.stream ?? false,
    request: {
      door: 'execute',
      prompt: { kind: 'messages', messages: turns },
      promptField: task === undefined ? 'messages' : 'task',
      onDisconnect: fields.on_disconnect ?? 'cancel',
      warnings: unknownFieldWarnings(object, EXECUTE_FIELDS),
      ...commonOf(fields, fields.max_tokens),
    },
  };
}

/** Milliseconds as shown: three decimals are more than any clock here is good for. */
function ms(value: number): number {
  return Math.round(value * 1000) / 1000;
}

/** The answer of a run as JSON. */
export function executeBody(result: RunResult): Record<string, unknown> {
  const { usage, timings, route } = result;
  return {
    id: result.id,
    object: 'run',
    status: result.status,
    profile: result.profile,
    route: route === undefined ? null : { ...route, ms: ms(route.ms) },
    output: { text: result.text },
    finish_reason: result.finishReason,
    usage: {
      prompt_tokens: usage.promptTokens,
      cached_tokens: usage.cachedTokens,
      completion_tokens: usage.completionTokens,
    },
    timings: {
      queue_ms: ms(timings.queueMs),
      route_ms: ms(timings.routeMs),
      load_ms: ms(timings.loadMs),
      prefill_ms: ms(timings.prefillMs),
      decode_ms: ms(timings.decodeMs),
      ttft_ms: ms(timings.ttftMs),
      total_ms: ms(timings.totalMs),
    },
    attempts: result.attempts.map((attempt) => ({ ...attempt, ms: ms(attempt.ms) })),
    warnings: result.warnings,
  };
}

function payload(event: RunEvent): Record<string, unknown> {
  switch (event.type) {
    case 'accepted':
      return { id: event.id, profile: event.profile, model: event.model, warnings: event.warnings };
    case 'routed':
      return { route: { ...event.route, ms: ms(event.route.ms) } };
    case 'queued':
      return { model: event.model, position: event.position, estimated_ms: event.estimatedMs ?? null };
    case 'loading':
      return { model: event.model, fraction: event.fraction, estimated_ms: event.estimatedMs ?? null };
    case 'prefill':
      return { done_tokens: event.doneTokens, total_tokens: event.totalTokens, cached_tokens: event.cachedTokens };
    case 'delta':
      return { choice: event.choice, index: event.firstIndex, tokens: event.ids.length, text: event.text };
    case 'completed':
      return { run: executeBody(event.result) };
    case 'failed':
    case 'cancelled':
      return { run: executeBody(event.result), ...problemOf(event.error, event.result.id) };
  }
}

/** Events as `run.*` with ids from 1, then [DONE]. */
export function renderExecute(): Rendering {
  return {
    body: executeBody,
    broken(error, runId): readonly SseFrame[] {
      const type = 'run.failed';
      return [{ event: type, data: JSON.stringify({ type, run: null, ...problemOf(error, runId) }) }, DONE];
    },
    frames(event): readonly SseFrame[] {
      const type = `run.${event.type}`;
      const frame = { id: event.seq, event: type, data: JSON.stringify({ type, seq: event.seq, ...payload(event) }) };
      const terminal = event.type === 'completed' || event.type === 'failed' || event.type === 'cancelled';
      return terminal ? [frame, DONE] : [frame];
    },
  };
}
