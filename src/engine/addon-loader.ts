/**
 * Finds and loads the one native file, once per environment (main thread or worker), on the first call that needs it,
 * so that importing the package works where nothing is built. Knows no engine.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { existsSync } from 'node:fs';
import { LlamaestroError } from '../base/errors.js';
import type { Addon } from './addon-types.js';
import { addonFault } from './addon-types.js';

const require = createRequire(import.meta.url);

// Two levels up from this file, which lies in src/engine or in dist/engine.
const packageRoot = new URL('../../', import.meta.url);

/** Where the build puts the addon. */
export const defaultAddonPath = fileURLToPath(new URL('build/Release/llamaestro.node', packageRoot));

/** Loads the addon at `path`. Errors: `addon_missing`, with the cause and the command that builds it. */
export function loadAddon(path: string = defaultAddonPath): Addon {
  if (!existsSync(path)) throw missing(`there is no native addon at ${path}`);
  let loaded: unknown;
  try {
    loaded = require(path);
  } catch (thrown) {
    const message = thrown instanceof Error ? (thrown.message.split('\n')[0] ?? '') : String(thrown);
    throw missing(`the native addon does not load: ${message}`, thrown);
  }
  const { version } = require(fileURLToPath(new URL('package.json', packageRoot))) as { version: string };
  const fault = addonFault(loaded, version);
  if (fault !== undefined) throw missing(`the native addon at ${path} is unfit: ${fault}`);
  return loaded as Addon;
}

function missing(message: string, cause?: unknown): LlamaestroError {
  const remedy = `Run ${buildCommand()} to compile the native addon.`;
  return new LlamaestroError('addon_missing', message, { remedy, ...(cause === undefined ? {} : { cause }) });
}

/** The install script by its path works whatever npm was told about scripts; a checkout, which alone has src, has its own way. */
function buildCommand(): string {
  if (existsSync(new URL('src/engine/', packageRoot))) return '"npm run build"';
  return `node "${fileURLToPath(new URL('scripts/install.mjs', packageRoot))}"`;
}
