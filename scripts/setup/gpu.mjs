// @ts-check
/**
 * Which backend the addon is built for. The choice is a pure function over what the machine shows; it never falls
 * back quietly from a GPU that is there.
 */
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { capture, findOnPath, isExecutable } from '../lib/exec.mjs';
import { ScriptError } from '../lib/script-error.mjs';

/** Values of LLAMAESTRO_GPU. */
export const gpuChoices = Object.freeze(['auto', 'cuda', 'metal', 'vulkan', 'cpu']);

/**
 * @typedef {object} GpuFacts
 * @property {string} platform
 * @property {boolean} nvidiaGpu a device of NVIDIA is visible
 * @property {string} [nvcc] path of the CUDA compiler
 * @property {boolean} cublas header and library of cuBLAS were found
 * @property {readonly string[]} computeCapabilities of the visible devices, as "9.0"
 * @property {boolean} vulkanTools glslc and the Vulkan header were found
 *
 * @typedef {{ gpu: 'cuda' | 'metal' | 'vulkan' | 'cpu', reason: string, architectures: string,
 *   nvcc?: string }} GpuChoice `nvcc`: with which compiler, for cuda
 */

const installToolkit =
  "install the CUDA toolkit: sudo apt-get install -y cuda-toolkit (NVIDIA's package repository) or nvidia-cuda-toolkit " +
  "(Debian non-free, Ubuntu; older), elsewhere your system's CUDA packages; then put nvcc on PATH or set CUDA_PATH";
const cpuOnPurpose = 'to build for the CPU on purpose: LLAMAESTRO_GPU=cpu';

/**
 * @param {string | undefined} wanted LLAMAESTRO_GPU
 * @param {GpuFacts} facts
 * @param {string | undefined} [architectures] CUDA_ARCHITECTURES
 * @returns {GpuChoice} throws a ScriptError where going on would build something else than was asked for
 */
export function chooseGpu(wanted, facts, architectures) {
  const choice = (wanted || 'auto').toLowerCase();
  if (!gpuChoices.includes(choice)) {
    throw new ScriptError(`LLAMAESTRO_GPU is "${wanted}"; it can be ${gpuChoices.join(', ')}`, { status: 2 });
  }
  if (choice === 'cpu') return { gpu: 'cpu', reason: 'LLAMAESTRO_GPU=cpu', architectures: '' };
  if (choice === 'cuda') return cuda(facts, architectures, 'LLAMAESTRO_GPU=cuda');
  if (choice === 'metal') return metal(facts, 'LLAMAESTRO_GPU=metal');
  if (choice === 'vulkan') return vulkan(facts);
  if (facts.platform === 'darwin') return metal(facts, 'macOS');
  if (facts.nvidiaGpu) return cuda(facts, architectures, 'an NVIDIA GPU is present');
  return { gpu: 'cpu', reason: 'no GPU was found', architectures: '' };
}

/**
 * @param {GpuFacts} facts
 * @param {string | undefined} architectures
 * @param {string} reason
 * @returns {GpuChoice}
 */
function cuda(facts, architectures, reason) {
  if (facts.platform === 'darwin')
    throw new ScriptError('CUDA cannot be used on macOS', { remedy: 'LLAMAESTRO_GPU=metal' });
  const missing = [...(facts.nvcc ? [] : ['the CUDA compiler (nvcc)']), ...(facts.cublas ? [] : ['cuBLAS'])];
  if (missing.length > 0) {
    throw new ScriptError(`${reason}, but ${missing.join(' and ')} cannot be found`, {
      remedy: `${installToolkit}; ${cpuOnPurpose}`,
    });
  }
  const list = architectures || detectedArchitectures(facts.computeCapabilities);
  if (!list) {
    throw new ScriptError('CUDA was asked for, but no device shows which architecture to build for', {
      remedy: `name it, for example CUDA_ARCHITECTURES=89 (RTX 40) or 90 (H100); ${cpuOnPurpose}`,
    });
  }
  return { gpu: 'cuda', reason, architectures: list, ...(facts.nvcc ? { nvcc: facts.nvcc } : {}) };
}

/**
 * @param {GpuFacts} facts
 * @param {string} reason
 * @returns {GpuChoice}
 */
