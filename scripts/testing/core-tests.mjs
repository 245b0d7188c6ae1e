// @ts-check
/**
 * The core's own test program, with the model files that it wants.
 */
import path from 'node:path';
import { rootDir } from '../lib/paths.mjs';
import { makeModels } from '../make-models/index.mjs';
import { testProgram } from './checks.mjs';

const modelsDir = path.join(rootDir, '.cache', 'models');

/**
 * @param {string} name
 * @param {string} program
 * @param {Record<string, string | undefined>} [env]
 * @returns {{ name: string, run: () => Promise<import('./counts.mjs').Counts> }}
 */
export function coreTests(name, program, env = process.env) {
  return {
    name,
    async run() {
      await makeModels({ out: modelsDir, set: 'test' });
      const withModels = { ...env, LLAMAESTRO_TEST_MODELS: path.join(modelsDir, 'test') };
      return testProgram(name, program, withModels).run();
    },
  };
}
