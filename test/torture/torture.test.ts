/** Some seconds of torture on engines of both cache layouts; `npm run test:torture` goes on for ten minutes. */
import { expect } from 'chai';
import { createNativeDriver } from '../../src/engine/native-engine.js';
import { hasAddon } from '../engine/native-subject.js';
import { tortureRounds } from './rounds.js';

describe('torture', function () {
  this.timeout(120_000);

  before(function () {
    if (!hasAddon) this.skip();
  });

  it('gives every sequence its own text, whatever happens to its neighbours', async () => {
    const rounds = await tortureRounds(createNativeDriver(), 4711, 12_000, 3000);
    expect(new Set(rounds.map(({ options }) => options.kvLayout))).to.deep.equal(new Set(['split', 'unified']));
    const finished = rounds.reduce((sum, { report }) => sum + report.finished, 0);
    expect(finished).to.be.greaterThan(rounds.length);
  });
});
