/** What a model is worth keeping, and when it may go. */
import { expect } from 'chai';
import fc from 'fast-check';
import { COLD, costOfLosing, heatAt, idleUntilMs, leastUntilMs, reloadMsOf, warmed } from '../../src/pool/worth.js';

describe('worth', () => {
  it('lets use fade by half each half-life', () => {
    const often = [0, 0, 0, 0].reduce((heat, at) => warmed(heat, at, 1000), COLD);
    const once = warmed(COLD, 3000, 1000);
    expect(heatAt(often, 0, 1000)).to.equal(4);
    expect(heatAt(often, 3000, 1000)).to.equal(0.5);
    expect(heatAt(once, 3000, 1000)).to.be.above(heatAt(often, 3000, 1000));
  });

  it('weighs the load time by the chance of another use: certain at a high rate, none when never used', () => {
    const cost = (heat: number, reloadMs = 1000, priority = 5): number => costOfLosing({ reloadMs, heat, priority });
    expect([cost(0), cost(1)]).to.deep.equal([0, 500]);
    expect(cost(20)).to.be.closeTo(1000, 0.01);
    expect(cost(1, 4000), 'a slow one used as often').to.equal(2000);
    expect(cost(1, 1000, 7) / cost(1, 1000, 5)).to.equal(2.25);
  });

  it('is least recently used where all else is equal', () => {
    const age = fc.double({ min: 0, max: 1e6, noNaN: true });
    fc.assert(
      fc.property(age, age, (one, other) => {
        const cost = (ageMs: number): number =>
          costOfLosing({ reloadMs: 1000, heat: heatAt({ value: 1, atMs: -ageMs }, 0, 60_000), priority: 5 });
        expect(cost(one) >= cost(other)).to.equal(one <= other || cost(one) === cost(other));
      }),
    );
  });

  it('guesses a load nobody measured from its bytes', () => {
    expect([reloadMsOf(undefined, 2 ** 30), reloadMsOf(70, 2 ** 30)]).to.deep.equal([2000, 70]);
  });

  it('keeps a model three times as long as its load took, up to a limit', () => {
    expect([leastUntilMs(100, 50, 10_000), leastUntilMs(100, 50_000, 10_000)]).to.deep.equal([250, 10_100]);
  });

  it('ends idleness after its time, for what is not kept and not in use', () => {
    const idle = { isKept: false, idleSinceMs: 100, ttlMs: 50 };
    expect(idleUntilMs(idle)).to.equal(150);
    expect(idleUntilMs({ ...idle, isKept: true })).to.equal(undefined);
    expect(idleUntilMs({ ...idle, idleSinceMs: undefined })).to.equal(undefined);
  });
});
