import { expect } from 'chai';
import fc from 'fast-check';
import { FrameOrder } from '../../src/bus/frame-order.js';
import { RING_FRAMES } from '../../src/bus/frame-window.js';
import type { Frame } from '../../src/schema/bus-messages.js';

function frame(seq: number): Frame {
  return { rid: 'run_1', att: 1, seq, type: 'delta', firstIndex: seq, ids: [seq], text: String(seq) };
}

describe('FrameOrder', () => {
  it('hands out every frame once and in order, whatever order and number they come in', () => {
    const arrivals = fc.integer({ min: 1, max: 60 }).chain((count) =>
      fc.tuple(
        fc.shuffledSubarray(
          Array.from({ length: count }, (_, n) => n),
          { minLength: count },
        ),
        fc.array(fc.nat(count - 1), { maxLength: 30 }),
        fc.constant(count),
      ),
    );
    fc.assert(
      fc.property(arrivals, ([order, again, count]) => {
        const placed = new FrameOrder();
        const out: number[] = [];
        for (const seq of [...order.flatMap((one, n) => [one, ...again.slice(n, n + 1)]), ...again]) {
          placed.place(frame(seq));
          for (let next = placed.take(); next !== undefined; next = placed.take()) out.push(next.seq);
        }
        expect(out).to.deep.equal(Array.from({ length: count }, (_, n) => n));
        expect(placed.hasGap).to.equal(false);
      }),
    );
  });

  it('says what a frame is and whether one is missing', () => {
    const order = new FrameOrder();
    expect(order.place(frame(2))).to.equal('early');
    expect(order.hasGap).to.equal(true);
    expect(order.place(frame(2))).to.equal('duplicate');
    expect(order.place(frame(0))).to.equal('next');
    expect(order.take()?.seq).to.equal(0);
    expect([order.take(), order.hasGap, order.nextSeq]).to.deep.equal([undefined, true, 1]);
    expect(order.place(frame(0))).to.equal('duplicate');
  });

  it('keeps nothing that is no number, and nothing too far ahead', () => {
    const order = new FrameOrder();
    for (const seq of [-1, 0.5, NaN, Infinity]) expect(order.place(frame(seq))).to.equal('duplicate');
    expect(order.place(frame(RING_FRAMES))).to.equal('early');
    expect(order.hasGap).to.equal(false);
  });
});
