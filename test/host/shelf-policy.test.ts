import { expect } from 'chai';
import fc from 'fast-check';
import { tooMany, type ShelfFile } from '../../src/host/shelf-policy.js';

const file = (name: string, bytes: number, usedAtMs: number): ShelfFile => ({ name, bytes, usedAtMs });
const LIMITS = { maxBytes: 100, maxAgeMs: 1000, nowMs: 5000 };
const names = (files: readonly ShelfFile[]): string[] => files.map(({ name }) => name);

describe('shelf-policy', () => {
  it('keeps everything within the limits', () => {
    expect(tooMany([file('a', 60, 4500), file('b', 40, 4000)], LIMITS)).to.deep.equal([]);
  });

  it('lets the least recently used go first', () => {
    expect(names(tooMany([file('old', 50, 4100), file('new', 60, 4900), file('mid', 30, 4500)], LIMITS))).to.deep.equal(
      ['old'],
    );
  });

  it('lets go what is too old, however small, and what alone is too large', () => {
    expect(
      names(tooMany([file('ancient', 1, 3999), file('huge', 101, 4900), file('small', 1, 4000)], LIMITS)),
    ).to.deep.equal(['huge', 'ancient']);
  });

  it('leaves no more than the limit, whatever there is', () => {
    const files = fc.array(fc.record({ name: fc.uuid(), bytes: fc.nat(80), usedAtMs: fc.nat(5000) }));
    fc.assert(
      fc.property(files, (all) => {
        const gone = new Set(tooMany(all, LIMITS));
        const kept = all.filter((one) => !gone.has(one));
        expect(kept.reduce((sum, { bytes }) => sum + bytes, 0)).to.be.at.most(LIMITS.maxBytes);
        expect(kept.every(({ usedAtMs }) => usedAtMs >= 4000)).to.equal(true);
      }),
    );
  });
});
