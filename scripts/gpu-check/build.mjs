// @ts-check
/**
 * Unpacks the bundle and builds the addon and llama-server with cmake and ninja, without npm. A build that does not end
 * in time is stopped; ninja keeps what it has.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { run } from '../lib/exec.mjs';
import { buildDir, rootDir, vendoredLlamaDir } from '../lib/paths.mjs';
import { chooseGpu, lookForGpus } from '../setup/gpu.mjs';
import { partFile } from './bundle.mjs';
import { OutOfTime, workDir } from './context.mjs';

/** Kept free at the end of a call for writing the result. */
const marginMs = 10_000;
const peerDir = path.join(workDir, 'peer');
/** Where llama-server comes to lie. */
export const peerBinary = path.join(workDir, 'peer-build', 'bin', 'llama-server');

/** @typedef {import('./context.mjs').CheckContext} CheckContext */

/** @returns {Promise<string>} */
export async function unpack() {
  const missing = [
    { part: 'packages', into: rootDir, made: path.join(rootDir, 'node_modules') },
    { part: 'source', into: path.dirname(vendoredLlamaDir), made: vendoredLlamaDir },
    { part: 'dist', into: rootDir, made: path.join(rootDir, 'dist') },
    { part: 'peer', into: workDir, made: peerDir },
  ].filter(({ made }) => !existsSync(made));
  for (const { part, into } of missing) {
    mkdirSync(into, { recursive: true });
    await run('tar', ['-xJf', partFile(part), '-C', into], { what: `unpacking ${part}` });
  }
  // The peer's tree is ours with the files of upstream in place of those we patch, and with the tools.
  const whole = path.join(workDir, 'peer-source');
  if (!existsSync(whole)) {
    cpSync(vendoredLlamaDir, whole, { recursive: true });
    cpSync(peerDir, whole, { recursive: true, force: true });
  }
  return missing.map(({ part }) => part).join(', ') || 'everything was there';
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
  await configure(context, path.join(workDir, 'peer-source'), tree, gpu, {
    BUILD_SHARED_LIBS: 'OFF',
    LLAMA_BUILD_TESTS: 'OFF',
    LLAMA_BUILD_EXAMPLES: 'OFF',
    LLAMA_BUILD_APP: 'OFF',
    LLAMA_OPENSSL: 'OFF',
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
  return inTime(context, 'cmake', ['-G', 'Ninja', '-S', source, '-B', tree, ...defined], env);
}

/**
 * @param {CheckContext} context
 * @param {string} tree
 * @param {string} target
 */
function build(context, tree, target) {
  return inTime(context, 'ninja', ['-C', tree, target], process.env);
}

/**
 * @param {CheckContext} context
 * @param {string} command
 * @param {readonly string[]} args
 * @param {Record<string, string | undefined>} env
 */
async function inTime(context, command, args, env) {
  const logFile = path.join(workDir, `${command}.log`);
  const log = openSync(logFile, 'a');
  const child = spawn(command, args, { env, stdio: ['ignore', log, log], detached: true });
  let isLate = false;
  const timer = setTimeout(
    () => {
      isLate = true;
      // ninja passes the signal to the compilers, which are in its process group.
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM');
    },
    Math.max(0, context.leftMs() - marginMs),
  );
  const [status] = await once(child, 'exit');
  clearTimeout(timer);
  if (isLate) throw new OutOfTime(`${command} was stopped`);
  if (status !== 0) throw new Error(`${command} ended with status ${status}; see ${path.relative(rootDir, logFile)}`);
}
