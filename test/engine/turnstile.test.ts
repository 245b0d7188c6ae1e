/** The line in front of calls that only a few may run of. */
import { expect } from 'chai';
import { Turnstile } from '../../src/engine/turnstile.js';
import { expectError } from './run-sequence.js';

/** A call that ends when told to. */
function openCall(): {
  work: () => Promise<string>;
  begun: () => boolean;
  end: (value: string) => void;
  fail: () => void;
} {
  let begun = false;
  let end: (value: string) => void = () => undefined;
  let fail: () => void = () => undefined;
  const ended = new Promise<string>((resolve, reject) => {
    end = resolve;
    fail = () => {
      reject(new Error('failed'));
    };
  });
  const work = (): Promise<string> => {
    begun = true;
    return ended;
  };
  return { work, begun: () => begun, end: (value) => end(value), fail: () => fail() };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

describe('turnstile', () => {
  it('lets so many run, and the others in their order as those end', async () => {
    const line = new Turnstile(2, 10);
    const calls = [openCall(), openCall(), openCall(), openCall()] as const;
    const results = calls.map(({ work }) => line.run(work));
    await settle();
    expect(calls.map(({ begun }) => begun())).to.deep.equal([true, true, false, false]);
    calls[1].end('b');
    await settle();
    expect(calls.map(({ begun }) => begun())).to.deep.equal([true, true, true, false]);
    for (const [index, name] of ['a', 'b', 'c', 'd'].entries()) calls[index]?.end(name);
    expect(await Promise.all(results)).to.deep.equal(['a', 'b', 'c', 'd']);
  });

  it('passes the place on when a call fails, or throws before it begins', async () => {
    const line = new Turnstile(1, 10);
    const [first, last] = [openCall(), openCall()];
    const failed = line.run(first.work).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    const threw = line
      .run(() => {
        throw new Error('at once');
      })
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    const result = line.run(last.work);
    first.fail();
    expect(await failed).to.include({ message: 'failed' });
    expect(await threw).to.include({ message: 'at once' });
    last.end('done');
    expect(await result).to.equal('done');
    expect(await line.run(() => Promise.resolve(1))).to.equal(1);
  });

  it('refuses whoever finds the line full, and lets go of whoever gives up waiting', async () => {
    const line = new Turnstile(1, 1);
    const first = openCall();
    const result = line.run(first.work);
    const [quitter, late] = [openCall(), openCall()];
    const controller = new AbortController();
    const waiting = expectError('cancelled', () => line.run(quitter.work, controller.signal));
    await expectError('queue_full', () => line.run(late.work));
    await expectError('cancelled', () => line.run(late.work, AbortSignal.abort()));
    controller.abort();
    await waiting;
    const next = line.run(late.work);
    first.end('one');
    late.end('two');
    expect(await Promise.all([result, next])).to.deep.equal(['one', 'two']);
    expect(quitter.begun()).to.equal(false);
  });
});
