/** The cheapest sufficient set: against every set for few, sound for many. */
import { expect } from 'chai';
import fc from 'fast-check';
import { cheapestSet } from '../../src/pool/victims.js';

interface Item {
  readonly id: string;
  readonly cost: number;
  readonly size: number;
}

const items = (most: number): fc.Arbitrary<readonly Item[]> =>
  fc
    .array(fc.record({ cost: fc.nat(50), size: fc.nat(50) }), { maxLength: most })
    .map((list) => list.map((entry, index) => ({ id: `i${index}`, ...entry })));

function sum(list: readonly Item[], of: 'cost' | 'size'): number {
  return list.reduce((total, item) => total + item[of], 0);
}

function subsets(list: readonly Item[]): readonly (readonly Item[])[] {
  return list.reduce<readonly (readonly Item[])[]>(
    (sets, item) => [...sets, ...sets.map((set) => [...set, item])],
    [[]],
  );
}

describe('victims', () => {
  it('is nobody when nothing is needed, and none when all are not enough', () => {
    const list = [{ id: 'a', cost: 1, size: 1 }];
    expect(cheapestSet(list, () => true)).to.deep.equal([]);
    expect(cheapestSet(list, () => false)).to.equal(undefined);
  });

  it('prefers fewer members, then smaller ones, at an equal cost', () => {
    const list = [
      { id: 'one', cost: 0, size: 5 },
      { id: 'two', cost: 0, size: 5 },
      { id: 'both', cost: 0, size: 12 },
      { id: 'huge', cost: 0, size: 90 },
    ];
    expect(cheapestSet(list, (set) => sum(set, 'size') >= 10)).to.deep.equal([list[2]]);
  });

  it('is the cheapest of all sufficient sets', () => {
    fc.assert(
      fc.property(items(9), fc.nat(200), (list, needed) => {
        const enough = (set: readonly Item[]): boolean => sum(set, 'size') >= needed;
        const costs = subsets(list)
          .filter(enough)
          .map((set) => sum(set, 'cost'));
        const found = cheapestSet(list, enough);
        expect(found === undefined).to.equal(costs.length === 0);
        if (found !== undefined) expect(sum(found, 'cost')).to.equal(Math.min(...costs));
      }),
    );
  });

  it('finds a set without a needless member among many, after a bounded number of looks', () => {
    fc.assert(
      fc.property(items(60), fc.nat(800), (list, needed) => {
        let looks = 0;
        const enough = (set: readonly Item[]): boolean => (looks++, sum(set, 'size') >= needed);
        const found = cheapestSet(list, enough);
        expect(looks).to.be.below(10_000);
        expect(found !== undefined).to.equal(sum(list, 'size') >= needed);
        for (const one of found ?? []) expect(enough(found!.filter((other) => other !== one))).to.equal(false);
      }),
      { numRuns: 30 },
    );
  });
});
