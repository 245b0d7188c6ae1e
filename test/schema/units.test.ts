import { expect } from 'chai';
import { durationMs, sizeBytes } from '../../src/schema/units.js';

describe('units', () => {
  it('turns durations into milliseconds', () => {
    const texts = ['250ms', '30s', '1.5s', '5m', '1h', '0s', '0.4ms'];
    expect(texts.map(durationMs)).to.deep.equal([250, 30_000, 1500, 300_000, 3_600_000, 0, 0]);
  });

  it('turns sizes into bytes', () => {
    const texts = ['10B', '2KB', '2KiB', '512MiB', '22GiB', '2GB', '1.5GiB', '1TiB', '1TB'];
    expect(texts.map(sizeBytes)).to.deep.equal([
      10,
      2000,
      2048,
      512 * 2 ** 20,
      22 * 2 ** 30,
      2e9,
      1.5 * 2 ** 30,
      2 ** 40,
      1e12,
    ]);
  });
});
