import { expect } from 'chai';
import { editDistance, nearestWord } from '../../src/profile/nearest-word.js';

describe('the nearest word', () => {
  it('counts letters changed, added, dropped and swapped', () => {
    const pairs = [
      ['', 'abc'],
      ['slots', 'slots'],
      ['slot', 'slots'],
      ['solts', 'slots'],
      ['kitten', 'sitting'],
    ] as const;
    expect(pairs.map(([a, b]) => editDistance(a, b))).to.deep.equal([3, 0, 1, 1, 3]);
  });

  it('is what was probably meant', () => {
    const known = ['context', 'slots', 'gpu_layers', 'kv_type', 'file'];
    const words = ['contxt', 'Slots', 'gpu-layers', 'gpulayer', 'kvtype', 'fil'];
    expect(words.map((word) => nearestWord(word, known))).to.deep.equal([
      'context',
      'slots',
      'gpu_layers',
      'gpu_layers',
      'kv_type',
      'file',
    ]);
  });

  it('is nothing when nothing is near', () => {
    expect(nearestWord('temperature', ['context', 'slots'])).to.equal(undefined);
    expect(nearestWord('x'.repeat(1e6), ['x'])).to.equal(undefined);
    expect(nearestWord('a', [])).to.equal(undefined);
  });
});
