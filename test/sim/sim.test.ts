/**
 * The simulator: a whole server in one process, played through many seeds with hosts that die, a gateway that restarts,
 * memory that others take, profiles that are switched and a network that loses things, and judged by the invariants.
 * `main.ts` plays as many more as one likes.
 */
import { expect } from 'chai';
import { judge } from './judge.js';
import { kindOf } from './weather.js';

const SEEDS = 200;

describe('simulator', () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    it(`seed ${String(seed)} (${kindOf(seed)})`, async () => {
      const { failure } = await judge(seed);
      if (failure !== undefined) expect.fail(failure);
    });
  }
});
