/** Whether bytes came back: the verdict over two readings. */
import { expect } from 'chai';
import { releaseRow, type ReleaseReading } from '../../src/pool/release-proof.js';

const MIB = 2 ** 20;
const reading: ReleaseReading = {
  device: { id: 'cuda0', kind: 'cuda' },
  expectedBytes: 1000 * MIB,
  foreignBeforeBytes: 100 * MIB,
  foreignNowBytes: 100 * MIB,
  isQuiet: true,
};

describe('release proof', () => {
  it('is given when what others use has not grown beyond the tolerance', () => {
    expect(releaseRow(reading)).to.deep.equal({
      ...{ device: 'cuda0', expectedBytes: 1000 * MIB, measuredBytes: 1000 * MIB, residualBytes: 0 },
      ...{ toleranceBytes: 64 * MIB, verdict: 'returned' },
    });
    expect(releaseRow({ ...reading, foreignNowBytes: 164 * MIB })).to.include({
      verdict: 'returned',
      residualBytes: 64 * MIB,
    });
    expect(releaseRow({ ...reading, foreignNowBytes: 0 })).to.include({
      verdict: 'returned',
      measuredBytes: 1000 * MIB,
    });
  });

  it('is missing on a device where nothing else of ours moved', () => {
    const row = releaseRow({ ...reading, foreignNowBytes: 400 * MIB });
    expect(row).to.include({ verdict: 'missing', residualBytes: 300 * MIB, measuredBytes: 700 * MIB });
    expect(releaseRow({ ...reading, foreignNowBytes: 5000 * MIB })).to.include({ measuredBytes: 0 });
  });

  it('cannot be told beside another load, on the CPU, or without a reading before', () => {
    const grown = { ...reading, foreignNowBytes: 900 * MIB };
    expect(releaseRow({ ...grown, isQuiet: false }).verdict).to.equal('disturbed');
    expect(releaseRow({ ...grown, device: { id: 'cpu', kind: 'cpu' } })).to.include({
      verdict: 'disturbed',
      toleranceBytes: 256 * MIB,
    });
    const blind = releaseRow({ ...grown, foreignBeforeBytes: undefined });
    expect(blind.verdict).to.equal('disturbed');
    expect(blind).to.not.have.property('measuredBytes');
  });
});
