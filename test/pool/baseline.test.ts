/** Which speeds are compared, what becomes usual, and when a host counts as slow. */
import { expect } from 'chai';
import {
  isDegraded,
  isKnown,
  learned,
  pacedBy,
  sampleBetween,
  speedKey,
  USUAL_PACE,
  type Pace,
  type SpeedReading,
  type Usual,
} from '../../src/pool/baseline.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';

const from: SpeedReading = {
  ...{ atMs: 1000, generatedTokens: 100, promptTokens: 500, running: 2, waiting: 0, cells: 600, others: 0 },
};
const to: SpeedReading = { ...from, atMs: 2000, generatedTokens: 140 };
const sample = (tokensPerS: number): { key: string; tokensPerS: number } => ({ key: 'k', tokensPerS });

describe('baseline', () => {
  it('makes a speed of what was decoded between two readings', () => {
    expect(sampleBetween(from, to)).to.deep.equal({ key: speedKey(from), tokensPerS: 40 });
  });

  for (const [what, later, answer] of [
    ['too few tokens', { ...to, generatedTokens: 119 }, 'wait'],
    ['too short a time', { ...to, atMs: 1499 }, 'wait'],
    ['nobody who decodes', { ...to, running: 0 }, 'anew'],
    ['another number of sequences', { ...to, running: 3 }, 'anew'],
    ['a prompt in between', { ...to, promptTokens: 501 }, 'anew'],
    ['somebody who waits to begin', { ...to, waiting: 1 }, 'anew'],
    ['contexts of another class', { ...to, cells: 1200 }, 'anew'],
    ['another host that works', { ...to, others: 1 }, 'anew'],
    ['a new process', { ...to, generatedTokens: 40 }, 'anew'],
  ] as const) {
    it(`makes none of ${what}`, () => expect(sampleBetween(from, later)).to.equal(answer));
  }

  it('makes none while another host works, however long it does', () => {
    expect(sampleBetween({ ...from, others: 1 }, { ...to, others: 1 })).to.equal('anew');
    expect(sampleBetween({ ...from, others: 1 }, to)).to.equal('anew');
  });

  it('puts contexts into one class that differ by less than the double, per sequence', () => {
    const classOf = (cells: number, running = 1): string => speedKey({ ...from, cells, running });
    expect(classOf(513)).to.equal(classOf(1024));
    expect(classOf(512)).to.not.equal(classOf(513));
    expect(classOf(0)).to.equal(classOf(1));
  });

  it('learns the mean of the first samples, then believes the faster ones soon and the slower ones late', () => {
    let usual: Usual | undefined;
    for (let index = 1; index <= 9; index++) {
      usual = learned(usual, sample(index * 10));
      expect(isKnown(usual)).to.equal(false);
    }
    usual = learned(usual, sample(100));
    expect(usual).to.deep.equal({ tokensPerS: 55, samples: 10 });
    expect(isKnown(usual)).to.equal(true);
    expect(learned(usual, sample(155)).tokensPerS).to.equal(65);
    expect(learned(usual, sample(5)).tokensPerS).to.equal(54.9);
  });

  it('calls a host slow below the limit, worn out after a time and so many samples, and well again above it', () => {
    const usual = { tokensPerS: 100, samples: 50 };
    const limits = DEFAULT_LIMITS;
    let pace: Pace = USUAL_PACE;
    let nowMs = 0;
    const go = (tokensPerS: number, times: number, everyMs = 3000): void => {
      for (let index = 0; index < times; index++) {
        nowMs += everyMs;
        pace = pacedBy(pace, sample(tokensPerS), usual, nowMs, limits);
      }
    };
    go(55, 100);
    expect(pace.slow, 'a little slower is not slow').to.equal(undefined);
    go(30, 3);
    expect(pace.slow?.samples).to.be.greaterThan(0);
    go(30, 19, 2000);
    expect(isDegraded(pace, nowMs, limits), 'not for long enough').to.equal(false);
    go(30, 10);
    expect(isDegraded(pace, nowMs, limits)).to.equal(true);
    go(100, 1);
    go(100, 1);
    expect(isDegraded(pace, nowMs, limits)).to.equal(false);
    expect(pace.slow).to.equal(undefined);
    go(10, 10, 20_000);
    expect(isDegraded(pace, nowMs, limits), 'long enough, too few samples').to.equal(false);
  });
});
