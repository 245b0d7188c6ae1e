// @ts-check
/**
 * `npm run test:pack`: packs the npm package, installs it with real npm into two fresh folders, one with install scripts
 * and one without, and runs the example program there. Needs the package registry (or npm's cache) and some minutes for
 * the compilers. Closes with `N passed, N failed`. PACK_FOLDER keeps the folders, for looking at them.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { npmCommand, run } from './lib/exec.mjs';
import { stdoutReporter } from './lib/reporter.mjs';
import { describeError } from './lib/script-error.mjs';
import { makeModels } from './make-models/index.mjs';
import { packPackage } from './packaging/pack.mjs';
import { sqliteBuildEnv } from './setup/dependencies.mjs';
import { closingLine } from './testing/counts.mjs';

const folder = process.env.PACK_FOLDER ?? mkdtempSync(path.join(tmpdir(), 'llamaestro-pack-'));
const reporter = stdoutReporter();
const counts = { passed: 0, failed: 0, skipped: 0 };

try {
  const archive = await packPackage(folder, reporter);
  const [made] = await makeModels({ out: folder, set: 'test', only: 'scripted' });
  const model = made?.path ?? '';

  const plain = await install('with-scripts', archive, ['--ignore-scripts=false']);
  check('the install script builds the addon', existsSync(path.join(plain.home, 'build/Release/llamaestro.node')));
  const left = readdirSync(path.join(plain.home, 'build', 'Release')).sort();
  check('and leaves its licences beside it', left.join() === 'THIRD-PARTY-NOTICES,llamaestro.node', left.join());
  check('and not the source', !existsSync(path.join(plain.home, 'vendor', 'llama.cpp')));
  checkExample('the example runs', plain, model);

  const bare = await install('without-scripts', archive, ['--ignore-scripts']);
  const first = node(bare.app, [
    '-e',
    "import('llamaestro/native').catch((e) => console.log(e.code + '\\n' + e.remedy))",
  ]);
  check(
    'without scripts the first import says addon_missing',
    first.output.startsWith('addon_missing\n'),
    first.output,
  );
  const [, script = ''] = /node "([^"]+)"/.exec(first.output) ?? [];
  check('the command of its remedy works', node(bare.app, [script]).status === 0);
  checkExample('and then the example runs', bare, model);
} catch (error) {
  reporter.line(describeError(error).join('\n'));
  counts.failed += 1;
} finally {
  if (process.env.PACK_FOLDER === undefined) rmSync(folder, { recursive: true, force: true });
}
process.stdout.write(`\n${closingLine(counts)}\n`);
process.exitCode = counts.failed === 0 && counts.passed > 0 ? 0 : 1;

/**
 * @typedef {{ app: string, home: string }} Installed
 * @param {string} name
 * @param {string} archive
 * @param {readonly string[]} args
 * @returns {Promise<Installed>}
 */
async function install(name, archive, args) {
  const app = path.join(folder, name);
  rmSync(app, { recursive: true, force: true });
  mkdirSync(app, { recursive: true });
  writeFileSync(path.join(app, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }));
  const report = reporter.step(`npm install ${name}`);
  const npm = npmCommand();
  const command = [...npm.args, 'install', archive, '--no-audit', '--no-fund', '--prefer-offline', ...args];
  try {
    await run(npm.command, command, { cwd: app, env: { ...process.env, ...sqliteBuildEnv() }, what: 'npm install' });
  } catch (error) {
    report.failed();
    throw error;
  }
  report.done();
  return { app, home: path.join(app, 'node_modules', 'llamaestro') };
}

/**
 * @param {string} what
 * @param {Installed} installed
 * @param {string} model
 */
function checkExample(what, { app, home }, model) {
  const example = path.join(home, 'examples', 'stream.mjs');
  const { status, output } = node(app, [example, model, 'Who are you?', '5']);
  check(what, status === 0 && /\ncancelled after \d+ tokens\n$/.test(output), output);
}

/**
 * @param {string} cwd
 * @param {readonly string[]} args
 */
function node(cwd, args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: 'utf8' });
  return { status, output: stdout, errors: stderr };
}

/**
 * @param {string} what
 * @param {boolean} holds
 * @param {string} [seen]
 */
function check(what, holds, seen = '') {
  counts[holds ? 'passed' : 'failed'] += 1;
  reporter.line(`${holds ? 'ok  ' : 'FAIL'} ${what}${holds || seen === '' ? '' : `: ${seen}`}`);
}
