import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { FinishReason, SequenceEvent } from '../../src/engine/engine.js';
import { frameOf } from '../../src/host/frame-of.js';

const usage = { promptTokens: 5, cachedTokens: 2, completionTokens: 3 };
const timings = { queueMs: 1, prefillMs: 2, decodeMs: 3 };

function finished(reason: FinishReason, error?: Error): SequenceEvent {
  return { type: 'finished', reason, usage, timings, ...(error === undefined ? {} : { error }) };
}

function codeOf(event: SequenceEvent, cause?: Parameters<typeof frameOf>[1]): string {
  const frame = frameOf(event, cause);
  return frame.type === 'error' ? frame.error.code : frame.type;
}

describe('frameOf', () => {
  it('passes on what happens in a sequence', () => {
    expect(frameOf({ type: 'started', promptTokens: 9, cachedTokens: 4 }, undefined)).to.deep.equal({
      type: 'started',
      promptTokens: 9,
      cachedTokens: 4,
    });
    expect(frameOf({ type: 'prefill', doneTokens: 1, totalTokens: 9 }, undefined)).to.deep.equal({
      type: 'progress',
      doneTokens: 1,
      totalTokens: 9,
    });
    expect(frameOf({ type: 'tokens', firstIndex: 2, ids: [7, 8], text: 'hi' }, undefined)).to.deep.equal({
      type: 'delta',
      firstIndex: 2,
      ids: [7, 8],
      text: 'hi',
    });
  });

  it('ends an answer that came to its end as final, even when a cancel was on its way', () => {
    for (const reason of ['stop', 'length'] as const) {
      expect(frameOf(finished(reason), 'asked')).to.deep.equal({ type: 'final', reason, usage, timings });
    }
  });

  it('says cancelled, with usage, only when the gateway asked for it', () => {
    expect(frameOf(finished('cancelled'), 'asked')).to.deep.equal({ type: 'cancelled', usage, timings });
    expect(codeOf(finished('cancelled'), new LlamaestroError('deadline', 'late'))).to.equal('deadline');
    expect(codeOf(finished('cancelled'))).to.equal('draining');
  });

  it("keeps the engine's own error, and calls anything else our fault", () => {
    expect(codeOf(finished('error', new LlamaestroError('out_of_memory', 'no room')), 'asked')).to.equal(
      'out_of_memory',
    );
    expect(codeOf(finished('error', new Error('odd')))).to.equal('internal');
    expect(codeOf(finished('error'))).to.equal('internal');
  });
});
