// @ts-check
/**
 * Unpacks the bundle and builds the addon and llama-server with cmake and ninja, without npm. A build that does not end
 * in time is stopped; ninja keeps what it has.
 */
import { appendFileSync, cpSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { run } from '../lib/exec.mjs';
import { buildDir, rootDir, vendoredLlamaDir } from '../lib/paths.mjs';
import { ScriptError } from '../lib/script-error.mjs';
import { chooseGpu, lookForGpus } from '../setup/gpu.mjs';
import { partFile } from './bundle.mjs';
import { inTime, workDir } from './context.mjs';

const peerDir = path.join(workDir, 'peer');
const peerSource = path.join(workDir, 'peer-source');
/** Things come to be whole here, and are moved to their places then. */
const stagingDir = path.join(workDir, 'staging');
/** Of the output of a build that failed. */
const shownLines = 60;
/** Where llama-server comes to lie. */
export const peerBinary = path.join(workDir, 'peer-build', 'bin', 'llama-server');

/** @typedef {import('./context.mjs').CheckContext} CheckContext */

/** @returns {Promise<string>} */
export async function unpack() {
  const missing = [
    { part: 'packages', made: path.join(rootDir, 'node_modules') },
    { part: 'source', made: vendoredLlamaDir },
    { part: 'dist', made: path.join(rootDir, 'dist') },
    { part: 'peer', made: peerDir },
  ].filter(({ made }) => !existsSync(made));
  for (const { part, made } of missing) {
    await staged(made, (into) => run('tar', ['-xJf', partFile(part), '-C', into], { what: `unpacking ${part}` }));
  }
  if (!existsSync(peerSource)) await staged(peerSource, wholePeer);
  return missing.map(({ part }) => part).join(', ') || 'everything was there';
}

/**
 * The peer's tree is ours with the files of upstream in place of those we patch, and with the tools.
 * @param {string} into
 */
function wholePeer(into) {
  const tree = path.join(into, path.basename(peerSource));
  cpSync(vendoredLlamaDir, tree, { recursive: true });
  cpSync(peerDir, tree, { recursive: true, force: true });
}

/**
 * @param {string} made
 * @param {(into: string) => unknown} make makes what has the name of `made` in the folder that it gets
 */
async function staged(made, make) {
  rmSync(stagingDir, { recursive: true, force: true });
  mkdirSync(stagingDir, { recursive: true });
  await make(stagingDir);
  mkdirSync(path.dirname(made), { recursive: true });
  renameSync(path.join(stagingDir, path.basename(made)), made);
}

/**
 * @param {CheckContext} context
 * @returns {Promise<object>}
 */
export async function buildAddon(context) {
  const gpu = chooseGpu(context.gpu, lookForGpus(), process.env.CUDA_ARCHITECTURES);
  const require = createRequire(import.meta.url);
  const headers = [require('node-api-headers').include_dir, path.join(rootDir, 'node_modules', 'node-addon-api')];
  await configure(context, rootDir, buildDir, gpu, {
    LLAMA_CPP_DIR: vendoredLlamaDir,
    LLAMAESTRO_GPU: gpu.gpu,
    LLAMAESTRO_TESTS: 'ON',
    CUDA_ARCHITECTURES: gpu.architectures,
    CMAKE_JS_INC: headers.join(';'),
    CMAKE_LIBRARY_OUTPUT_DIRECTORY: path.join(buildDir, 'Release'),
  });
  await build(context, buildDir, 'llamaestro');
  await build(context, buildDir, 'core-tests');
  return { gpu: gpu.gpu, architectures: gpu.architectures, reason: gpu.reason };
}

/**
 * @param {CheckContext} context
 * @returns {Promise<string>}
 */
export async function buildPeer(context) {
  const gpu = chooseGpu(context.gpu, lookForGpus(), process.env.CUDA_ARCHITECTURES);
  const tree = path.join(workDir, 'peer-build');
  await configure(context, peerSource, tree, gpu, {
    BUILD_SHARED_LIBS: 'OFF',
    LLAMA_BUILD_TESTS: 'OFF',
    LLAMA_BUILD_EXAMPLES: 'OFF',
    LLAMA_BUILD_APP: 'OFF',
    LLAMA_OPENSSL: 'OFF',
    LLAMA_BUILD_UI: 'OFF',
    LLAMA_USE_PREBUILT_UI: 'OFF',
    GGML_CUDA: gpu.gpu === 'cuda' ? 'ON' : 'OFF',
    GGML_CUDA_NCCL: 'OFF',
    ...(gpu.architectures === '' ? {} : { CMAKE_CUDA_ARCHITECTURES: gpu.architectures }),
  });
  await build(context, tree, 'llama-server');
  return 'llama-server of the same source, unpatched but for AMX';
}

/**
 * @param {CheckContext} context
 * @param {string} source
 * @param {string} tree
 * @param {import('../setup/gpu.mjs').GpuChoice} gpu
 * @param {Record<string, string>} options
 */
function configure(context, source, tree, gpu, options) {
  const defined = Object.entries({ CMAKE_BUILD_TYPE: 'Release', ...options }).map(
    ([key, value]) => `-D${key}=${value}`,
  );
  const env = { ...process.env, ...(gpu.nvcc ? { CUDACXX: gpu.nvcc } : {}) };
  return compile(context, 'cmake', ['-G', 'Ninja', '-S', source, '-B', tree, ...defined], env);
}

/**
 * @param {CheckContext} context
 * @param {string} tree
 * @param {string} target
 */
function build(context, tree, target) {
  return compile(context, 'ninja', ['-C', tree, target], process.env);
}

/**
 * @param {CheckContext} context
 * @param {string} command
 * @param {readonly string[]} args
 * @param {Record<string, string | undefined>} env
 */
async function compile(context, command, args, env) {
  const { output, failure } = await inTime(context, command, args, env);
  const logFile = path.join(workDir, `${command}.log`);
  appendFileSync(logFile, output);
  if (failure === undefined) return;
  const logLines = output.trim().split('\n').slice(-shownLines);
  throw new ScriptError(`${command}: ${failure}; see ${path.relative(rootDir, logFile)}`, { logLines });
}
