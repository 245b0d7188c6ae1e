// @ts-check
/**
 * The native addon and the core's own test program, built by cmake through cmake-js. Knows the names of cmake's
 * options and targets and nothing about the code behind them.
 */
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import path from 'node:path';
import { capture, run } from '../lib/exec.mjs';
import { addonFile, buildDir, packageDir, rootDir, stampDir } from '../lib/paths.mjs';
import { filesUnder, hashInputs, removeStamp, stampMatches, writeStamp } from '../lib/stamps.mjs';
import { countMakeObjects, createProgressReader, progressText } from './build-progress.mjs';
import { compilerCacheEnv } from './compiler-cache.mjs';
import { chooseGpu, lookForGpus } from './gpu.mjs';
import { ensureLlamaSource, llamaSourceReady, vendorStampName } from './vendor.mjs';

const bytesPerJob = 1.5 * 2 ** 30;

/** Where cmake puts the core's test program. */
export const coreTestsFile = path.join(buildDir, process.platform === 'win32' ? 'core-tests.exe' : 'core-tests');

/** The test program of models on several devices, and the server it starts, which lies beside it. */
export const splitTestsFile = path.join(buildDir, 'split-tests');
export const rpcServerFile = path.join(buildDir, 'rpc-server');

/**
 * What the addon is built for here; throws where that cannot be built, before anything else takes time.
 * @returns {import('./gpu.mjs').GpuChoice}
 */
export function chosenGpu() {
  return chooseGpu(process.env.LLAMAESTRO_GPU, lookForGpus(), process.env.CUDA_ARCHITECTURES);
}

/** @type {import('./steps.mjs').Step} */
export const vendorStep = {
  name: 'llama.cpp source',
  upToDate: () => llamaSourceReady(),
  async run({ status, logPath }) {
    const source = await ensureLlamaSource({ status, logPath });
    return source.own ? `${source.dir} (LLAMA_CPP_DIR)` : 'unpacked';
  },
};

/** @type {import('./steps.mjs').Step} */
export const addonStep = cmakeStep('addon', 'llamaestro', addonFile);

/** @type {import('./steps.mjs').Step} */
export const coreTestsStep = cmakeStep('core tests', 'core-tests', coreTestsFile);

/** @type {import('./steps.mjs').Step} */
export const splitTestsStep = cmakeStep('split tests', 'split-tests', splitTestsFile);

/**
 * One cmake target as a step.
 * @param {string} name
 * @param {string} target
 * @param {string} product the file that it makes
 * @returns {import('./steps.mjs').Step}
 */
function cmakeStep(name, target, product) {
  const stampFile = path.join(stampDir, target);
  return {
    name,
    upToDate: () => !process.env.LLAMA_CPP_DIR && existsSync(product) && stampMatches(stampFile, inputHash()),
    async run(context) {
      const hash = inputHash();
      const detail = await buildTarget(target, buildDir, context);
      writeStamp(stampFile, hash);
      return detail;
    },
    forget: () => removeStamp(stampFile),
  };
}

/**
 * Builds one cmake target through cmake-js.
 * @param {string} target
 * @param {string} treeDir cmake's tree; the addon comes to lie in its Release folder
 * @param {import('./steps.mjs').StepContext} context
 * @returns {Promise<string>} for what it was built
 */
export async function buildTarget(target, treeDir, { status, logPath, startedMs }) {
  const gpu = chosenGpu();
  const source = await ensureLlamaSource({ status, logPath });
  const cmakeJs = path.join(packageDir('cmake-js'), 'bin', 'cmake-js');
  const shared = ['-d', rootDir, '-O', treeDir, '-B', 'Release'];
  const env = { ...compilerCacheEnv(), ...(gpu.nvcc ? { CUDACXX: gpu.nvcc } : {}) };
  const remedy = 'the log says what the compiler did not like; after a change of compiler or toolkit remove build/';
  const since = () => performance.now() - startedMs;
  /** @param {{ total?: number }} known */
  const follow = (known) => {
    const read = createProgressReader(known);
    return (/** @type {string} */ line) => {
      const progress = read(line);
      if (progress) status(progressText(progress, since()));
    };
  };
  status('configuring');
  const options = Object.entries(cmakeOptions(gpu, source.dir)).map(([name, value]) => `--CD${name}=${value}`);
  const configure = [cmakeJs, 'configure', ...shared, ...options];
  await run(process.execPath, configure, {
    cwd: rootDir,
    env,
    logPath,
    what: 'configuring the addon',
    remedy,
    onLine: follow({}),
  });
  const total = existsSync(path.join(treeDir, 'build.ninja')) ? undefined : makeObjects(target, treeDir);
  await run(process.execPath, [cmakeJs, 'build', ...shared, '-T', target, '-p', String(buildJobs())], {
    cwd: rootDir,
    env,
    logPath,
    what: `building ${target}`,
    remedy,
    onLine: follow(total === undefined ? {} : { total }),
  });
  const where = gpu.architectures ? `${gpu.gpu}, ${gpu.architectures}` : gpu.gpu;
  return `built for ${where} (${gpu.reason})`;
}

/**
 * @param {string} target
 * @param {string} treeDir
 * @returns {number | undefined}
 */
function makeObjects(target, treeDir) {
  const dryRun = capture('make', ['-n', target], { cwd: treeDir });
  // It ends with an error, because the libraries it would have built are not there.
  const count = dryRun ? countMakeObjects(dryRun.output) : 0;
  return count > 0 ? count : undefined;
}

/**
 * @param {import('./gpu.mjs').GpuChoice} gpu
 * @param {string} llamaDir
 * @returns {Record<string, string>} cmake cache variables
 */
function cmakeOptions(gpu, llamaDir) {
  return {
    LLAMA_CPP_DIR: llamaDir,
    LLAMAESTRO_GPU: gpu.gpu,
    LLAMAESTRO_TESTS: 'ON',
    LLAMAESTRO_SANITIZE: process.env.LLAMAESTRO_SANITIZE ?? '',
    CUDA_ARCHITECTURES: gpu.architectures,
  };
}

/** One job a core, fewer where memory is short; LLAMAESTRO_JOBS says otherwise. */
function buildJobs() {
  const asked = Number(process.env.LLAMAESTRO_JOBS);
  if (Number.isInteger(asked) && asked > 0) return asked;
  return Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / bytesPerJob)));
}

/** @returns {string[]} our own files that the addon is made from */
export function addonSources() {
  return [path.join(rootDir, 'CMakeLists.txt'), ...filesUnder(path.join(rootDir, 'native'))];
}

function inputHash() {
  const { LLAMAESTRO_GPU, CUDA_ARCHITECTURES, LLAMAESTRO_SANITIZE } = process.env;
  const source = path.join(rootDir, 'vendor', 'llama.cpp', vendorStampName);
  const places = [rootDir, ...['cmake-js', 'node-addon-api', 'node-api-headers'].map(packageDir)];
  const versions = places.map((place) => JSON.parse(readFileSync(path.join(place, 'package.json'), 'utf8')).version);
  return hashInputs({
    files: [...addonSources(), source],
    values: { LLAMAESTRO_GPU, CUDA_ARCHITECTURES, LLAMAESTRO_SANITIZE, versions, arch: process.arch },
  });
}
