/**
 * Errors as HTTP: the one place with status numbers. One body serves RFC 9457 readers and OpenAI clients at once.
 * No stack, no path of ours, no text of a prompt.
 */
import { toLlamaestroError, type ErrorCode, type LlamaestroError, type WireError } from '../base/errors.js';

/** Exhaustive: a new code does not compile until it has a status here. */
const STATUSES: Record<ErrorCode, number> = {
  invalid_request: 400,
  context_length_exceeded: 400,
  unsupported_schema: 400,
  unauthorized: 401,
  forbidden: 403,
  model_not_found: 404,
  profile_not_found: 404,
  run_not_found: 404,
  switch_conflict: 409,
  pinned: 409,
  payload_too_large: 413,
  idempotency_mismatch: 422,
  profile_invalid: 422,
  does_not_fit: 422,
  model_unusable: 422,
  poison: 422,
  rate_limited: 429,
  cancelled: 499,
  client_too_slow: 499,
  internal: 500,
  addon_missing: 500,
  host_lost: 502,
  host_stuck: 502,
  stream_gap: 502,
  queue_full: 503,
  queue_timeout: 503,
  no_host: 503,
  load_failed: 503,
  out_of_memory: 503,
  profile_switching: 503,
  draining: 503,
  interrupted: 503,
  journal_unavailable: 503,
  ack_timeout: 504,
  prefill_stall: 504,
  token_stall: 504,
  deadline: 504,
};

/** Seconds a client waits when the thrower knows nothing better (`details.retryAfterMs`). */
const DEFAULT_RETRY_AFTER_S = 1;

export interface Problem {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: ErrorCode;
  };
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly remedy: string;
  readonly run_id: string | null;
  readonly details?: Readonly<Record<string, unknown>>;
}

function typeOf(status: number): string {
  if (status === 401 || status === 403) return 'authentication_error';
  if (status === 429) return 'rate_limit_error';
  return status < 500 ? 'invalid_request_error' : 'server_error';
}

/** The one error body. `runId` when a run exists already. */
export function problemOf(error: WireError, runId?: string): Problem {
  const status = STATUSES[error.code];
  const type = typeOf(status);
  return {
    error: { message: error.message, type, param: error.param ?? null, code: error.code },
    title: error.code.replaceAll('_', ' '),
    status,
    detail: error.message,
    remedy: error.remedy,
    run_id: runId ?? null,
    ...(error.details === undefined ? {} : { details: error.details }),
  };
}

/** Headers beside the body: Retry-After on every 503 and 429. */
export function headersOf(error: WireError): Record<string, string> {
  const status = STATUSES[error.code];
  if (status !== 503 && status !== 429) return {};
  const known = error.details?.['retryAfterMs'];
  const seconds = typeof known === 'number' ? Math.max(1, Math.ceil(known / 1000)) : DEFAULT_RETRY_AFTER_S;
  return { 'Retry-After': String(seconds) };
}

/** What a client may see of a thrown value: a fault of ours keeps its details to the log. */
export function publicError(thrown: unknown): LlamaestroError {
  const error = toLlamaestroError(thrown);
  return error.code === 'internal' && error.cause !== undefined
    ? toLlamaestroError(new Error('an internal fault; the log has the details'))
    : error;
}
