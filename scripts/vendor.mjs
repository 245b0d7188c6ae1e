// @ts-check
/**
 * `node scripts/vendor.mjs`: makes vendor/llama.cpp ready and says where the source is. The work is in setup/vendor.
 */
import path from 'node:path';
import { setupLogDir, shortPath } from './lib/paths.mjs';
import { runMain } from './lib/script-error.mjs';
import { ensureLlamaSource } from './setup/vendor.mjs';

await runMain(async () => {
  const status = (/** @type {string} */ text) => process.stdout.write(`${text}\n`);
  const source = await ensureLlamaSource({ status, logPath: path.join(setupLogDir, 'vendor.log') });
  const how = source.own ? 'chosen by LLAMA_CPP_DIR' : source.changed ? 'unpacked' : 'up to date';
  status(`llama.cpp source: ${shortPath(source.dir)} (${how})`);
});
