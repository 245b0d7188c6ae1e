/**
 * The closed list of operating errors. Knows no HTTP status and no bus header: each door keeps its own exhaustive
 * record over `ErrorCode`, so that a new code does not compile until every door has an answer.
 */

/** Each code with the remedy a reader gets when the thrower knows no better one. */
export const ERROR_REMEDIES = {
  invalid_request: 'Correct the named field and send the request again.',
  context_length_exceeded: 'Shorten the prompt, lower max_tokens, or use a model with a longer context.',
  unsupported_schema: 'Remove the named keyword from the schema.',
  unauthorized: 'Send a valid key.',
  forbidden: 'Use a key with the needed scope.',
  model_not_found: 'Use one of the names listed, or "auto".',
  profile_not_found: 'Use one of the profiles listed.',
  run_not_found: 'Check the run id; finished runs are kept for a limited time.',
  switch_conflict: 'Wait for the running switch to end, or cancel it.',
  pinned: 'Unpin a model, or give the device a larger budget.',
  payload_too_large: 'Send a smaller body.',
  idempotency_mismatch: 'Use a new idempotency key for a changed body.',
  profile_invalid: 'Correct the profile at the place named.',
  does_not_fit: 'Lower the context or the slots, choose a smaller quantisation, or free memory.',
  model_unusable: 'Check the model file: download it again or choose another one.',
  poison: 'Do not send this request again; it ended the engine twice.',
  rate_limited: 'Wait as long as Retry-After says.',
  cancelled: 'Send the request again if it is still wanted.',
  client_too_slow: 'Read the stream faster, or ask for it without streaming.',
  internal: 'This is a fault of ours: report it with the run id.',
  addon_missing: 'Run "npm run build" to compile the native addon.',
  host_lost: 'Send the request again; the model is being restarted.',
  host_stuck: 'Send the request again; the model is being restarted.',
  stream_gap: 'Send the request again.',
  queue_full: 'Wait as long as Retry-After says and send the request again.',
  queue_timeout: 'Send the request again later, or raise the queue timeout.',
  no_host: 'Wait as long as Retry-After says and send the request again.',
  load_failed: 'Look at the log of the model host; the load is tried again after a pause.',
  out_of_memory: 'Free memory or lower the context, then send the request again.',
  profile_switching: 'Wait for the switch to end and send the request again.',
  draining: 'The server is stopping: send the request to it after its restart.',
  interrupted: 'The server was stopped while this ran: send the request again.',
  journal_unavailable: 'Free disk space or check the database, then send the request again.',
  ack_timeout: 'Send the request again.',
  prefill_stall: 'Send the request again.',
  token_stall: 'Send the request again.',
  deadline: 'Raise timeout_ms, or ask for fewer tokens.',
} as const;

/** One word per kind of failure; part of the wire format, so never renamed. */
export type ErrorCode = keyof typeof ERROR_REMEDIES;

/** All codes, in the order of the list. */
export const ERROR_CODES = Object.keys(ERROR_REMEDIES) as readonly ErrorCode[];

/** True when `value` is one of the closed list. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_REMEDIES, value);
}

/** The form in which an error crosses a process border. `param` names a field, `details` holds counts and names. */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly remedy: string;
  readonly param?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface ErrorOptions {
  /** The field of the request that is wrong, as the client wrote it. */
  readonly param?: string;
  /** Replaces the remedy of the list. */
  readonly remedy?: string;
  /** Counts, names, limits: whatever lets a program act on the error. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** An operating error: expected, typed, shown to the client with a sentence of cause and a sentence of remedy. */
export class LlamaestroError extends Error {
  override readonly name = 'LlamaestroError';
  readonly code: ErrorCode;
  readonly remedy: string;
  readonly param: string | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.remedy = options.remedy ?? ERROR_REMEDIES[code];
    this.param = options.param;
    this.details = options.details;
  }

  toWire(): WireError {
    return {
      code: this.code,
      message: this.message,
      remedy: this.remedy,
      ...(this.param === undefined ? {} : { param: this.param }),
      ...(this.details === undefined ? {} : { details: this.details }),
    };
  }

  static fromWire(wire: WireError): LlamaestroError {
    const { code, message, ...options } = wire;
    return new LlamaestroError(code, message, options);
  }
}

/** Any thrown value as an operating error; what is not one already becomes `internal` with the original as cause. */
export function toLlamaestroError(thrown: unknown): LlamaestroError {
  if (thrown instanceof LlamaestroError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new LlamaestroError('internal', message, { cause: thrown });
}
