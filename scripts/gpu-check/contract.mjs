// @ts-check
/** The core's test program and the contract suite of the engine, with the addon that was built for the GPU. */
import path from 'node:path';
import { readdirSync } from 'node:fs';
import { buildDir, rootDir } from '../lib/paths.mjs';
import { makeCoreTestModels } from '../testing/core-models.mjs';
import { inTime } from './context.mjs';

/** @typedef {import('./context.mjs').CheckContext} CheckContext */

const mocha = path.join(rootDir, 'node_modules', 'mocha', 'bin', 'mocha.js');
const shownCharacters = 4000;

/**
 * The core's tests, and each file of the suite.
 * @param {CheckContext} context
 * @returns {Record<string, () => Promise<object>>}
 */
export function contractParts(context) {
  const files = readdirSync(path.join(rootDir, 'test', 'engine')).filter((name) => /^native-.*\.test\.ts$/.test(name));
  const suite = files.map((name) => /** @type {const} */ ([name, () => checkFile(context, name)]));
  return { core: () => checkCore(context), ...Object.fromEntries(suite) };
}

/** @param {CheckContext} context */
async function checkCore(context) {
  const env = { ...process.env, LLAMAESTRO_TEST_MODELS: await makeCoreTestModels() };
  return outcomeOf(await inTime(context, path.join(buildDir, 'core-tests'), [], env));
}

/**
 * @param {CheckContext} context
 * @param {string} name
 */
async function checkFile(context, name) {
  const file = path.join('test', 'engine', name);
  return outcomeOf(await inTime(context, process.execPath, [mocha, '--reporter', 'dot', file]));
}

/** @param {{ output: string, failure?: string }} ran */
function outcomeOf({ output, failure }) {
  return { ...(failure === undefined ? {} : { failure }), end: output.trim().slice(-shownCharacters) };
}
