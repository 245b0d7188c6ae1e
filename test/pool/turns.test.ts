import { expect } from 'chai';
import fc from 'fast-check';
import { dueOf, joined, NO_TURNS, served, tidied, type Turns } from '../../src/pool/turns.js';

const COSTS = new Map([
  ['often', 1],
  ['seldom', 5],
]);

/** The flow whose turn it is, of all in `costs`. */
function next(turns: Turns, costs: ReadonlyMap<string, number>): string {
  const due = [...costs].map(([flow, cost]) => ({ flow, at: dueOf(turns, flow, 0, cost) }));
  due.sort((one, other) => one.at - other.at);
  return due[0]?.flow ?? '';
}

describe('turns', () => {
  it('shares by cost while all wait', () => {
    let turns = [...COSTS.keys()].reduce(joined, NO_TURNS);
    const taken: string[] = [];
    for (let turn = 0; turn < 24; turn++) {
      taken.push(next(turns, COSTS));
      turns = served(turns, taken.at(-1) ?? '', COSTS);
    }
    expect(taken.filter((flow) => flow === 'seldom')).to.have.length(4);
    expect(taken.indexOf('seldom')).to.be.below(6);
  });

  it('owes nothing to who comes late, and forgives nothing to who was early', () => {
    let turns = joined(NO_TURNS, 'early');
    for (let turn = 0; turn < 7; turn++) turns = served(turns, 'early', new Map([['early', 1]]));
    turns = joined(turns, 'late');
    expect(dueOf(turns, 'late', 0, 1)).to.equal(8);
    turns = served(
      turns,
      'late',
      new Map([
        ['late', 1],
        ['early', 1],
      ]),
    );
    expect(dueOf(joined(turns, 'late'), 'late', 0, 1)).to.equal(9);
  });

  it('forgets who neither waits nor is ahead', () => {
    const both = ['a', 'b'].reduce(joined, NO_TURNS);
    const ahead = served(
      both,
      'a',
      new Map([
        ['a', 1],
        ['b', 1],
      ]),
    );
    expect([...tidied(ahead, new Set(['b'])).marks.keys()], 'a is ahead').to.deep.equal(['a', 'b']);
    expect([...tidied(ahead, new Set()).marks.keys()]).to.deep.equal(['a']);
    expect([...tidied(both, new Set()).marks.keys()]).to.deep.equal([]);
  });

  it('lets nobody have a turn who does not wait', () => {
    expect(() => served(NO_TURNS, 'a', new Map([['a', 1]]))).to.throw('without waiting');
    expect(() => served(joined(NO_TURNS, 'a'), 'a', COSTS)).to.throw('without waiting');
  });

  it('keeps whole marks, and nobody who waits falls behind the level by more than the turns of the others', () => {
    const flows = ['a', 'b', 'c'];
    const costs = fc.tuple(...flows.map(() => fc.integer({ min: 1, max: 20 })));
    fc.assert(
      fc.property(costs, fc.integer({ min: 1, max: 200 }), (each, turnsTaken) => {
        const known = new Map(flows.map((flow, index) => [flow, each[index] ?? 1]));
        let turns = flows.reduce(joined, NO_TURNS);
        for (let turn = 0; turn < turnsTaken; turn++) turns = served(turns, next(turns, known), known);
        for (const [flow, mark] of turns.marks) {
          expect(Number.isInteger(mark)).to.equal(true);
          expect(turns.level - mark, `${flow} is owed`).to.be.below(Math.max(...each) + 1);
        }
      }),
    );
  });
});
