/**
 * One sequence as an async iterable of text, for applications that use the addon by themselves. Knows the `Engine`
 * interface only, so it works on the native and on the fake engine alike. The server does not use it: it needs the
 * events as they come.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { ToolCall, ToolCallDelta } from './chat-types.js';
import type {
  Engine,
  FinishReason,
  Sequence,
  SequenceEvent,
  SequenceRequest,
  SequenceTimings,
  SequenceUsage,
} from './engine.js';
import { asksForParts } from './validate-chat.js';
import { checkSequenceRequest, refuseUnknownRequestFields } from './validate.js';

/** Text (UTF-16 units) a stream keeps for a reader that lags behind; beyond it the sequence ends, `client_too_slow`. */
export const MAX_UNREAD_UNITS = 4 * 1024 * 1024;

/** Prompts longer than this (UTF-16 units) are tokenised away from the event loop before they are submitted. */
const INLINE_PROMPT_UNITS = 4096;

export interface GenerateResult {
  readonly text: string;
  /** Present when the answer was taken apart (see `ChatOptions`) and has some. */
  readonly reasoning?: string;
  readonly toolCalls?: readonly ToolCall[];
  readonly reason: Exclude<FinishReason, 'error'>;
  readonly stopString?: string;
  readonly usage: SequenceUsage;
  readonly timings: SequenceTimings;
}

/**
 * Iterate it once for the pieces of text, or await `result`, or both. Leaving the loop early cancels the sequence.
 * An abort is no failure: the iteration ends and `result` resolves with what there is, reason 'cancelled'. A failure
 * ends the iteration with the `LlamaestroError` that `result` rejects with. A stream that nobody holds any more, and whose
 * `result` nobody took, is cancelled when it is collected.
 */
export interface TokenStream extends AsyncIterableIterator<string> {
  /**
   * Settles exactly once. Its rejection counts as handled, since the iteration throws the same error. Whoever has read
   * this property is taken to wait for it: the sequence then runs to its end.
   */
  readonly result: Promise<GenerateResult>;
  /** Ends the sequence; idempotent. */
  cancel(): void;
}

/**
 * Starts a sequence on `engine`. Throws `invalid_request` at once on bad values; everything else, an over-long prompt
 * included, comes through the stream. A signal that is already aborted starts nothing.
 */
export function generate(engine: Engine, request: SequenceRequest, signal?: AbortSignal): TokenStream {
  refuseUnknownRequestFields(request);
  checkSequenceRequest(request, engine.info);
  const stream = new SequenceStream();
  const handle = new StreamHandle(stream);
  if (signal?.aborted === true) {
    stream.cancel();
    stream.end({ reason: 'cancelled', usage: NO_USAGE, timings: NO_TIMINGS });
    return handle;
  }
  const onAbort = (): void => stream.cancel();
  signal?.addEventListener('abort', onAbort, { once: true });
  const unsubscribe = (): void => signal?.removeEventListener('abort', onAbort);
  stream.result.then(unsubscribe, unsubscribe);
  start(engine, request, stream);
  return handle;
}

const NO_USAGE: SequenceUsage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };
const NO_TIMINGS: SequenceTimings = { queueMs: 0, prefillMs: 0, decodeMs: 0 };

function start(engine: Engine, request: SequenceRequest, stream: SequenceStream): void {
  const submit = (prompt: SequenceRequest['prompt']): void =>
    stream.attach(engine.submit({ ...request, prompt }, (event) => stream.take(event)));
  if (promptUnits(request) <= INLINE_PROMPT_UNITS || asksForParts(request.prompt)) {
    try {
      submit(request.prompt);
    } catch (thrown) {
      stream.fail(toLlamaestroError(thrown));
    }
    return;
  }
  engine
    .tokenize(request.prompt)
    .then((tokens) => {
      if (stream.cancelled) return stream.end({ reason: 'cancelled', usage: NO_USAGE, timings: NO_TIMINGS });
      submit({ kind: 'tokens', tokens: Array.from(tokens) });
    })
    .catch((thrown: unknown) => stream.fail(toLlamaestroError(thrown)));
}

function promptUnits({ prompt }: SequenceRequest): number {
  if (prompt.kind === 'text') return prompt.text.length;
  if (prompt.kind === 'messages') return prompt.messages.reduce((sum, message) => sum + message.content.length, 0);
  return 0;
}

type Ending = Omit<GenerateResult, 'text' | 'reasoning' | 'toolCalls'>;