function metal(facts, reason) {
  if (facts.platform !== 'darwin') throw new ScriptError('Metal exists on macOS only', { remedy: cpuOnPurpose });
  return { gpu: 'metal', reason, architectures: '' };
}

/**
 * @param {GpuFacts} facts
 * @returns {GpuChoice}
 */
function vulkan(facts) {
  if (!facts.vulkanTools) {
    throw new ScriptError('LLAMAESTRO_GPU=vulkan, but glslc or the Vulkan headers cannot be found', {
      remedy: `sudo apt-get install -y libvulkan-dev glslc spirv-headers (or the Vulkan SDK); ${cpuOnPurpose}`,
    });
  }
  return { gpu: 'vulkan', reason: 'LLAMAESTRO_GPU=vulkan', architectures: '' };
}

/**
 * cmake's names for the devices that are there: machine code for exactly these and no intermediate form.
 * @param {readonly string[]} capabilities
 * @returns {string} separated by semicolons; empty when none is known
 */
export function detectedArchitectures(capabilities) {
  const names = capabilities.filter((text) => /^\d+\.\d$/.test(text)).map((text) => text.replace('.', ''));
  return [...new Set(names)].map((name) => (name === '90' ? '90a-real' : `${name}-real`)).join(';');
}

/** @returns {GpuFacts} what this machine shows */
export function lookForGpus(env = process.env) {
  const smi = findOnPath('nvidia-smi');
  const query = smi
    ? capture(smi, ['--query-gpu=compute_cap', '--format=csv,noheader'], { timeoutMs: 20_000 })
    : undefined;
  const capabilities =
    query?.status === 0
      ? query.output
          .split('\n')
          .map((line) => line.trim())
          .filter(Boolean)
      : [];
  const toolkit = findToolkit(env);
  return {
    platform: process.platform,
    nvidiaGpu: capabilities.length > 0 || existsSync('/proc/driver/nvidia/version'),
    cublas: toolkit.cublas,
    computeCapabilities: capabilities,
    vulkanTools:
      Boolean(findOnPath('glslc')) && hasFile(['/usr/include', env.VULKAN_SDK ?? '/none'], 'vulkan/vulkan.h'),
    ...(toolkit.nvcc ? { nvcc: toolkit.nvcc } : {}),
  };
}

/**
 * @param {Record<string, string | undefined>} env
 * @returns {{ nvcc: string | undefined, cublas: boolean }}
 */
function findToolkit(env) {
  const roots = [env.CUDAToolkit_ROOT, env.CUDA_PATH, env.CUDA_HOME, '/usr/local/cuda', '/opt/cuda'];
  const candidates = [env.CUDACXX, findOnPath('nvcc'), ...roots.map((root) => root && path.join(root, 'bin', 'nvcc'))];
  const nvcc = candidates.find((file) => file && isExecutable(file));
  const own = nvcc ? [path.resolve(nvcc, '../..'), path.resolve(realpathSync(nvcc), '../..')] : [];
  const prefixes = [...own, ...roots.filter((root) => root !== undefined), '/usr'];
  const header = prefixes.some((root) => hasFile([root, `${root}/include`, ...targets(root)], 'cublas_v2.h'));
  const library = prefixes.some((root) => libraryFolders(root).some((folder) => holdsCublas(folder)));
  return { nvcc, cublas: header && library };
}

/**
 * @param {readonly string[]} folders
 * @param {string} name
 */
function hasFile(folders, name) {
  return folders.some(
    (folder) => existsSync(path.join(folder, name)) || existsSync(path.join(folder, 'include', name)),
  );
}

/** @param {string} root */
function targets(root) {
  const folder = path.join(root, 'targets');
  return existsSync(folder) ? readdirSync(folder).map((name) => path.join(folder, name)) : [];
}

/** @param {string} root */
function libraryFolders(root) {
  const plain = ['lib64', 'lib', 'lib/x64', 'lib/x86_64-linux-gnu', 'lib/aarch64-linux-gnu', 'lib/sbsa-linux-gnu'];
  return [...plain.map((name) => path.join(root, name)), ...targets(root).map((target) => path.join(target, 'lib'))];
}

/** @param {string} folder */
function holdsCublas(folder) {
  return existsSync(folder) && readdirSync(folder).some((name) => /^(lib)?cublas\.(so|lib|dylib)/.test(name));
}
