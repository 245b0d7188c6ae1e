// @ts-check
/**
 * The install script of the npm package: builds the addon where llamaestro was installed as a dependency, with the
 * steps of the set-up, and keeps only the addon and the licences of what is in it. In a checkout it does nothing:
 * `npm run setup` is the way there. LLAMAESTRO_SKIP_BUILD=1 leaves the addon out.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { withLock } from './lib/lock.mjs';
import { addonFile, buildDir, isCheckout, rootDir, vendoredLlamaDir } from './lib/paths.mjs';
import { stdoutReporter } from './lib/reporter.mjs';
import { runMain } from './lib/script-error.mjs';
import { addonStep, chosenGpu, vendorStep } from './setup/addon.mjs';
import { checkPrerequisites } from './setup/prerequisites.mjs';
import { runStep } from './setup/steps.mjs';

const waitMs = 30 * 60_000;
const noticesName = 'THIRD-PARTY-NOTICES';
const releaseDir = path.dirname(addonFile);

await runMain(async () => {
  const reporter = stdoutReporter();
  if (isCheckout) return reporter.line('this is a checkout: "npm run setup" builds the addon');
  if (process.env.LLAMAESTRO_SKIP_BUILD === '1') {
    return reporter.line(`LLAMAESTRO_SKIP_BUILD=1: the addon is not built; "node ${process.argv[1]}" builds it`);
  }
  checkPrerequisites({ addonOnly: true });
  chosenGpu();
  const onWait = (/** @type {number} */ pid) => reporter.line(`process ${pid} builds the addon; waiting for it`);
  await withLock(path.join(rootDir, '.install.lock'), { waitMs, onWait }, async () => {
    await runStep(vendorStep, reporter);
    await runStep(addonStep, reporter);
    keepOnlyTheAddon();
  });
});

/** What the build needed takes a hundred times the room of what it made. */
function keepOnlyTheAddon() {
  const notices = path.join(vendoredLlamaDir, noticesName);
  mkdirSync(releaseDir, { recursive: true });
  if (existsSync(notices)) cpSync(notices, path.join(releaseDir, noticesName));
  const spare = [
    ...readdirSync(buildDir)
      .map((name) => path.join(buildDir, name))
      .filter((entry) => entry !== releaseDir),
    vendoredLlamaDir,
    path.join(rootDir, 'vendor', 'cache'),
  ];
  for (const entry of spare) rmSync(entry, { recursive: true, force: true });
  for (const name of readdirSync(releaseDir)) {
    if (name !== path.basename(addonFile) && name !== noticesName)
      rmSync(path.join(releaseDir, name), { recursive: true });
  }
}
