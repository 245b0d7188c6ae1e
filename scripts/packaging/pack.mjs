// @ts-check
/** Packs the npm package from a checkout. Knows what must be made first, and nothing of what lies in the package. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { capture, npmCommand } from '../lib/exec.mjs';
import { rootDir } from '../lib/paths.mjs';
import { ScriptError } from '../lib/script-error.mjs';
import { distStep } from '../setup/products.mjs';
import { runStep } from '../setup/steps.mjs';

/**
 * @param {string} folder where the package goes; made when it is not there
 * @param {import('../setup/steps.mjs').Reporter} reporter
 * @returns {Promise<string>} path of the package
 */
export async function packPackage(folder, reporter) {
  await runStep(distStep, reporter);
  mkdirSync(folder, { recursive: true });
  const [entry] = npmPack(['--pack-destination', folder]);
  return path.join(folder, entry?.filename ?? '');
}

/**
 * What `npm pack` says about the package.
 * @param {readonly string[]} args for npm
 * @returns {{ filename: string, files: { path: string, size: number }[] }[]}
 */
export function npmPack(args) {
  const npm = npmCommand();
  const packed = capture(npm.command, [...npm.args, 'pack', '--json', '--loglevel=error', ...args], { cwd: rootDir });
  if (packed?.status !== 0) throw new ScriptError(`npm pack failed: ${packed?.output ?? 'npm is not there'}`);
  return JSON.parse(packed.output);
}
