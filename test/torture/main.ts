/**
 * `npm run test:torture -- [--minutes N] [--seed N]`: torture of the real engine (default: 10 minutes, a random seed).
 * Prints one line for each engine; ends with status 1 at the first wrong token or leftover.
 */
import { parseArgs } from 'node:util';
import { systemRandom } from '../../src/base/system-ports.js';
import { createNativeDriver } from '../../src/engine/native-engine.js';
import { tortureRounds, type Round } from './rounds.js';

const ROUND_MS = 15_000;

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } },
});
const seed = Number(values.seed ?? Math.floor(systemRandom.next() * 1_000_000));
const driver = createNativeDriver(process.env['LLAMAESTRO_ADDON_UNDER_TEST']);
process.stdout.write(`seed ${seed}\n`);

const show = ({ options, report }: Round): void => {
  const { tasks, finished, cancelled, tokens, stats } = report;
  process.stdout.write(
    `${JSON.stringify(options)}: ${tasks} tasks, ${finished} finished, ${cancelled} cancelled, ${tokens} tokens, ` +
      `${stats.cachedTokens} of prompts taken over (${stats.inPlaceTokens} in place), ${stats.parked} put aside\n`,
  );
};
try {
  const rounds = await tortureRounds(driver, seed, Number(values.minutes) * 60_000, ROUND_MS, show);
  process.stdout.write(`${rounds.length} passed, 0 failed\n`);
} catch (error) {
  process.stdout.write(`seed ${seed}: ${error instanceof Error ? error.stack : String(error)}\n0 passed, 1 failed\n`);
  process.exitCode = 1;
}
