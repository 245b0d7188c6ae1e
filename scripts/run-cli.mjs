// @ts-check
/**
 * Runs a verb of the command line (`npm run status`, `npm run switch -- NAME`) against the gateway that runs here.
 */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { rootDir, stateDir } from './lib/paths.mjs';
import { ScriptError, runMain } from './lib/script-error.mjs';
import { runningGateway } from './lifecycle/pid-file.mjs';

await runMain(async () => {
  const main = path.join(rootDir, 'dist', 'cli', 'main.js');
  if (!existsSync(main)) throw new ScriptError('dist/cli/main.js is missing', { remedy: 'npm run build' });
  const [node = process.execPath, , ...words] = process.argv;
  const running = runningGateway(stateDir());
  const chosen = words.some((word) => word === '--url' || word.startsWith('--url='));
  const address = running && !chosen ? ['--url', running.url] : [];
  process.argv = [node, main, ...address, ...words];
  await import(pathToFileURL(main).href);
});
