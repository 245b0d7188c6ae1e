import { expect } from 'chai';
import { creepOf, lookedAgain } from '../../src/pool/creep.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';

const MIB = 2 ** 20;
const LIMITS = DEFAULT_LIMITS;
const { creepLooks } = LIMITS;
const mib = (...values: number[]): number[] => values.map((value) => value * MIB);
const growing = mib(1000, 1100, 1200, 1300, 1400, 1600);

describe('creep', () => {
  it('keeps as many looks as count', () => {
    expect(growing).to.have.length(creepLooks);
    expect(lookedAgain(growing, 5, LIMITS)).to.deep.equal([...growing.slice(1), 5]);
    expect(lookedAgain([], 5, LIMITS)).to.deep.equal([5]);
  });

  it('is growth at every look, beyond share and bytes of what may be counted on', () => {
    expect(creepOf(growing, 1000 * MIB, LIMITS)).to.equal(600 * MIB);
  });

  for (const [what, looks, bound] of [
    ['too few looks', growing.slice(1), 1000],
    ['no look', [], 1000],
    ['growth within the bytes', growing, 1088],
    ['growth within the share of a large model', growing.map((bytes) => bytes + 4000 * MIB), 4600],
    ['a lot that was taken at once', mib(1600, 1600, 1600, 1600, 1600, 1600), 1000],
    ['growth that has come to an end', mib(1000, 1200, 1400, 1600, 1600, 1600), 1000],
    ['growth with a step back', mib(1000, 1200, 1100, 1300, 1500, 1600), 1000],
  ] as const) {
    it(`is not ${what}`, () => expect(creepOf(looks, bound * MIB, LIMITS)).to.equal(undefined));
  }
});
