import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { NativeBatch, NativeFinished } from '../../src/engine/addon-types.js';
import type { SequenceEvent, TokenLogprob } from '../../src/engine/engine.js';
import { fromNative, readBatch, toNativePrompt, toNativeRequest } from '../../src/engine/step-batch.js';

const FINISHED: NativeFinished = {
  reason: 1,
  promptTokens: 9,
  cachedTokens: 4,
  completionTokens: 3,
  queueMs: 0.5,
  prefillMs: 2,
  decodeMs: 8,
};

function batch(
  rows: readonly (readonly number[])[],
  rest: Partial<NativeBatch> & { tokens?: readonly number[] },
): NativeBatch {
  const { tokens = [], ...others } = rest;
  const words = Uint32Array.from([...rows.flat(), ...tokens]);
  return { engine: 1, rows: rows.length, words, texts: [], finished: [], jobs: [], logprobs: [], parts: [], ...others };
}

function read(from: NativeBatch): [number, SequenceEvent][] {
  const events: [number, SequenceEvent][] = [];
  readBatch(from, (id, event) => events.push([id, event]));
  return events;
}

describe('engine/step-batch', () => {
  it('gives each row what was thought and called in it', () => {
    const toolCalls = [{ index: 0, id: 'call_1', name: 'f', arguments: '{' }];
    const events = read(
      batch(
        [
          [5, 2, 0, 0, 1],
          [6, 2, 0, 0, 1],
          [5, 2, 1, 0, 1],
        ],
        {
          tokens: [1, 2, 3],
          texts: ['', 'b', ''],
          parts: [
            { row: 0, reasoning: 'Hm' },
            { row: 2, toolCalls },
          ],
        },
      ),
    );
    expect(events.map(([, event]) => event)).to.deep.equal([
      { type: 'tokens', firstIndex: 0, ids: [1], text: '', reasoning: 'Hm' },
      { type: 'tokens', firstIndex: 0, ids: [2], text: 'b' },
      { type: 'tokens', firstIndex: 1, ids: [3], text: '', toolCalls },
    ]);
  });

  it('gives each row its own ids and text', () => {
    const events = read(
      batch(
        [
          [5, 0, 9, 4, 0],
          [5, 1, 9, 9, 0],
          [5, 2, 0, 0, 2],
          [6, 2, 7, 0, 0],
          [5, 2, 2, 0, 1],
        ],
        { tokens: [11, 12, 13], texts: ['héllo', '', '!'] },
      ),
    );
    expect(events).to.deep.equal([
      [5, { type: 'started', promptTokens: 9, cachedTokens: 4 }],
      [5, { type: 'prefill', doneTokens: 9, totalTokens: 9 }],
      [5, { type: 'tokens', firstIndex: 0, ids: [11, 12], text: 'héllo' }],
      [6, { type: 'tokens', firstIndex: 7, ids: [], text: '' }],
      [5, { type: 'tokens', firstIndex: 2, ids: [13], text: '!' }],
    ]);
  });

  it('gives each row the log probabilities of its own tokens', () => {
    const of = (id: number): TokenLogprob => ({ id, logprob: -1, bytes: Uint8Array.of(id), top: [] });
    const events = read(
      batch(
        [
          [5, 2, 0, 2, 2],
          [6, 2, 7, 1, 1],
          [5, 2, 2, 1, 1],
        ],
        {
          tokens: [11, 12, 13, 14],
          texts: ['a', 'b', 'c'],
          logprobs: [
            { row: 0, logprob: of(11) },
            { row: 0, logprob: of(12) },
            { row: 2, logprob: of(14) },
          ],
        },
      ),
    );
    const logprobs = events.map(([, event]) => (event.type === 'tokens' ? event.logprobs : undefined));
    expect(logprobs).to.deep.equal([[of(11), of(12)], undefined, [of(14)]]);
  });

  it('sends biases as pairs and a schema as its text', () => {
    const prompt = { kind: 'text', text: 'hi' } as const;
    const native = toNativeRequest({ prompt, topK: 3, logitBias: { 7: -1.5, 9: 2 }, jsonSchema: { type: 'null' } });
    expect(native).to.deep.equal({
      prompt,
      topK: 3,
      logitBias: Float64Array.of(7, -1.5, 9, 2),
      jsonSchema: '{"type":"null"}',
    });
  });

  it('names every reason, and carries the stop string and the error where there is one', () => {
    const nativeError = Object.assign(new Error('the cells ran out'), { code: 'internal', details: { cells: 3 } });
    const finished = [
      { ...FINISHED, reason: 0, stopString: 'END' },
      FINISHED,
      { ...FINISHED, reason: 2 },
      { ...FINISHED, reason: 3, error: nativeError },
    ];
    const rows = finished.map((_, index) => [index + 1, 3, index, 0, 0]);
    const events = read(batch(rows, { finished })).map(([, event]) => event);
    expect(events.map((event) => event.type === 'finished' && event.reason)).to.deep.equal([
      'stop',
      'length',
      'cancelled',
      'error',
    ]);
    expect(events[0]).to.include({ stopString: 'END' });
    expect(events[1]).to.deep.equal({
      type: 'finished',
      reason: 'length',
      usage: { promptTokens: 9, cachedTokens: 4, completionTokens: 3 },
      timings: { queueMs: 0.5, prefillMs: 2, decodeMs: 8 },
    });
    const [last] = events.slice(-1);
    const error = last?.type === 'finished' ? last.error : undefined;
    expect(error).to.be.instanceOf(LlamaestroError);
    expect(error).to.deep.include({ code: 'internal', details: { cells: 3 } });
  });

  it('stops at a row it does not know, a finished row that is not there, a reason without a name', () => {
    expect(() => read(batch([[1, 9, 0, 0, 0]], {}))).to.throw(/unknown kind/);
    expect(() => read(batch([[1, 3, 0, 0, 0]], {}))).to.throw(/missing/);
    expect(() => read(batch([[1, 3, 0, 0, 0]], { finished: [{ ...FINISHED, reason: 5 }] }))).to.throw(/reason/);
  });

  it('keeps code, field and counts of a native error; a code outside the list becomes internal', () => {
    const native = Object.assign(new Error('too long'), {
      code: 'context_length_exceeded',
      param: 'prompt',
      details: { promptTokens: 7 },
    });
    expect(fromNative(native)).to.deep.include({
      code: 'context_length_exceeded',
      message: 'too long',
      param: 'prompt',
      details: { promptTokens: 7 },
    });
    const typeError = new TypeError('A string was expected');
    expect(fromNative(typeError)).to.include({ code: 'internal', message: 'A string was expected', cause: typeError });
    expect(fromNative(Object.assign(new Error('x'), { code: 'EBADF' })).code).to.equal('internal');
    expect(fromNative('just words').message).to.equal('just words');
    const ours = new LlamaestroError('cancelled', 'x');
    expect(fromNative(ours)).to.equal(ours);
  });

  it('sends token ids as doubles and leaves texts alone', () => {
    expect(toNativePrompt({ kind: 'tokens', tokens: [1, 2 ** 31] }).tokens).to.deep.equal(Float64Array.of(1, 2 ** 31));
    const text = { kind: 'text', text: 'a' } as const;
    expect(toNativePrompt(text)).to.equal(text);
  });
});