/** Puts the pieces of an answer's calls together. */
function addPieces(calls: ToolCall[], pieces: readonly ToolCallDelta[]): void {
  for (const { index, id, name, arguments: piece = '' } of pieces) {
    const call = calls[index] ?? { id: '', name: '', arguments: '' };
    calls[index] = { id: id ?? call.id, name: name ?? call.name, arguments: call.arguments + piece };
  }
}

// Told of a handle that was collected; what runs holds the stream and never the handle.
const forgotten = new FinalizationRegistry<SequenceStream>((stream) => {
  if (!stream.isAwaited) stream.cancel();
});

/** What the application holds. */
class StreamHandle implements TokenStream {
  constructor(private readonly stream: SequenceStream) {
    forgotten.register(this, stream);
  }

  get result(): Promise<GenerateResult> {
    this.stream.isAwaited = true;
    return this.stream.result;
  }

  [Symbol.asyncIterator](): this {
    this.stream.isRead = true;
    return this;
  }

  next(): Promise<IteratorResult<string>> {
    return this.stream.next();
  }

  return(): Promise<IteratorResult<string>> {
    return this.stream.return();
  }

  cancel(): void {
    this.stream.cancel();
  }
}

/** One sequence as its listener sees it. */
class SequenceStream {
  readonly result: Promise<GenerateResult>;
  cancelled = false;
  isRead = false;
  isAwaited = false;
  private resolve: (result: GenerateResult) => void = () => undefined;
  private reject: (error: LlamaestroError) => void = () => undefined;
  private sequence: Sequence | undefined;
  private readonly pieces: string[] = [];
  private reasoning = '';
  private readonly toolCalls: ToolCall[] = [];
  private unread = '';
  private isOver = false;
  private error: LlamaestroError | undefined;
  private readers: { resolve(next: IteratorResult<string>): void; reject(error: Error): void }[] = [];

  constructor() {
    this.result = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.result.catch(() => undefined);
  }

  next(): Promise<IteratorResult<string>> {
    this.isRead = true;
    return new Promise((resolve, reject) => {
      this.readers.push({ resolve, reject });
      this.serve();
    });
  }

  async return(): Promise<IteratorResult<string>> {
    this.cancel();
    this.unread = '';
    this.isRead = false;
    return { done: true, value: undefined };
  }

  cancel(): void {
    this.cancelled = true;
    this.sequence?.cancel();
  }

  attach(sequence: Sequence): void {
    this.sequence = sequence;
    if (this.cancelled) sequence.cancel();
  }

  take(event: SequenceEvent): void {
    if (this.isOver) return;
    if (event.type === 'tokens') {
      this.reasoning += event.reasoning ?? '';
      addPieces(this.toolCalls, event.toolCalls ?? []);
    }
    if (event.type === 'tokens' && event.text !== '') {
      this.pieces.push(event.text);
      this.unread += event.text;
      if (this.isRead && this.unread.length > MAX_UNREAD_UNITS) {
        this.cancel();
        this.fail(new LlamaestroError('client_too_slow', `${MAX_UNREAD_UNITS} units of text wait unread`));
      }
      this.serve();
    }
    if (event.type !== 'finished') return;
    const { reason, stopString, usage, timings } = event;
    if (reason === 'error') return this.fail(toLlamaestroError(event.error ?? new Error('the sequence failed')));
    this.end({ reason, usage, timings, ...(stopString === undefined ? {} : { stopString }) });
  }

  end(ending: Ending): void {
    if (this.isOver) return;
    this.isOver = true;
    this.resolve({
      text: this.pieces.join(''),
      ...(this.reasoning === '' ? {} : { reasoning: this.reasoning }),
      ...(this.toolCalls.length === 0 ? {} : { toolCalls: this.toolCalls }),
      ...ending,
    });
    this.serve();
  }

  fail(error: LlamaestroError): void {
    if (this.isOver) return;
    this.isOver = true;
    this.error = error;
    this.reject(error);
    this.serve();
  }

  /** Answers the readers that can be answered: text first, then the error once, then the end. */
  private serve(): void {
    while (this.readers.length > 0 && (this.unread !== '' || this.isOver)) {
      const reader = this.readers.shift();
      if (this.unread !== '') {
        const value = this.unread;
        this.unread = '';
        reader?.resolve({ done: false, value });
      } else if (this.error !== undefined) {
        reader?.reject(this.error);
        this.error = undefined;
      } else {
        reader?.resolve({ done: true, value: undefined });
      }
    }
  }
}
