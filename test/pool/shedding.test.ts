import { expect } from 'chai';
import { shedOf, type Outlook } from '../../src/pool/shedding.js';

const PATIENCE = { budgetMs: 10_000, queueMs: 4000 };
const outlook = (waitMs: number | undefined, loadMs?: number): Outlook => ({ position: 3, waitMs, loadMs });

const cases: [string, Outlook, object | undefined][] = [
  ['a wait that nobody can tell', outlook(undefined), undefined],
  ['a wait within both limits', outlook(4000), undefined],
  ['a queue beyond its limit', outlook(6500), { estimatedMs: 6500, budgetMs: 4000, retryAfterMs: 2500 }],
  ['a load, which is not the queue', outlook(9000, 8000), undefined],
  [
    'a load and a queue beyond the limit',
    outlook(9000, 4500),
    { estimatedMs: 4500, budgetMs: 4000, retryAfterMs: 1000 },
  ],
  ['a load beyond the budget', outlook(12_000, 12_000), { estimatedMs: 12_000, budgetMs: 10_000, retryAfterMs: 2000 }],
  ['a wait exactly as long as it may be', outlook(10_000, 6000), undefined],
];

describe('shedding', () => {
  for (const [what, seen, said] of cases) {
    it(`${said === undefined ? 'lets in' : 'refuses'}: ${what}`, () => {
      expect(shedOf(seen, PATIENCE)).to.deep.equal(said === undefined ? undefined : { position: 3, ...said });
    });
  }

  it('tells whole milliseconds, and a time to come again of a second at least', () => {
    const shed = shedOf({ position: 1, waitMs: 100.4, loadMs: 0 }, { budgetMs: 99.6, queueMs: Infinity });
    expect(shed).to.deep.equal({ position: 1, estimatedMs: 100, budgetMs: 100, retryAfterMs: 1000 });
  });
});
