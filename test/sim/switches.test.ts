/** Switches of profiles in the simulator: alone, with a gateway that restarts in the middle of them, and with everything else. */
import { expect } from 'chai';
import { judge } from './judge.js';
import { SWITCHING } from './weather.js';

const SEEDS = 15;

describe('simulator: switches of profiles', () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const kind = SWITCHING[seed % SWITCHING.length] ?? 'switches';
    it(`seed ${String(seed)} (${kind})`, async () => {
      const { failure } = await judge(seed, kind);
      if (failure !== undefined) expect.fail(failure);
    });
  }
});
