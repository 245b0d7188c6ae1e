/**
 * Turns the flat batches of the addon into the events of `engine.ts`, and its errors into ours. Pure; knows neither
 * listeners nor engines.
 */
import type { ErrorCode } from '../base/errors.js';
import { LlamaestroError, isErrorCode } from '../base/errors.js';
import type { NativeBatch, NativeError, NativeFinished, NativePrompt, NativeRequest } from './addon-types.js';
import { ROW_KINDS, ROW_WORDS } from './addon-types.js';
import type {
  ChatOptions,
  FinishReason,
  Prompt,
  SequenceEvent,
  SequenceRequest,
  TokenLogprob,
  Tool,
} from './engine.js';
import { assert } from '../base/assert.js';
import { argumentTexts, parametersText } from './validate-chat.js';
import { schemaText } from './validate-sampling.js';

const REASONS: readonly FinishReason[] = ['stop', 'length', 'cancelled', 'error', 'tool_calls'];

/** Calls `take` for each event of the batch, in order. */
export function readBatch(batch: NativeBatch, take: (sequenceId: number, event: SequenceEvent) => void): void {
  const { words } = batch;
  let tokenAt = batch.rows * ROW_WORDS;
  let textIndex = 0;
  let logprobAt = 0;
  let partsAt = 0;
  for (let row = 0; row < batch.rows; row++) {
    const at = row * ROW_WORDS;
    const [sequenceId = 0, kind, a = 0, b = 0, idCount = 0] = words.subarray(at, at + ROW_WORDS);
    switch (kind) {
      case ROW_KINDS.started:
        take(sequenceId, { type: 'started', promptTokens: a, cachedTokens: b });
        break;
      case ROW_KINDS.prefill:
        take(sequenceId, { type: 'prefill', doneTokens: a, totalTokens: b });
        break;
      case ROW_KINDS.tokens: {
        const ids = Array.from(words.subarray(tokenAt, tokenAt + idCount));
        tokenAt += idCount;
        const logprobs: TokenLogprob[] = [];
        for (let one = batch.logprobs[logprobAt]; one?.row === row; one = batch.logprobs[++logprobAt]) {
          logprobs.push(one.logprob);
        }
        const text = batch.texts[textIndex++] ?? '';
        const parts = batch.parts[partsAt]?.row === row ? batch.parts[partsAt++] : undefined;
        take(sequenceId, {
          type: 'tokens',
          firstIndex: a,
          ids,
          text,
          ...(parts?.reasoning === undefined ? {} : { reasoning: parts.reasoning }),
          ...(parts?.toolCalls === undefined ? {} : { toolCalls: parts.toolCalls }),
          ...(logprobs.length === 0 ? {} : { logprobs }),
        });
        break;
      }
      case ROW_KINDS.finished: {
        const finished = batch.finished[a];
        assert(finished !== undefined, `finished row ${a} is missing`);
        take(sequenceId, finishedEvent(finished));
        break;
      }
      default:
        assert(false, `a row has the unknown kind ${kind}`);
    }
  }
}

function finishedEvent(row: NativeFinished): SequenceEvent {
  const reason = REASONS[row.reason];
  assert(reason !== undefined, `unknown finish reason ${row.reason}`);
  return {
    type: 'finished',
    reason,
    ...(row.stopString === undefined ? {} : { stopString: row.stopString }),
    usage: {
      promptTokens: row.promptTokens,
      cachedTokens: row.cachedTokens,
      completionTokens: row.completionTokens,
    },
    timings: { queueMs: row.queueMs, prefillMs: row.prefillMs, decodeMs: row.decodeMs },
    ...(row.error === undefined ? {} : { error: fromNative(row.error) }),
  };
}

/** What the addon threw as an operating error; anything without a code of the list becomes `internal`. */
export function fromNative(thrown: unknown): LlamaestroError {
  if (thrown instanceof LlamaestroError) return thrown;
  const { code, message, param, details } = (thrown ?? {}) as Partial<NativeError>;
  const known: ErrorCode = isErrorCode(code) ? code : 'internal';
  return new LlamaestroError(known, message ?? String(thrown), {
    ...(param === undefined ? {} : { param }),
    ...(details === undefined ? {} : { details }),
    ...(isErrorCode(code) ? {} : { cause: thrown }),
  });
}

/** The form in which a prompt crosses the border. */
export function toNativePrompt(prompt: Prompt): NativePrompt {
  if (prompt.kind === 'tokens') return { kind: 'tokens', tokens: Float64Array.from(prompt.tokens) };
  if (prompt.kind === 'text') return prompt;
  const { kind, messages, tools, toolChoice, templateArguments, thinking, reasoning, ...rest } = prompt;
  return {
    ...rest,
    kind,
    messages,
    ...(tools === undefined ? {} : { tools: tools.map(toNativeTool) }),
    ...(toolChoice === undefined ? {} : toNativeChoice(toolChoice)),
    ...(templateArguments === undefined ? {} : { templateArguments: argumentTexts(templateArguments).flat() }),
    ...(thinking === undefined ? {} : { thinking }),
    ...(reasoning === 'separate' ? { separatesReasoning: true } : {}),
  };
}

function toNativeTool({ name, description, parameters }: Tool): NonNullable<NativePrompt['tools']>[number] {
  return {
    name,
    ...(description === undefined ? {} : { description }),
    ...(parameters === undefined ? {} : { parameters: parametersText(parameters) }),
  };
}

function toNativeChoice(choice: NonNullable<ChatOptions['toolChoice']>): Partial<NativePrompt> {
  return typeof choice === 'string' ? { toolChoice: choice } : { toolName: choice.name };
}

/** As `toNativePrompt`, for a whole request. */
export function toNativeRequest(request: SequenceRequest): NativeRequest {
  const { prompt, logitBias, jsonSchema, ...rest } = request;
  return {
    ...rest,
    prompt: toNativePrompt(prompt),
    ...(logitBias === undefined ? {} : { logitBias: Float64Array.from(Object.entries(logitBias).flat().map(Number)) }),
    ...(jsonSchema === undefined ? {} : { jsonSchema: schemaText(jsonSchema) }),
  };
}
