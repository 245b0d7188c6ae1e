import { expect } from 'chai';
import { LAG_SPAN_MS, lagAfter, NO_LAG, worstOf } from '../../src/pool/lag.js';

describe('lag', () => {
  it('remembers the worst for a span at least, and forgets it after two', () => {
    let lag = lagAfter(lagAfter(NO_LAG, 900, 100), 5, 200);
    expect(worstOf(lag)).to.equal(900);
    lag = lagAfter(lag, 3, LAG_SPAN_MS + 1);
    expect(worstOf(lag)).to.equal(900);
    lag = lagAfter(lag, 7, LAG_SPAN_MS + 2);
    expect(worstOf(lag)).to.equal(900);
    lag = lagAfter(lag, 2, 2 * LAG_SPAN_MS + 1);
    expect(worstOf(lag)).to.equal(7);
    expect(worstOf(NO_LAG)).to.equal(0);
  });
});
