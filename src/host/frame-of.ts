/** What an engine says about a sequence, as a frame on the bus. Pure: no numbering, no sending, no attempt. */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import { unreachable } from '../base/assert.js';
import type { SequenceEvent } from '../engine/engine.js';
import type { FrameBody } from '../schema/bus-messages.js';

/** Why we told the engine to stop: the gateway asked for it, or an error that the gateway has to hear. */
export type StopCause = 'asked' | LlamaestroError;

/**
 * The frame for `event`. `cause` is why the sequence was cancelled by us; a cancelled one without a cause was ended by
 * the orderly end of this host.
 */
export function frameOf(event: SequenceEvent, cause: StopCause | undefined): FrameBody {
  switch (event.type) {
    case 'started':
      return { type: 'started', promptTokens: event.promptTokens, cachedTokens: event.cachedTokens };
    case 'prefill':
      return { type: 'progress', doneTokens: event.doneTokens, totalTokens: event.totalTokens };
    case 'tokens':
      return { type: 'delta', firstIndex: event.firstIndex, ids: event.ids, text: event.text };
    case 'finished':
      return terminalOf(event, cause);
    default:
      return unreachable(event);
  }
}

function terminalOf(event: SequenceEvent & { type: 'finished' }, cause: StopCause | undefined): FrameBody {
  const { reason, usage, timings } = event;
  switch (reason) {
    case 'stop':
    case 'length':
    case 'tool_calls':
      // A sequence that ended by itself just before our cancel reached it has its whole answer: that is a success.
      return { type: 'final', reason: reason === 'length' ? reason : 'stop', usage, timings };
    case 'cancelled':
      if (cause === 'asked') return { type: 'cancelled', usage, timings };
      return errorFrame(cause ?? toldToEnd());
    case 'error':
      return errorFrame(toLlamaestroError(event.error ?? new Error('the engine named no reason')));
    default:
      return unreachable(reason);
  }
}

/** A host closes its engine only when it was told to end: it did not die of the request. */
function toldToEnd(): LlamaestroError {
  return new LlamaestroError('draining', 'the model host was told to end while the answer was made', {
    remedy: 'Send the request again; the model is loaded again when somebody asks for it.',
  });
}

function errorFrame(error: LlamaestroError): FrameBody {
  return { type: 'error', error: error.toWire() };
}
