import { expect } from 'chai';
import fc from 'fast-check';
import { partLimits, partsOf } from '../../src/bus/frame-parts.js';
import type { FrameBody } from '../../src/schema/bus-messages.js';

const HEAD = { v: 1, hid: 'h'.repeat(64), rid: 'r'.repeat(64), att: 99, seq: 999_999 };

describe('frame parts', () => {
  it('cut a long delta without losing a character, and none in half', () => {
    const text = fc
      .array(fc.constantFrom('a', 'é', '😀', '\u0000', '👩‍👩‍👧'), { maxLength: 60 })
      .map((some) => some.join(''));
    const ids = fc.array(fc.nat(200_000), { maxLength: 40 });
    const limits = fc.record({ textUnits: fc.integer({ min: 2, max: 9 }), ids: fc.integer({ min: 1, max: 9 }) });
    fc.assert(
      fc.property(text, ids, limits, (whole, all, limit) => {
        const parts = partsOf({ type: 'delta', firstIndex: 7, ids: all, text: whole }, limit);
        const deltas = parts.map((part) => {
          if (part.type !== 'delta') throw new Error('not a delta');
          return part;
        });
        expect(deltas.map((part) => part.text).join('')).to.equal(whole);
        expect(deltas.flatMap((part) => part.ids)).to.deep.equal(all);
        let index = 7;
        for (const part of deltas) {
          expect(part.firstIndex).to.equal(index);
          index += part.ids.length;
          expect(part.text.length).to.be.at.most(limit.textUnits);
          expect(part.ids.length).to.be.at.most(limit.ids);
          expect(Buffer.from(part.text).toString()).to.equal(part.text); // no lone halves
        }
      }),
    );
  });

  it('fit a message even at their worst, at any payload limit', () => {
    for (const maxPayloadBytes of [4096, 65_536, 1024 * 1024, 64 * 1024 * 1024]) {
      const limits = partLimits(maxPayloadBytes);
      const worst: FrameBody = {
        type: 'delta',
        firstIndex: 1e9,
        ids: Array.from({ length: limits.ids }, () => 4_294_967_295),
        text: '\u0001'.repeat(limits.textUnits),
      };
      expect(partsOf(worst, limits)).to.deep.equal([worst]);
      expect(JSON.stringify({ ...HEAD, frames: [{ ...HEAD, ...worst }] }).length).to.be.at.most(maxPayloadBytes);
    }
  });

  it('leave ordinary frames alone and keep an error to its beginning', () => {
    const small: FrameBody = { type: 'delta', firstIndex: 0, ids: [1], text: 'hi' };
    expect(partsOf(small, partLimits(4096))[0]).to.equal(small);
    const [error] = partsOf(
      {
        type: 'error',
        error: { code: 'internal', message: 'm'.repeat(1e6), remedy: 'r', details: { d: 'd'.repeat(1e6) } },
      },
      partLimits(4096),
    );
    expect(error?.type === 'error' && error.error).to.deep.equal({
      code: 'internal',
      message: 'm'.repeat(1024),
      remedy: 'r',
    });
  });
});
