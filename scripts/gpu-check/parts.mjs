// @ts-check
/** Steps of several parts, each of them done once. Knows nothing about what they do or where it is kept. */
import { OutOfTime } from './context.mjs';

/** A part that had this much of a call's time and did not end would not end in the next call either. */
const wholeCall = 0.9;

/**
 * @typedef {Record<string, () => Promise<object>>} Parts each resolves to what goes into the result, with a `failure`
 *   where it went wrong, or rejects with OutOfTime
 */

/**
 * Does what is not done yet.
 * @param {Pick<import('./context.mjs').CheckContext, 'budgetMs' | 'leftMs' | 'say'>} context
 * @param {Parts} parts
 * @param {{ leastMs: number, done: Record<string, object>, keep: () => void }} options `leastMs`: no part is begun with
 *   less; `done`: gets what is done now, `keep` is called then
 * @returns {Promise<Record<string, object>>} `done`; rejects with OutOfTime where another call is to go on
 */
export async function runParts(context, parts, { leastMs, done, keep }) {
  for (const [name, run] of Object.entries(parts)) {
    if (name in done) continue;
    const leftMs = context.leftMs();
    if (leftMs < leastMs) throw new OutOfTime(`before ${name}`);
    try {
      done[name] = await run();
    } catch (error) {
      if (!(error instanceof OutOfTime) || leftMs < wholeCall * context.budgetMs) throw error;
      done[name] = { failure: `${error.message} after ${Math.round(leftMs / 1000)} s, a whole call` };
    }
    keep();
    context.say(`  ${name}: ${JSON.stringify(done[name])}`);
  }
  return done;
}
