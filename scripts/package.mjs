// @ts-check
/**
 * `npm run package [FOLDER]`: compiles dist/ and packs the npm package, into FOLDER or here. npm's own `prepack` would
 * do, but this checkout runs no lifecycle scripts.
 */
import path from 'node:path';
import { stdoutReporter } from './lib/reporter.mjs';
import { runMain } from './lib/script-error.mjs';
import { packPackage } from './packaging/pack.mjs';

await runMain(async () => {
  const reporter = stdoutReporter();
  reporter.line(await packPackage(path.resolve(process.argv[2] ?? '.'), reporter));
});
