import { expect } from 'chai';
import { sleep } from '../../src/base/ports.js';
import { FakeClock, seededRandom } from './fake-clock.js';

describe('FakeClock', () => {
  it('fires due timers in order of time, then of setting, and none that is cancelled', () => {
    const clock = new FakeClock();
    const fired: string[] = [];
    clock.setTimer(30, () => fired.push('c'));
    clock.setTimer(10, () => fired.push('a'));
    const cancelled = clock.setTimer(15, () => fired.push('never'));
    clock.setTimer(10, () => fired.push('b'));
    cancelled.cancel();
    cancelled.cancel();
    expect(clock.pendingTimers).to.equal(3);
    clock.advance(29);
    expect(fired).to.deep.equal(['a', 'b']);
    clock.advance(1);
    expect(fired).to.deep.equal(['a', 'b', 'c']);
    expect(clock.pendingTimers).to.equal(0);
    expect(clock.nowMs()).to.equal(30);
  });

  it('runs timers that timers set, each at its own instant', () => {
    const clock = new FakeClock();
    const at: number[] = [];
    const again = (): void => {
      at.push(clock.nowMs());
      if (at.length < 4) clock.setTimer(5, again);
    };
    clock.setTimer(5, again);
    clock.advance(100);
    expect(at).to.deep.equal([5, 10, 15, 20]);
  });

  it('lets async code go on between timers', async () => {
    const clock = new FakeClock();
    const at: number[] = [];
    void (async () => {
      for (let turn = 0; turn < 3; turn++) {
        await sleep(clock, 10);
        at.push(clock.nowMs());
      }
    })();
    await clock.run(30);
    expect(at).to.deep.equal([10, 20, 30]);
  });

  it('keeps order with many timers', () => {
    const clock = new FakeClock();
    const random = seededRandom(7);
    const fired: number[] = [];
    for (let index = 0; index < 2000; index++) {
      const dueMs = Math.floor(random.next() * 500);
      const timer = clock.setTimer(dueMs, () => fired.push(dueMs));
      if (index % 5 === 0) timer.cancel();
    }
    clock.advance(500);
    expect(fired).to.have.length(1600);
    expect(fired).to.deep.equal([...fired].sort((a, b) => a - b));
  });
});

describe('seededRandom', () => {
  it('repeats with the seed, differs without, and stays in range', () => {
    const draw = (seed: number): number[] => {
      const random = seededRandom(seed);
      return Array.from({ length: 50 }, () => random.next());
    };
    expect(draw(1)).to.deep.equal(draw(1));
    expect(draw(1)).to.not.deep.equal(draw(2));
    expect(draw(3).every((value) => value >= 0 && value < 1)).to.equal(true);
    expect(seededRandom(4).id('run')).to.match(/^run_[0-9A-Za-z]{22}$/);
  });
});
