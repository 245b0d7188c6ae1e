// @ts-check
/**
 * What binding.gyp calls: builds the addon as `npm run setup` does, in a tree beside node-gyp's own, and puts the file
 * where node-gyp expects its product (the first argument). With --inputs: prints the files that the addon is made from.
 */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { rootDir, setupLogDir } from './lib/paths.mjs';
import { stdoutReporter } from './lib/reporter.mjs';
import { runMain } from './lib/script-error.mjs';
import { addonSources, buildTarget } from './setup/addon.mjs';

const target = 'llamaestro';

await runMain(async () => {
  const [argument = '.'] = process.argv.slice(2);
  if (argument === '--inputs') {
    for (const file of addonSources()) process.stdout.write(`${path.relative(rootDir, file)}\n`);
    return;
  }
  const productDir = path.resolve(argument);
  const treeDir = path.join(productDir, '..', 'cmake');
  const logPath = path.join(setupLogDir, 'node-gyp.log');
  rmSync(logPath, { force: true });
  const report = stdoutReporter().step('addon');
  const context = { status: report.status, logPath, startedMs: performance.now(), env: process.env };
  const detail = await buildTarget(target, treeDir, context);
  mkdirSync(productDir, { recursive: true });
  copyFileSync(path.join(treeDir, 'Release', `${target}.node`), path.join(productDir, `${target}.node`));
  report.done(detail);
});
