import { expect } from 'chai';
import { AwakeTime } from '../../src/base/awake-time.js';
import { FakeClock } from '../support/fake-clock.js';

describe('awake time', () => {
  function begin(): { clock: FakeClock; awake: AwakeTime; late: number[] } {
    const clock = new FakeClock();
    const late: number[] = [];
    return { clock, late, awake: new AwakeTime(clock, 500, (lateMs) => late.push(lateMs)) };
  }

  it('goes as the clock goes, between beats too', () => {
    const { clock, awake, late } = begin();
    for (const ms of [1, 498, 1, 250, 750]) {
      clock.advance(ms);
      expect(awake.nowMs).to.equal(clock.nowMs());
    }
    expect(late).to.deep.equal([0, 0, 0]);
  });

  it('counts a pause as a moment, whoever looks first afterwards', () => {
    const { clock, awake, late } = begin();
    clock.advance(1100);
    clock.jump(3_600_000);
    expect(awake.nowMs, 'before its own beat').to.equal(1000 + 750);
    clock.advance(0);
    expect(awake.nowMs, 'after it').to.equal(1000 + 750);
    expect(late.at(-1)).to.equal(3_600_000 + 100 - 500);
    clock.advance(500);
    expect(awake.nowMs).to.equal(2250);
  });

  it('takes a beat that is a little late for what it is', () => {
    const { clock, awake } = begin();
    clock.jump(700);
    clock.advance(0);
    expect(awake.nowMs).to.equal(700);
  });

  it('stops', () => {
    const { clock, awake, late } = begin();
    awake.stop();
    clock.advance(5000);
    expect([late, clock.pendingTimers]).to.deep.equal([[], 0]);
  });
});
