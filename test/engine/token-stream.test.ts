import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { Engine, EngineInfo, SequenceEvent, SequenceRequest } from '../../src/engine/engine.js';
import { MAX_UNREAD_UNITS, generate } from '../../src/engine/token-stream.js';
import { expectError, say } from './run-sequence.js';

/** An engine whose one sequence says what the test makes it say. */
class Puppet {
  cancels = 0;
  submitted: SequenceRequest[] = [];
  private listener: (event: SequenceEvent) => void = () => undefined;
  readonly engine = {
    info: { purpose: 'generate', vocabSize: 100, contextTokensPerSlot: 50 } as EngineInfo,
    submit: (request: SequenceRequest, listener: (event: SequenceEvent) => void) => {
      this.submitted.push(request);
      this.listener = listener;
      return { id: 1, cancel: () => (this.cancels += 1) };
    },
    tokenize: async () => Uint32Array.of(1, 2, 3),
  } as unknown as Engine;

  say(text: string): void {
    this.listener({ type: 'tokens', firstIndex: 0, ids: [1], text });
  }

  finish(reason: 'stop' | 'cancelled' | 'error', error?: Error): void {
    this.listener({
      type: 'finished',
      reason,
      usage: { promptTokens: 1, cachedTokens: 0, completionTokens: 1 },
      timings: { queueMs: 0, prefillMs: 0, decodeMs: 0 },
      ...(error === undefined ? {} : { error }),
    });
  }
}

const REQUEST: SequenceRequest = { prompt: say('hi') };

describe('engine/token-stream', () => {
  it('serves readers in order, whoever comes first, text or reader', async () => {
    const puppet = new Puppet();
    const stream = generate(puppet.engine, REQUEST);
    const early = [stream.next(), stream.next()];
    puppet.say('a');
    puppet.say('');
    puppet.say('b');
    expect(await Promise.all(early)).to.deep.equal([
      { done: false, value: 'a' },
      { done: false, value: 'b' },
    ]);
    puppet.say('c');
    puppet.say('d');
    puppet.finish('stop');
    expect(await stream.next()).to.deep.equal({ done: false, value: 'cd' });
    expect((await stream.next()).done).to.equal(true);
    expect((await stream.result).text).to.equal('abcd');
  });

  it('throws the failure once to the reader, after the text before it, and rejects the result', async () => {
    const puppet = new Puppet();
    const stream = generate(puppet.engine, REQUEST);
    puppet.say('part');
    puppet.finish('error', new LlamaestroError('out_of_memory', 'no cells'));
    expect(await stream.next()).to.deep.equal({ done: false, value: 'part' });
    await expectError('out_of_memory', () => stream.next());
    expect((await stream.next()).done).to.equal(true);
    await expectError('out_of_memory', () => stream.result);
  });

  it('ends a reader that lags too far behind, and only a reader', async () => {
    const unread = new Puppet();
    const first = generate(unread.engine, REQUEST);
    unread.say('x'.repeat(MAX_UNREAD_UNITS + 1));
    unread.finish('stop');
    expect((await first.result).text).to.have.length(MAX_UNREAD_UNITS + 1);

    const slow = new Puppet();
    const second = generate(slow.engine, REQUEST);
    const reading = second.next();
    slow.say('a');
    await reading;
    slow.say('x'.repeat(MAX_UNREAD_UNITS));
    expect(slow.cancels).to.equal(0);
    slow.say('y');
    expect(slow.cancels).to.equal(1);
    slow.finish('cancelled');
    await expectError('client_too_slow', () => second.result);
  });

  it('lets go of the signal when the sequence is over', async () => {
    const puppet = new Puppet();
    const abort = new AbortController();
    const stream = generate(puppet.engine, REQUEST, abort.signal);
    puppet.finish('stop');
    await stream.result;
    abort.abort();
    expect(puppet.cancels).to.equal(0);
  });

  it('tokenises a long prompt before it submits, and submits nothing when cancelled meanwhile', async () => {
    const request = { ...REQUEST, prompt: say('long '.repeat(2000)) };
    const puppet = new Puppet();
    const stream = generate(puppet.engine, request);
    expect(puppet.submitted).to.deep.equal([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(puppet.submitted[0]?.prompt).to.deep.equal({ kind: 'tokens', tokens: [1, 2, 3] });
    stream.cancel();
    expect(puppet.cancels).to.equal(1);

    const other = new Puppet();
    const cancelled = generate(other.engine, request);
    cancelled.cancel();
    expect((await cancelled.result).reason).to.equal('cancelled');
    expect(other.submitted).to.deep.equal([]);
  });

  it('throws at once on a field it does not know', async () => {
    const { engine } = new Puppet();
    const misspelt = { ...REQUEST, max_tokens: 5 } as SequenceRequest;
    expect((await expectError('invalid_request', () => generate(engine, misspelt))).param).to.equal('max_tokens');
  });
});
