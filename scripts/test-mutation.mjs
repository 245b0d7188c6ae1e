// @ts-check
/**
 * `npm run test:mutation -- [FILE…]`: changes the pure policies and state machines one small step at a time (StrykerJS) and
 * counts the changes that their own tests do not notice. Without a file, all of `mutation-targets.mjs`, one after the other.
 * Prints each change that survived and a score for each file; fails below the least score in total.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { buildDir, rootDir } from './lib/paths.mjs';
import { mutationTargets } from './testing/mutation-targets.mjs';

const leastPercent = 90;
const folder = path.join(buildDir, 'mutation');
const reportFile = path.join(folder, 'report.json');
const configFile = path.join(folder, 'stryker.config.json');
const stryker = createRequire(import.meta.url)
  .resolve('@stryker-mutator/core/package.json')
  .replace('package.json', 'bin/stryker.js');

/** Statuses of changes that count; what is left out on purpose, or is no program any more, does not. */
const noticed = ['Killed', 'Timeout', 'RuntimeError'];
const unnoticed = ['Survived', 'NoCoverage'];

const asked = process.argv.slice(2).filter((word) => word !== '--');
const all = Object.keys(mutationTargets);
const files = asked.length > 0 ? asked.map((file) => path.relative(rootDir, path.resolve(file))) : all;
const unknown = files.filter((file) => !all.includes(file));
if (unknown.length > 0) {
  process.stdout.write(`no target of mutation testing: ${unknown.join(', ')}\nTargets:\n${all.join('\n')}\n`);
  process.exit(2);
}

mkdirSync(folder, { recursive: true });
const total = { noticed: 0, unnoticed: 0 };
/** @type {string[]} */
const table = [];
for (const file of files) {
  const counts = mutate(file);
  total.noticed += counts.noticed;
  total.unnoticed += counts.unnoticed;
  table.push(row(file, counts));
  process.stdout.write(`${row(file, counts)}\n`);
}
if (files.length > 1) process.stdout.write(`\n${table.join('\n')}\n`);
process.stdout.write(`${row('total', total)}\n`);
process.exitCode = percent(total) >= leastPercent ? 0 : 1;

/**
 * @typedef {{ noticed: number, unnoticed: number }} Counts
 * @param {string} file
 * @returns {Counts}
 */
function mutate(file) {
  rmSync(reportFile, { force: true });
  const config = {
    packageManager: 'npm',
    plugins: [path.join(rootDir, 'scripts', 'testing', 'stryker-mocha.mjs')],
    testRunner: 'llamaestro-mocha',
    testRunnerNodeArgs: ['--import', 'tsx'],
    // Only the tests that reach a change run for it.
    coverageAnalysis: 'perTest',
    mutate: [file],
    specs: mutationTargets[file],
    concurrency: Number(process.env.LLAMAESTRO_MUTATION_CONCURRENCY ?? 2),
    timeoutMS: 5000,
    logLevel: 'error',
    warnings: false,
    reporters: ['clear-text', 'json'],
    clearTextReporter: { allowColor: false, logTests: false, reportTests: false, reportScoreTable: false },
    jsonReporter: { fileName: reportFile },
    tempDirName: path.join(folder, 'sandbox'),
    ignorePatterns: ['*', '!src', '!src/**', '!test', '!test/**', '!package.json', '!tsconfig.json'],
  };
  writeFileSync(configFile, JSON.stringify(config, null, 2));
  const { status } = spawnSync(process.execPath, [stryker, 'run', configFile], { cwd: rootDir, stdio: 'inherit' });
  if (status !== 0) throw new Error(`the run over ${file} failed`);
  const report = JSON.parse(readFileSync(reportFile, 'utf8'));
  /** @type {{ status: string }[]} */
  const mutants = Object.values(report.files).flatMap((/** @type {any} */ { mutants: found }) => found);
  /** @param {readonly string[]} statuses */
  const count = (statuses) => mutants.filter(({ status: ended }) => statuses.includes(ended)).length;
  return { noticed: count(noticed), unnoticed: count(unnoticed) };
}

/** @param {Counts} counts */
function percent(counts) {
  return (100 * counts.noticed) / Math.max(1, counts.noticed + counts.unnoticed);
}

/**
 * @param {string} name
 * @param {Counts} counts
 */
function row(name, counts) {
  const { noticed: seen, unnoticed: missed } = counts;
  return `${percent(counts).toFixed(1).padStart(6)} %  ${String(seen).padStart(4)} of ${String(seen + missed).padStart(4)}  ${name}`;
}
