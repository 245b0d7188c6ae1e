import { expect } from 'chai';
import { estimateWaits, type WaitFacts } from '../../src/pool/wait-estimate.js';

const IDLE: WaitFacts = { slots: 2, leaseMs: [], heldMs: [] };

describe('wait-estimate', () => {
  it('knows nothing before the first lease has ended and the first load begun', () => {
    expect(estimateWaits({ ...IDLE, heldMs: [5, 5] }, 2)).to.deep.equal([undefined, undefined]);
    const load = { elapsedMs: 100, fraction: 0, lastMs: undefined };
    expect(estimateWaits({ ...IDLE, load }, 1)).to.deep.equal([undefined]);
  });

  it('gives free slots away at once, and the next ones when those are back', () => {
    expect(estimateWaits(IDLE, 3)).to.deep.equal([0, 0, undefined]);
    expect(estimateWaits({ ...IDLE, leaseMs: [100, 300] }, 5)).to.deep.equal([0, 0, 200, 200, 400]);
  });

  it('waits for the slot that is free first, in order of the queue', () => {
    const facts = { slots: 2, leaseMs: [1000], heldMs: [100, 700] };
    expect(estimateWaits(facts, 4)).to.deep.equal([300, 900, 1300, 1900]);
  });

  it('does not promise that what is overdue ends now', () => {
    expect(estimateWaits({ slots: 1, leaseMs: [1000], heldMs: [5000] }, 1)).to.deep.equal([500]);
  });

  it('goes by the progress of a load, and before that by the last one', () => {
    const loading = (fraction: number, lastMs?: number): readonly (number | undefined)[] =>
      estimateWaits({ slots: 1, leaseMs: [50], heldMs: [], load: { elapsedMs: 400, fraction, lastMs } }, 2);
    expect(loading(0.25)).to.deep.equal([1200, 1250]);
    expect(loading(0, 900)).to.deep.equal([500, 550]);
    expect(loading(0.8, 900)).to.deep.equal([100, 150]);
  });
});
