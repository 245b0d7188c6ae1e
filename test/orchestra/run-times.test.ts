import { expect } from 'chai';
import { addTimes, NO_TIMES, PhaseWatch, roundedMs } from '../../src/orchestra/run-times.js';

describe('orchestra/run-times', () => {
  it('books each phase with the time spent in it, however often it is entered', () => {
    const watch = new PhaseWatch(100);
    watch.enter('load', 110);
    watch.enter('load', 120);
    watch.enter('queue', 150);
    watch.enter('prefill', 157);
    watch.enter('decode', 160);
    expect(watch.take(200)).to.deep.equal({ queueMs: 17, loadMs: 40, prefillMs: 3, decodeMs: 40 });
  });

  it('starts anew, in the queue, after its times were taken', () => {
    const watch = new PhaseWatch(0);
    watch.enter('load', 10);
    watch.take(30);
    expect(watch.take(34)).to.deep.equal({ ...NO_TIMES, queueMs: 4 });
  });

  it('is nothing at first', () => {
    expect(NO_TIMES).to.deep.equal({ queueMs: 0, loadMs: 0, prefillMs: 0, decodeMs: 0 });
  });

  it('adds what is there', () => {
    const sum = addTimes({ ...NO_TIMES, queueMs: 1 }, { queueMs: 2, decodeMs: 3 });
    expect(sum).to.deep.equal({ queueMs: 3, loadMs: 0, prefillMs: 0, decodeMs: 3 });
  });

  it('rounds to a tenth', () => {
    expect([0.04, 0.05, 12.3456].map(roundedMs)).to.deep.equal([0, 0.1, 12.3]);
  });
});
