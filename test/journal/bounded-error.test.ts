import { expect } from 'chai';
import { boundedError, MAX_STORED_DETAILS, MAX_STORED_MESSAGE } from '../../src/journal/bounded-error.js';

describe('bounded errors', () => {
  const error = { code: 'internal', message: 'm', remedy: 'r' } as const;

  it('leave what is small alone', () => {
    const full = { ...error, param: 'p', details: { count: 1 } };
    expect(boundedError(full)).to.deep.equal(full);
  });

  it('cut what is large', () => {
    const large = boundedError({
      ...error,
      message: 'x'.repeat(99_999),
      details: { x: 'y'.repeat(MAX_STORED_DETAILS) },
    });
    expect(large.message).to.have.length(MAX_STORED_MESSAGE);
    expect(large).not.to.have.property('details');
  });
});
