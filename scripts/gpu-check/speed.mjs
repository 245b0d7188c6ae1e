// @ts-check
/**
 * The measurements against llama-server of the same source: the scripts of bench/, with everything on the GPU. Their
 * printed lines go into the result as they are.
 */
import path from 'node:path';
import { rootDir } from '../lib/paths.mjs';
import { makeModels } from '../make-models/index.mjs';
import { peerBinary } from './build.mjs';
import { inTime } from './context.mjs';

const modelsDir = path.join(rootDir, '.cache', 'models');

/**
 * Scripts of bench/ by what they show. `trial`: their sizes where only the check itself is tried, on a CPU.
 * @type {Record<string, { script: string, peer: boolean, whole: string, trial: string }>}
 */
const runs = {
  throughput: {
    script: 'streams',
    peer: true,
    whole: '--streams 1,8,32 --rounds 2',
    trial: '--streams 1,2 --tokens 16 --rounds 1',
  },
  'prefix sharing': { script: 'shared-prefix', peer: true, whole: '--rounds 3', trial: '--requests 8 --rounds 1' },
  cancel: { script: 'cancel-prefill', peer: true, whole: '--rounds 2', trial: '--prompt 2000 --rounds 1' },
  'behind a long prompt': {
    script: 'behind-long-prompt',
    peer: true,
    whole: '--rounds 2',
    trial: '--long 1500 --rounds 1',
  },
  'cost of HTTP': {
    script: 'engine-over-http',
    peer: false,
    whole: '--streams 8 --rounds 2',
    trial: '--streams 2 --tokens 16 --rounds 1',
  },
};

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
 * @returns {Record<string, () => Promise<object>>}
 */
export function speedParts(context) {
  const parts = Object.entries(runs).map(([name, { script, peer, whole, trial }]) => {
    const sides = ['--model', modelFile(context.shape), ...(peer ? ['--peer', peerBinary] : [])];
    const size = (context.gpu === 'cpu' ? trial : whole).split(' ');
    return /** @type {const} */ ([name, () => measure(context, [`bench/${script}.mjs`, ...sides, ...size])]);
  });
  return Object.fromEntries(parts);
}

/**
 * @param {import('./context.mjs').CheckContext} context
 * @param {readonly string[]} args
 */
async function measure(context, args) {
  const { output, failure } = await inTime(context, process.execPath, args);
  return { lines: output.trim().split('\n'), ...(failure === undefined ? {} : { failure }) };
}
