import { expect } from 'chai';
import { Fence } from '../../src/host/fence.js';

describe('Fence', () => {
  it('takes each attempt once, in rising order only', () => {
    const fence = new Fence(10);
    expect(fence.judge('run_a', 2)).to.equal('fresh');
    fence.raise('run_a', 2);
    expect([1, 2, 3].map((att) => fence.judge('run_a', att))).to.deep.equal(['fenced', 'repeated', 'fresh']);
  });

  it('is not lowered by an older attempt that is cancelled later', () => {
    const fence = new Fence(10);
    fence.raise('run_a', 3);
    fence.raise('run_a', 1);
    expect(fence.judge('run_a', 3)).to.equal('repeated');
    expect(fence.judge('run_a', 2)).to.equal('fenced');
  });

  it('keeps runs apart', () => {
    const fence = new Fence(10);
    fence.raise('run_a', 5);
    expect(fence.judge('run_b', 1)).to.equal('fresh');
  });

  it('forgets the run that was quiet longest, and no other', () => {
    const fence = new Fence(2);
    fence.raise('run_a', 1);
    fence.raise('run_b', 1);
    fence.raise('run_a', 2);
    fence.raise('run_c', 1);
    expect(['run_a', 'run_b', 'run_c'].map((rid) => fence.judge(rid, 1))).to.deep.equal([
      'fenced',
      'fresh',
      'repeated',
    ]);
  });
});
