import { expect } from 'chai';
import fc from 'fast-check';
import { creditOf, FrameWindow, MAX_HELD_FRAMES, RING_FRAMES } from '../../src/bus/frame-window.js';
import type { FrameBody } from '../../src/schema/bus-messages.js';

const usage = { promptTokens: 1, cachedTokens: 0, completionTokens: 1 };
const timings = { queueMs: 0, prefillMs: 0, decodeMs: 0 };
const FINAL: FrameBody = { type: 'final', reason: 'stop', usage, timings };
const CANCELLED: FrameBody = { type: 'cancelled', usage, timings };

function delta(n: number): FrameBody {
  return { type: 'delta', firstIndex: n, ids: [n], text: String(n) };
}

/** A window that was given `count` deltas and has let go of what it may. */
function filled(count: number, creditFrames: number): FrameWindow {
  const window = new FrameWindow('run_1', 1, creditFrames);
  for (let n = 0; n < count; n++) window.push(delta(n));
  return window;
}

describe('FrameWindow', () => {
  it('numbers frames from 0 and sends no more than the credit', () => {
    const window = filled(5, 3);
    expect(window.take().map(({ rid, att, seq }) => [rid, att, seq])).to.deep.equal([
      ['run_1', 1, 0],
      ['run_1', 1, 1],
      ['run_1', 1, 2],
    ]);
    expect([window.take(), window.starved]).to.deep.equal([[], true]);
    window.grant(4);
    expect(window.take().map(({ seq }) => seq)).to.deep.equal([3]);
    window.grant(4);
    window.grant(2);
    expect(window.take(), 'a repeated or late grant gives nothing').to.deep.equal([]);
    window.grant(100);
    expect(window.take().map(({ seq }) => seq)).to.deep.equal([4]);
    expect(window.starved).to.equal(false);
  });

  it('lets a final through beyond the credit, but only after all that was held', () => {
    const window = filled(4, 3);
    window.push(FINAL);
    expect(window.take().map(({ type }) => type)).to.deep.equal(['delta', 'delta', 'delta']);
    expect([window.ending, window.ended]).to.deep.equal([true, false]);
    window.grant(4);
    expect(window.take().map(({ type, seq }) => [type, seq])).to.deep.equal([
      ['delta', 3],
      ['final', 4],
    ]);
    expect(window.ended).to.equal(true);
  });

  it('sends a cancel or an error at once and drops what is held', () => {
    const window = filled(9, 2);
    window.take();
    expect(window.push(CANCELLED)).to.equal('taken');
    expect(window.take().map(({ type, seq }) => [type, seq])).to.deep.equal([['cancelled', 2]]);
  });

  it('has neither ended nor sent anything before it begins', () => {
    const window = filled(0, 9);
    expect([window.ended, window.ending, window.starved, window.keptFrames]).to.deep.equal([false, false, false, 0]);
    expect(window.repeat(0)).to.deep.equal([]);
    expect(window.unconfirmed()).to.deep.equal([]);
    window.forgetAllButEnd();
    expect(window.repeat(0)).to.deep.equal([]);
    expect([0, 1, 511, 512, 9999].map(creditOf)).to.deep.equal([1, 1, 511, 511, 511]);
  });

  it('sends a cancel as itself after an overflow too', () => {
    const window = new FrameWindow('run_1', 1, 1);
    for (let n = 0; n < MAX_HELD_FRAMES + 2; n++) window.push({ ...delta(n), text: 'x'.repeat(5000) } as FrameBody);
    window.push(CANCELLED);
    expect(window.take().map(({ type }) => type)).to.deep.equal(['cancelled']);
  });

  it('joins deltas alone, from half of what may be held on, up to a length', () => {
    const held = (count: number, last: FrameBody, text: string, ...more: readonly FrameBody[]): string[] => {
      const window = new FrameWindow('run_1', 1, 1);
      for (let n = 0; n < count - 1; n++)
        window.push({ type: 'delta', firstIndex: n, ids: [], text: 'x'.repeat(4096) });
      window.push({ type: 'delta', firstIndex: 0, ids: [1, 2], text });
      for (const body of [last, ...more]) window.push(body);
      window.grant(9999);
      return window
        .take()
        .slice(count - 1)
        .map((frame) => (frame.type === 'delta' ? String(frame.text.length) : frame.type));
    };
    const one: FrameBody = { type: 'delta', firstIndex: 2, ids: [3], text: '!' };
    const started: FrameBody = { type: 'started', promptTokens: 1, cachedTokens: 0 };
    expect(held(255, one, 'ab')).to.deep.equal(['2', '1']);
    expect(held(256, one, 'ab')).to.deep.equal(['3']);
    expect(held(256, started, 'ab', one)).to.deep.equal(['2', 'started', '1']);
    expect(held(256, one, 'x'.repeat(4093)), 'text and ids are just below').to.deep.equal(['4094']);
    expect(held(256, one, 'x'.repeat(4094))).to.deep.equal(['4094', '1']);
  });

  it('lets exactly one end through', () => {
    const window = filled(1, 9);
    expect([FINAL, CANCELLED, delta(2), FINAL].map((body) => window.push(body))).to.deep.equal([
      'taken',
      'ended',
      'ended',
      'ended',
    ]);
    expect(window.take().map(({ type }) => type)).to.deep.equal(['delta', 'final']);
  });

  it('takes nothing more after an overflow, so that no text is skipped, and cannot end well then', () => {
    const window = new FrameWindow('run_1', 1, 1);
    const long = (n: number): FrameBody => ({ type: 'delta', firstIndex: n, ids: [n], text: 'x'.repeat(5000) });
    const results = Array.from({ length: MAX_HELD_FRAMES + 2 }, (_, n) => window.push(long(n)));
    expect(results.slice(0, MAX_HELD_FRAMES).every((result) => result === 'taken')).to.equal(true);
    expect(results.slice(MAX_HELD_FRAMES)).to.deep.equal(['overflow', 'overflow']);
    window.take();
    window.grant(400);
    window.take();
    expect(window.push(delta(999))).to.equal('overflow');
    window.push(FINAL);
    const [end, ...rest] = window.take();
    expect(rest).to.deep.equal([]);
    expect(end).to.deep.include({ type: 'error', seq: 400 });
    expect(end?.type === 'error' && end.error.code).to.equal('client_too_slow');
  });

  it('joins what waits for a receiver that stalls for a moment, without losing or repeating a token', () => {
    const window = filled(1, 1);
    const first = window.take();
    const results = Array.from({ length: 20_000 }, (_, n) => window.push(delta(n + 1)));
    expect(results.every((result) => result === 'taken')).to.equal(true);
    window.push(FINAL);
    window.grant(1000);
    const frames = [...first, ...window.take()];
    const ids = frames.flatMap((frame) => (frame.type === 'delta' ? frame.ids : []));
    const text = frames.map((frame) => (frame.type === 'delta' ? frame.text : '')).join('');
    expect(ids).to.deep.equal(Array.from({ length: 20_001 }, (_, n) => n));
    expect(text).to.equal(ids.join(''));
    expect(frames.at(-1)?.type).to.equal('final');
  });

  it('repeats what it keeps, and says when it no longer does', () => {
    const window = filled(3, 500);
    const sent = window.take();
    expect(window.repeat(0)).to.deep.equal(sent);
    expect(window.repeat(2)).to.deep.equal(sent.slice(2));
    expect(window.repeat(3)).to.deep.equal([]);
    expect(window.repeat(7)).to.deep.equal([]);
    expect(window.repeat(-1)).to.deep.equal(sent);
    for (let n = 3; n < RING_FRAMES + 2; n++) {
      window.grant(n + 1);
      window.push(delta(n));
      window.take();
    }
    expect(window.repeat(1)).to.equal(undefined);
    expect(window.repeat(2)).to.have.length(RING_FRAMES);
    expect(window.keptFrames).to.equal(RING_FRAMES);
  });

  it('knows what the receiver may not have', () => {
    const window = filled(10, 6);
    window.take();
    expect(window.unconfirmed().map(({ seq }) => seq)).to.deep.equal([0, 1, 2, 3, 4, 5]);
    window.grant(6 + 4); // four were consumed
    window.take();
    expect(window.unconfirmed().map(({ seq }) => seq)).to.deep.equal([4, 5, 6, 7, 8, 9]);
  });

  it('can let go of everything but its end', () => {
    const window = filled(5, 20);
    window.push(FINAL);
    window.take();
    window.forgetAllButEnd();
    expect(window.keptFrames).to.equal(1);
    expect(window.repeat(5)?.map(({ type }) => type)).to.deep.equal(['final']);
    expect(window.repeat(4)).to.equal(undefined);
  });

  it('never sends beyond what was granted, skips no frame, and keeps all that is not confirmed', () => {
    const step = fc.oneof(
      fc.record({ push: fc.integer({ min: 1, max: 40 }) }),
      fc.record({ consume: fc.integer({ min: 1, max: 60 }) }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 700 }), fc.array(step, { maxLength: 60 }), (asked, steps) => {
        const window = new FrameWindow('run_1', 1, asked);
        const credit = creditOf(asked);
        let [sent, consumed, pushed, seen] = [0, 0, 0, 0];
        for (const one of steps) {
          if ('push' in one) for (let n = 0; n < one.push; n++) window.push(delta(pushed++));
          else window.grant((consumed = Math.min(sent, consumed + one.consume)) + credit);
          for (const frame of window.take()) {
            expect(frame.seq).to.equal(sent++);
            for (const id of frame.type === 'delta' ? frame.ids : []) expect(id).to.equal(seen++);
          }
          expect(sent).to.be.at.most(consumed + credit);
          expect(window.unconfirmed().map(({ seq }) => seq)[0] ?? sent).to.equal(consumed);
        }
      }),
    );
  });
});
