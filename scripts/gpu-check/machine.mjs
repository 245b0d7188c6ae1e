// @ts-check
/** What the machine is, for the head of the result. */
import { cpus, totalmem } from 'node:os';
import { capture } from '../lib/exec.mjs';

/** @returns {Promise<object>} */
export function describeMachine() {
  const line = (/** @type {string} */ command, /** @type {string[]} */ args, /** @type {RegExp} */ wanted) =>
    capture(command, args)
      ?.output.split('\n')
      .find((text) => wanted.test(text))
      ?.trim();
  return Promise.resolve({
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    memoryBytes: totalmem(),
    gpu: line('nvidia-smi', ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader'], /./),
    nvcc: line('nvcc', ['--version'], /release/),
    compiler: line('c++', ['--version'], /./),
    node: process.version,
  });
}
