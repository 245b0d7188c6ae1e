import { expect } from 'chai';
import fc from 'fast-check';
import { literal, sql } from '../../src/journal/sql-literal.js';

describe('SQL literals', () => {
  it('cannot be left by any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(literal(text)).to.match(/^('[^'\0]*'|CAST\(X'[0-9a-f]*' AS TEXT\))$/);
      }),
    );
  });

  it('writes the other kinds', () => {
    expect(sql`a ${1} b ${true} c ${undefined} d ${null} e ${'x'}`).to.equal("a 1 b 1 c NULL d NULL e 'x'");
    expect(() => literal(1.5)).to.throw('whole number');
    expect(() => literal(NaN)).to.throw('whole number');
  });
});
