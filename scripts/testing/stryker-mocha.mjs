// @ts-check
/**
 * Runs mocha for StrykerJS inside its worker process: all test files once to see which test reaches which change, then for
 * each change only those tests. (Stryker's own plugin knows no mocha above 11.) Random tests get a fixed seed here, so that a
 * score can be had again.
 */
import { commonTokens, declareFactoryPlugin, PluginKind } from '@stryker-mutator/api/plugin';
import {
  determineHitLimitReached,
  DryRunStatus,
  TestStatus,
  toMutantRunResult,
} from '@stryker-mutator/api/test-runner';
import fc from 'fast-check';
import Mocha from 'mocha';
import path from 'node:path';

/**
 * @typedef {import('@stryker-mutator/api/test-runner').TestRunner} TestRunner
 * @typedef {import('@stryker-mutator/api/test-runner').TestResult} TestResult
 * @typedef {import('@stryker-mutator/api/test-runner').DryRunResult} DryRunResult
 */

const seed = 1;
const everyTest = /.*/;

/** What changed code reads: which change is active, and where it notes that it was reached. */
const watch = /** @type {Record<string, any>} */ (
  /** @type {Record<string, any>} */ (globalThis)['__stryker__'] ??= {}
);

/**
 * @param {import('@stryker-mutator/api/core').StrykerOptions} options with our own `specs`: test files
 * @returns {TestRunner}
 */
function mochaRunner(options) {
  const files = /** @type {string[]} */ (options['specs']);
  /** @type {TestResult[]} */
  let results = [];
  /** @type {Promise<Mocha> | undefined} */
  let loading;

  const load = async () => {
    fc.configureGlobal({ seed });
    const mocha = new Mocha({ bail: true, timeout: 60_000, reporter: collector((result) => results.push(result)) });
    for (const file of files) mocha.addFile(path.resolve(file));
    await mocha.loadFilesAsync();
    mocha.cleanReferencesAfterRun(false);
    return mocha;
  };

  /**
   * @param {RegExp} grep
   * @returns {Promise<DryRunResult>}
   */
  const run = async (grep) => {
    results = [];
    try {
      const mocha = await (loading ??= load());
      mocha.grep(grep);
      await new Promise((resolve) => void mocha.run(resolve));
      return { status: DryRunStatus.Complete, tests: results };
    } catch (error) {
      return { status: DryRunStatus.Error, errorMessage: String(error) };
    } finally {
      watch.currentTestId = undefined;
    }
  };

  return {
    capabilities: () => ({ reloadEnvironment: false }),
    async dryRun({ coverageAnalysis }) {
      const result = await run(everyTest);
      const isCovered = coverageAnalysis !== 'off' && result.status === DryRunStatus.Complete;
      return isCovered ? { ...result, mutantCoverage: watch.mutantCoverage } : result;
    },
    async mutantRun({ activeMutant, testFilter, hitLimit, mutantActivation }) {
      watch.hitCount = hitLimit === undefined ? undefined : 0;
      watch.hitLimit = hitLimit;
      // A change in what a module does while it is loaded is active before that.
      if (mutantActivation === 'static') watch.activeMutant = activeMutant.id;
      loading ??= load();
      await loading.catch(() => undefined);
      watch.activeMutant = activeMutant.id;
      const result = await run(testFilter === undefined ? everyTest : exactly(testFilter));
      return toMutantRunResult(determineHitLimitReached(watch.hitCount, hitLimit) ?? result);
    },
  };
}

/** @param {(result: TestResult) => void} onResult */
function collector(onResult) {
  return class extends Mocha.reporters.Base {
    /** @param {Mocha.Runner} runner */
    constructor(runner) {
      super(runner);
      /** @param {Mocha.Test} test */
      const named = (test) => {
        const name = test.fullTitle();
        return { id: name, name, timeSpentMs: test.duration ?? 0, ...(test.file ? { fileName: test.file } : {}) };
      };
      runner.on('test', (test) => (watch.currentTestId = test.fullTitle()));
      runner.on('pass', (test) => onResult({ ...named(test), status: TestStatus.Success }));
      runner.on('pending', (test) => onResult({ ...named(test), status: TestStatus.Skipped }));
      runner.on('fail', (test, error) => {
        onResult({ ...named(test), status: TestStatus.Failed, failureMessage: String(error.message) });
      });
    }
  };
}

/** @param {readonly string[]} names */
function exactly(names) {
  return new RegExp(`^(${names.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|')})$`);
}

/** @type {['options']} */
const injected = [commonTokens.options];
mochaRunner.inject = injected;

export const strykerPlugins = [declareFactoryPlugin(PluginKind.TestRunner, 'llamaestro-mocha', mochaRunner)];
