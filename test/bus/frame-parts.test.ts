import { expect } from 'chai';
import fc from 'fast-check';
import type { WireError } from '../../src/base/errors.js';
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

  it('are as long as the message allows, and never longer than what a receiver takes in at once', () => {
    expect(partLimits(64 * 1024 * 1024)).to.deep.equal({ textUnits: 65_536, ids: 16_384 });
    expect(partLimits(4096)).to.deep.equal({ textUnits: 256, ids: 128 });
    expect(partLimits(1024)).to.deep.equal({ textUnits: 2, ids: 1 });
  });

  it('end before a character that would be cut, and nowhere else', () => {
    const texts = (text: string, textUnits = 3): readonly string[] =>
      partsOf({ type: 'delta', firstIndex: 0, ids: [], text }, { textUnits, ids: 9 }).map((part) =>
        part.type === 'delta' ? part.text : '?',
      );
    expect(texts('abcdef')).to.deep.equal(['abc', 'def']);
    expect(texts('ab😀cd')).to.deep.equal(['ab', '😀c', 'd']);
    // The first and the last of the leading halves, and what stands beside them.
    expect(texts('ab\u{10000}c')).to.deep.equal(['ab', '\u{10000}c']);
    expect(texts('ab\u{10fc00}c')).to.deep.equal(['ab', '\u{10fc00}c']);
    expect(texts('ab\ud7ffc')).to.deep.equal(['ab\ud7ff', 'c']);
    expect(texts('ab\udc00c')).to.deep.equal(['ab\udc00', 'c']);
    // A lone half at the very end has nothing to be kept together with.
    expect(texts('abcde\ud83d')).to.deep.equal(['abc', 'de\ud83d']);
  });

  it('are one where the whole just fits, the same one', () => {
    const body: FrameBody = { type: 'delta', firstIndex: 3, ids: [1, 2], text: 'abc' };
    expect(partsOf(body, { textUnits: 3, ids: 2 })[0]).to.equal(body);
    expect(partsOf(body, { textUnits: 3, ids: 1 })).to.have.length(2);
    expect(partsOf(body, { textUnits: 2, ids: 2 })).to.have.length(2);
    const started: FrameBody = { type: 'started', promptTokens: 1, cachedTokens: 0 };
    expect(partsOf(started, { textUnits: 2, ids: 1 })).to.deep.equal([started]);
  });

  it('keep the details of an error while they are short, and its parameter', () => {
    const shown = (error: Partial<WireError>): unknown => {
      const whole = { code: 'internal', message: 'm', remedy: 'r', ...error } as const;
      const [part] = partsOf({ type: 'error', error: whole }, { textUnits: 2, ids: 1 });
      return part?.type === 'error' ? part.error : undefined;
    };
    const just = { d: 'd'.repeat(2048 - '{"d":""}'.length) };
    expect(shown({ param: 'p'.repeat(2000), details: just })).to.deep.equal({
      ...{ code: 'internal', message: 'm', remedy: 'r', param: 'p'.repeat(1024), details: just },
    });
    expect(shown({ details: { d: `${just.d}d` } })).to.deep.equal({ code: 'internal', message: 'm', remedy: 'r' });
    expect(shown({})).to.have.all.keys('code', 'message', 'remedy');
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
