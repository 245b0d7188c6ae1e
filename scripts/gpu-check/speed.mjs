// @ts-check
/**
 * The measurements against llama-server of the same source: the scripts of bench/, with everything on the GPU. Their
 * printed lines go into the result as they are.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { capture } from '../lib/exec.mjs';
import { rootDir } from '../lib/paths.mjs';
import { makeModels } from '../make-models/index.mjs';
import { peerBinary } from './build.mjs';

const modelsDir = path.join(rootDir, '.cache', 'models');

/** @param {string} shape */
function setOf(shape) {
  return shape === '600m' ? 'bench-gpu' : 'bench';
}

/** @param {string} shape */
export function modelFile(shape) {
  return path.join(modelsDir, setOf(shape), `${shape}.gguf`);
}

/**
 * @param {import('./context.mjs').CheckContext} context
 * @returns {Promise<string>}
 */
export async function makeModel({ shape }) {
  await makeModels({ out: modelsDir, set: setOf(shape), only: shape });
  return path.relative(rootDir, modelFile(shape));
}

/**
 * @param {import('./context.mjs').CheckContext} context
 * @returns {Promise<Record<string, unknown>>}
 */
export function compareSpeed(context) {
  const model = ['--model', modelFile(context.shape)];
  const both = [...model, '--peer', peerBinary];
  /** @type {Record<string, string[]>} */
  const runs = {
    throughput: ['bench/streams.mjs', ...both, '--streams', '1,8,32', '--rounds', '2'],
    'prefix sharing': ['bench/shared-prefix.mjs', ...both],
    cancel: ['bench/cancel-prefill.mjs', ...both],
    'cost of HTTP': ['bench/engine-over-http.mjs', ...model, '--streams', '8', '--rounds', '2'],
  };
  /** @type {Record<string, unknown>} */
  const results = {};
  for (const [name, [script = '', ...args]] of Object.entries(runs)) {
    if (!existsSync(path.join(rootDir, script))) throw new Error(`${script} is missing`);
    const ran = capture(process.execPath, [script, ...args], {
      cwd: rootDir,
      timeoutMs: Math.max(1000, context.leftMs() - 10_000),
    });
    results[name] = { status: ran?.status, lines: ran?.output.trim().split('\n') };
    context.say(`  ${name}: ${ran?.output.trim()}`);
  }
  return Promise.resolve(results);
}
