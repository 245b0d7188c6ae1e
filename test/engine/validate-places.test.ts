import { expect } from 'chai';
import { patternFault } from '../../src/engine/validate-places.js';

describe('patterns of tensor overrides', () => {
  const good = [
    'blk',
    '^blk\\.(1|2|3)\\.ffn_(up|down|gate|gate_up)_(ch|)exps',
    'exps\\.weight$',
    'blk\\.[0-9]+\\..*attn',
    '(?:a|b)?',
    'a{1,3}b?',
    '\\d+',
  ];
  const bad = [
    '',
    '(a+)+',
    '(a|a)*',
    'a**',
    'a+?',
    'a*b*c*d*',
    '(a',
    'a)',
    '[^a',
    '[[:alpha:]]',
    '(?=a)',
    '(a)\\1',
    'a{2',
    '{2}',
    '*',
    'a\n',
    '\\',
    'a{1,2}{3}',
    '[z-a]',
    'a'.repeat(257),
    'ä',
  ];

  for (const pattern of good) {
    it(`takes ${pattern}`, () => expect(patternFault(pattern)).to.equal(undefined));
  }

  for (const pattern of bad) {
    it(`refuses ${JSON.stringify(pattern.slice(0, 20))}`, () => expect(patternFault(pattern)).to.be.a('string'));
  }
});
