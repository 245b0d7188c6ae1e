import { expect } from 'chai';
import * as t from 'io-ts';
import { pathTo, strayKeys } from '../../src/schema/stray-keys.js';

const Inner = t.intersection([t.type({ a: t.number }), t.partial({ b: t.string })]);
const Codec = t.intersection([
  t.type({ inner: Inner, list: t.readonlyArray(Inner) }),
  t.partial({ byName: t.record(t.string, Inner), either: t.union([Inner, t.number]) }),
]);

const found = (value: unknown): string[] => strayKeys(Codec, value).map(({ parent, key }) => `${parent}|${key}`);

describe('stray keys', () => {
  it('are found at every depth, outer before inner', () => {
    const value = { x: 1, inner: { a: 1, y: 2 }, list: [{ a: 1 }, { z: 3 }], byName: { any: { q: 1 } } };
    expect(found(value)).to.deep.equal(['|x', 'inner|y', 'list[1]|z', 'byName.any|q']);
  });

  it('are found in the one kind of object that a union has', () => {
    expect(found({ inner: { a: 1 }, list: [], either: { a: 1, x: 2 } })).to.deep.equal(['either|x']);
  });

  it('come with the keys that are known there', () => {
    expect(strayKeys(Codec, { inner: { c: 1 } })[0]?.known).to.deep.equal(['a', 'b']);
  });

  it('are not sought where a value has another shape', () => {
    expect(found({ inner: 5, list: { x: 1 }, byName: [], either: 1 })).to.deep.equal([]);
    expect(found(null)).to.deep.equal([]);
  });

  it('include the names every object inherits', () => {
    expect(found({ constructor: 1, toString: 2 })).to.deep.equal(['|constructor', '|toString']);
  });

  it('have paths as faults write them', () => {
    expect([pathTo('', 'a'), pathTo('a', 'b'), pathTo('a', 3), pathTo('a', '7')]).to.deep.equal([
      'a',
      'a.b',
      'a[3]',
      'a[7]',
    ]);
  });
});
