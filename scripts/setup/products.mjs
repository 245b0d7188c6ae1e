// @ts-check
/**
 * What is made from our own sources without a C++ compiler: dist/ (by tsc) and the demo models.
 */
import { copyFileSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { run } from '../lib/exec.mjs';
import { rootDir, stampDir, stateDir } from '../lib/paths.mjs';
import { filesUnder, hashInputs, removeStamp, stampMatches, writeStamp } from '../lib/stamps.mjs';
import { readPin } from './vendor.mjs';

const srcDir = path.join(rootDir, 'src');
const distDir = path.join(rootDir, 'dist');
const distStamp = path.join(stampDir, 'dist');
/** What tsc remembers. It lies in dist/, so that it never outlives what it describes. */
const distMemory = path.join(distDir, '.tsbuildinfo');
const tsc = path.join(rootDir, 'node_modules', 'typescript', 'bin', 'tsc');
const makeModelsDir = path.join(rootDir, 'scripts', 'make-models');

/** @type {import('./steps.mjs').Step} */
export const distStep = {
  name: 'dist',
  upToDate: () => existsSync(distDir) && stampMatches(distStamp, distHash()),
  async run({ status, logPath }) {
    status('compiling TypeScript');
    const hash = distHash();
    const memory = ['--incremental', '--tsBuildInfoFile', distMemory];
    await run(process.execPath, [tsc, '-p', path.join(rootDir, 'tsconfig.build.json'), ...memory], {
      cwd: rootDir,
      logPath,
      what: 'compiling src to dist',
    });
    pruneDist();
    copyOtherFiles();
    writeStamp(distStamp, hash);
  },
  forget() {
    removeStamp(distStamp);
    rmSync(distMemory, { force: true });
  },
};

/** @type {import('./steps.mjs').Step} */
export const demoModelsStep = {
  name: 'demo models',
  upToDate: () => stampMatches(modelStamp(), modelHash()),
  async run({ status, logPath, env }) {
    status('writing the demo models');
    const main = path.join(makeModelsDir, 'main.mjs');
    mkdirSync(modelsDir(), { recursive: true });
    await run(process.execPath, [main, '--out', modelsDir(), '--set', 'demo'], {
      cwd: rootDir,
      env,
      logPath,
      what: 'making the demo models',
      onLine: (line) => line && status(line),
    });
    writeStamp(modelStamp(), modelHash());
    return path.join(modelsDir(), 'demo');
  },
  forget: () => removeStamp(modelStamp()),
};

function modelsDir() {
  return path.join(stateDir(), 'models');
}

function modelStamp() {
  return path.join(modelsDir(), 'demo', '.stamp');
}

/** Over the recipes and over what lies there, so that a file that was deleted or cut short is made again. */
function modelHash() {
  const made = filesUnder(path.join(modelsDir(), 'demo'), (file) => file.endsWith('.gguf'));
  const sizes = made.map((file) => [path.basename(file), statSync(file).size]);
  return hashInputs({ files: filesUnder(makeModelsDir), values: { tree: readPin().tree, sizes } });
}

function distHash() {
  const configs = ['tsconfig.json', 'tsconfig.build.json'].map((name) => path.join(rootDir, name));
  return hashInputs({ files: [...filesUnder(srcDir), ...configs] });
}

/** Takes away what a source file that is gone once compiled to. */
function pruneDist() {
  for (const file of filesUnder(distDir, (name) => name !== distMemory)) {
    const relative = path.relative(distDir, file);
    const source = relative.replace(/(\.d\.ts|\.js)(\.map)?$/, '.ts');
    if (!existsSync(path.join(srcDir, source)) && !existsSync(path.join(srcDir, relative))) rmSync(file);
  }
}

/** tsc leaves alone what is not TypeScript. */
function copyOtherFiles() {
  for (const file of filesUnder(srcDir, (name) => !name.endsWith('.ts'))) {
    const target = path.join(distDir, path.relative(srcDir, file));
    mkdirSync(path.dirname(target), { recursive: true });
    copyFileSync(file, target);
  }
}
