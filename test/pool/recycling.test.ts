import { expect } from 'chai';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';
import { mayRecycle, recycleOrder } from '../../src/pool/recycling.js';

const HOUR_MS = 3_600_000;
const needs = { booked: { cpu: 100 }, taken: { cpu: 110 } };
const holder = {
  ...{ id: 'h', bytes: { cpu: 100 }, present: { cpu: 100 }, missing: {}, allocated: true },
};

describe('recycling', () => {
  it('comes at most once in its time', () => {
    expect(mayRecycle(undefined, 0, DEFAULT_LIMITS)).to.equal(true);
    expect(mayRecycle(5, HOUR_MS + 4, DEFAULT_LIMITS)).to.equal(false);
    expect(mayRecycle(5, HOUR_MS + 5, DEFAULT_LIMITS)).to.equal(true);
  });

  for (const [what, ceilingBytes, freeBytes, order] of [
    ['both fit', 200, 110, 'load-first'],
    ['the account has no room for both', 199, 1000, 'drain-first'],
    ['the device has no room for both', 1000, 109, 'drain-first'],
  ] as const) {
    it(`is ${order} when ${what}`, () => {
      expect(recycleOrder(needs, [{ id: 'cpu', ceilingBytes, freeBytes }], [holder])).to.equal(order);
    });
  }

  it('makes nobody else leave, and waits for nobody', () => {
    const other = { ...holder, id: 'i', bytes: { cpu: 60 }, present: {}, missing: { cpu: 60 }, allocated: false };
    const device = { id: 'cpu', ceilingBytes: 250, freeBytes: 200 };
    expect(recycleOrder(needs, [device], [holder, other])).to.equal('drain-first');
    expect(recycleOrder(needs, [{ ...device, ceilingBytes: 260 }], [holder, other])).to.equal('load-first');
  });
});
