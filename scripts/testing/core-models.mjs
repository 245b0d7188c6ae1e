// @ts-check
/**
 * The model files that the core's test program reads, made once under `.cache/models` like those of the mocha tests.
 */
import path from 'node:path';
import { rootDir } from '../lib/paths.mjs';
import { makeModels } from '../make-models/index.mjs';

/** Makes what is missing; returns the folder for LLAMAESTRO_TEST_MODELS. `architectures` comes to lie beside it. */
export async function makeCoreTestModels() {
  const out = path.join(rootDir, '.cache', 'models');
  await makeModels({ out, set: 'test' });
  await makeModels({ out, set: 'architectures' });
  return path.join(out, 'test');
}
