import { expect } from 'chai';
import { closingLine, judgeRun, readClosingLine, sumCounts } from '../../scripts/testing/counts.mjs';

describe('counting tests', () => {
  it('adds up over all kinds of checks', () => {
    const total = sumCounts([
      { passed: 3, failed: 0, skipped: 1 },
      { passed: 4, failed: 2, skipped: 0 },
    ]);
    expect(closingLine(total)).to.equal('7 passed, 2 failed, 1 skipped');
  });

  it('leaves skipped tests out of the line when there are none', () => {
    expect(closingLine({ passed: 7, failed: 0, skipped: 0 })).to.equal('7 passed, 0 failed');
  });

  it('counts a runner that never came to its end as failed', () => {
    expect(judgeRun(undefined, 0).failed).to.equal(1);
    expect(judgeRun(undefined, 134).failed).to.equal(1);
  });

  it('counts a runner that ended badly after green tests as failed', () => {
    expect(judgeRun({ passed: 10, failed: 0, skipped: 0 }, 1)).to.deep.equal({ passed: 10, failed: 1, skipped: 0 });
  });

  it('counts a run of no test as failed', () => {
    expect(judgeRun({ passed: 0, failed: 0, skipped: 0 }, 0).failed).to.equal(1);
  });

  it('takes failures as they were counted', () => {
    expect(judgeRun({ passed: 8, failed: 2, skipped: 0 }, 2)).to.deep.equal({ passed: 8, failed: 2, skipped: 0 });
  });

  it('reads the last closing line of a test program', () => {
    expect(readClosingLine('1 passed, 0 failed\nmore\n12 passed, 3 failed, 2 skipped\n')).to.deep.equal({
      passed: 12,
      failed: 3,
      skipped: 2,
    });
    expect(readClosingLine('killed')).to.equal(undefined);
  });
});
