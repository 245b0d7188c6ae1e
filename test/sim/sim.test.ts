/**
 * The simulator: a whole server in one process, played through many seeds with hosts that die, a gateway that restarts and
 * a network that loses things, and judged by the invariants. SIM_SEEDS=n plays n seeds, SIM_SEED=k one of them.
 */
import { expect } from 'chai';
import { violationsOf } from './invariants.js';
import { play } from './play.js';
import { kindOf } from './weather.js';

const DEFAULT_SEEDS = 50;

function seeds(): readonly number[] {
  const { SIM_SEED, SIM_SEEDS } = process.env;
  if (SIM_SEED !== undefined) return [Number(SIM_SEED)];
  return Array.from({ length: Number(SIM_SEEDS ?? DEFAULT_SEEDS) }, (_none, index) => index);
}

describe('simulator', () => {
  for (const seed of seeds()) {
    it(`seed ${String(seed)} (${kindOf(seed)})`, async () => {
      const { history, world } = await play(seed);
      const violations = violationsOf(history);
      if (violations.length === 0) return;
      const again = `again: SIM_SEED=${String(seed)} npm run test:sim`;
      expect.fail(`seed ${String(seed)}:\n${violations.slice(0, 20).join('\n')}\n${again}\n${world.lastLines}`);
    });
  }
});
