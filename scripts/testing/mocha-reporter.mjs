// @ts-check
/**
 * Mocha's spec output, and the counts in the file that LLAMAESTRO_TEST_COUNTS names, written only when mocha comes to
 * its end by itself: a missing file means that it did not.
 */
import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';

/** A mocha reporter. */
export default class CountingSpec extends Mocha.reporters.Spec {
  /**
   * @param {Mocha.Runner} runner
   * @param {Mocha.MochaOptions} options
   */
  constructor(runner, options) {
    super(runner, options);
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures, pending } = this.stats;
      const file = process.env.LLAMAESTRO_TEST_COUNTS;
      if (file) writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, skipped: pending }));
    });
  }
}
