/** When requests wait for nobody's work, and when their waiting is all right. */
import { expect } from 'chai';
import { silentLogger } from '../../src/base/log.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';
import { complaintsOf, neglectOf, neglectsAfter, Watchdog, type Line } from '../../src/pool/watchdog.js';

const ready: Line = {
  ...{ model: 'a', state: 'ready', waiting: 1, leased: 2, slots: 2 },
  ...{ isPlacing: false, isInLine: false, isHeld: false, overdueMs: 0 },
};
const placing: Line = { ...ready, state: 'starting', isPlacing: true, isInLine: true };

const CASES: readonly (readonly [string, Line, boolean])[] = [
  ['a full model', ready, false],
  ['a model with a free slot', { ...ready, leased: 1 }, true],
  ['a model that leaves soon', { ...ready, leased: 0, isHeld: true }, false],
  ['a model that nobody loads', { ...ready, state: 'unloaded', leased: 0, slots: 0 }, true],
  ['a load that waits for bytes in line', placing, false],
  ['a load that waits in no line', { ...placing, isInLine: false }, true],
  ['a process that starts', { ...placing, isPlacing: false, isInLine: false }, false],
  ['a load', { ...ready, state: 'loading' }, false],
  ['a process on its way out', { ...ready, state: 'stopping' }, false],
  ['a drain with leases out', { ...ready, state: 'draining', leased: 1 }, false],
  ['a drain that waits for nothing', { ...ready, state: 'draining', leased: 0 }, true],
  ['a pause after a failure', { ...ready, state: 'failed', overdueMs: -500 }, false],
  ['a pause that is over', { ...ready, state: 'failed', overdueMs: 1 }, true],
];

describe('watchdog', () => {
  for (const [name, line, isNeglect] of CASES) {
    it(`${isNeglect ? 'sees neglect in' : 'accepts'} ${name}`, () => {
      expect(neglectOf(line) !== undefined).to.equal(isNeglect);
      expect(neglectOf({ ...line, waiting: 0 }), 'nobody waits').to.equal(undefined);
    });
  }

  it('complains of what lasts, and begins anew when the reason changes or is gone', () => {
    const free = { ...ready, leased: 0 };
    const first = neglectsAfter([], [free], 1000);
    const limits = DEFAULT_LIMITS;
    expect(complaintsOf(first, 10_999, limits)).to.deep.equal([]);
    const later = neglectsAfter(first, [free], 11_000);
    expect(complaintsOf(later, 11_000, limits)).to.deep.equal([
      { model: 'a', why: 'its slots are free', sinceMs: 1000 },
    ]);
    expect(neglectsAfter(later, [ready], 12_000)).to.deep.equal([]);
    const other = neglectsAfter(later, [{ ...free, state: 'unloaded' }], 12_000);
    expect(other.map(({ sinceMs }) => sinceMs)).to.deep.equal([12_000]);
  });

  it('says it once, shakes whom it concerns, and says when it is over', () => {
    const said: string[] = [];
    const say = (message: string): void => void said.push(message);
    const log = { ...silentLogger, error: say, warn: say };
    let nowMs = 0;
    let roused = 0;
    let line = { ...ready, leased: 0 };
    const lines = (): readonly (Line & { rouse: () => void })[] => [
      { ...line, rouse: () => void roused++ },
      { ...ready, model: 'b', rouse: () => expect.fail('nothing is wrong with b') },
    ];
    const dog = new Watchdog({ log, limits: DEFAULT_LIMITS, awakeMs: () => nowMs, lines });
    for (; nowMs <= 12_000; nowMs += 500) dog.look();
    expect(said).to.deep.equal(['the scheduler lost sight of requests']);
    expect(roused).to.equal(5);
    expect(dog.complaints.map(({ model }) => model)).to.deep.equal(['a']);
    line = ready;
    dog.look();
    expect(said.at(-1)).to.equal('the scheduler sees all requests again');
    expect(dog.complaints).to.deep.equal([]);
    dog.look();
    expect(said).to.have.length(2);
  });
});
