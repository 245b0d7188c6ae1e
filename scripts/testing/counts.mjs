// @ts-check
/**
 * Counting what passed and failed, over all kinds of checks, honestly: a runner that breaks off counts as a failure.
 * Pure.
 */

/**
 * @typedef {{ passed: number, failed: number, skipped: number }} Counts
 */

/** @type {Counts} */
export const nothingRan = Object.freeze({ passed: 0, failed: 0, skipped: 0 });

/**
 * @param {readonly Counts[]} parts
 * @returns {Counts}
 */
export function sumCounts(parts) {
  return parts.reduce(
    (sum, part) => ({
      passed: sum.passed + part.passed,
      failed: sum.failed + part.failed,
      skipped: sum.skipped + part.skipped,
    }),
    nothingRan,
  );
}

/**
 * The line that closes a run.
 * @param {Counts} counts
 * @returns {string}
 */
export function closingLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/**
 * What a test program counted, held against how it ended.
 * @param {Partial<Counts> | undefined} counted undefined: it never came to its closing line
 * @param {number} status its exit status
 * @returns {Counts} with at least one failure unless it counted none and ended with 0, and with at least one check
 */
export function judgeRun(counted, status) {
  const { passed = 0, failed = 0, skipped = 0 } = counted ?? {};
  const brokeOff = counted === undefined || passed + failed + skipped === 0 || (status !== 0 && failed === 0);
  return { passed, failed: failed + (brokeOff ? 1 : 0), skipped };
}

/**
 * Finds `N passed, N failed` (perhaps `, N skipped`) in the output of a test program; the last one counts.
 * @param {string} output
 * @returns {Counts | undefined}
 */
export function readClosingLine(output) {
  const found = [...output.matchAll(/^\D*?(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$/gm)].at(-1);
  return found && { passed: Number(found[1]), failed: Number(found[2]), skipped: Number(found[3] ?? 0) };
}
