/** What a plan is corrected by: never below the simulation, and not by one wild measurement. */
import { expect } from 'chai';
import fc from 'fast-check';
import { COUNTED_SAMPLES, correctionOf, type MemorySample } from '../../src/pool/correction.js';

const GIB = 2 ** 30;

function seen(plannedBytes: number, measuredBytes: number, peakBytes = measuredBytes): MemorySample {
  return { plannedBytes, measuredBytes, peakBytes };
}

describe('correction', () => {
  it('is nothing while nothing was measured', () => {
    expect(correctionOf([], 100)).to.deep.equal({ learnedBytes: 0, growthBytes: 0 });
    expect(correctionOf([{ plannedBytes: 100 }], 100)).to.deep.equal({ learnedBytes: 0, growthBytes: 0 });
  });

  it('adds what such a load took beyond its plan, and what it grew by', () => {
    expect(correctionOf([seen(100, 130, 150)], 200)).to.deep.equal({ learnedBytes: 30, growthBytes: 20 });
    // Less was touched than planned; it grew within the plan first.
    expect(correctionOf([seen(100, 60, 110)], 100)).to.deep.equal({ learnedBytes: 0, growthBytes: 10 });
  });

  it('goes by the latest few, and is not moved by one that others disturbed', () => {
    const calm = [seen(100, 110), seen(100, 112), seen(100, 9000), seen(100, 111), seen(100, 109)];
    expect(correctionOf(calm, 100).learnedBytes).to.equal(11);
    const old = Array.from({ length: 10 }, () => seen(100, 500));
    expect(correctionOf([...calm, ...old], 100).learnedBytes).to.equal(11);
  });

  it('takes nothing off, stays within its bound, and follows what is always the same', () => {
    const bytes = fc.nat(64 * GIB);
    const sample = fc.record(
      { plannedBytes: bytes, measuredBytes: bytes, peakBytes: bytes },
      { requiredKeys: ['plannedBytes'] },
    );
    fc.assert(
      fc.property(fc.array(sample, { maxLength: 12 }), bytes, (samples, planned) => {
        const { learnedBytes, growthBytes } = correctionOf(samples, planned);
        for (const part of [learnedBytes, growthBytes]) expect(part).to.be.within(0, Math.max(GIB, planned / 4));
        const [first] = samples;
        if (first?.measuredBytes === undefined) return;
        const same = Array.from({ length: COUNTED_SAMPLES }, () => first);
        const over = Math.max(0, first.measuredBytes - first.plannedBytes);
        expect(correctionOf(same, planned).learnedBytes).to.equal(Math.min(over, Math.max(GIB, planned / 4)));
      }),
    );
  });
});
