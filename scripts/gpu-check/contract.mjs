// @ts-check
/** The core's test program and the contract suite of the engine, with the addon that was built for the GPU. */
import path from 'node:path';
import { readdirSync } from 'node:fs';
import { capture } from '../lib/exec.mjs';
import { buildDir, rootDir } from '../lib/paths.mjs';
import { makeCoreTestModels } from '../testing/core-models.mjs';

const mocha = path.join(rootDir, 'node_modules', 'mocha', 'bin', 'mocha.js');
const shownBytes = 4000;

/**
 * @param {import('./context.mjs').CheckContext} context
 * @returns {Promise<object>}
 */
export async function checkContract(context) {
  const models = await makeCoreTestModels();
  const core = capture(path.join(buildDir, 'core-tests'), [], {
    env: { ...process.env, LLAMAESTRO_TEST_MODELS: models },
    timeoutMs: context.leftMs() / 2,
  });
  const files = readdirSync(path.join(rootDir, 'test', 'engine'))
    .filter((name) => /^native-.*\.test\.ts$/.test(name))
    .map((name) => path.join('test', 'engine', name));
  const suite = capture(process.execPath, [mocha, '--reporter', 'dot', ...files], {
    cwd: rootDir,
    timeoutMs: Math.max(1000, context.leftMs() - 10_000),
  });
  return { core: outcomeOf(core), engine: { files: files.length, ...outcomeOf(suite) } };
}

/** @param {{ status: number, output: string } | undefined} ran */
function outcomeOf(ran) {
  return { status: ran?.status, end: ran?.output.slice(-shownBytes) };
}
