// @ts-check
/**
 * The runs under sanitizers, each with a build of its own: the core's tests, and the engine's contract suite under Node
 * with the addon of that build. AddressSanitizer and UndefinedBehaviorSanitizer (build-asan) see a program beside it that
 * ends in the midst of work. ThreadSanitizer (build-tsan) looks at the addon alone: Node itself is not built with it.
 */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { capture, run } from '../lib/exec.mjs';
import { rootDir } from '../lib/paths.mjs';
import { createProgressReader, progressText } from '../setup/build-progress.mjs';
import { compilerCacheEnv } from '../setup/compiler-cache.mjs';
import { ensureLlamaSource } from '../setup/vendor.mjs';
import { mocha, testProgram } from './checks.mjs';

/** @typedef {{ dir: string, flags: string, name: string, runtime: string }} Sanitizer */

/** @type {Readonly<Record<'asan' | 'tsan', Sanitizer>>} */
const sanitizers = {
  asan: { dir: path.join(rootDir, 'build-asan'), flags: 'address,undefined', name: 'asan', runtime: 'libasan.so' },
  tsan: { dir: path.join(rootDir, 'build-tsan'), flags: 'thread', name: 'tsan', runtime: 'libtsan.so' },
};

const config = 'RelWithDebInfo';
const tsanSuppressions = path.join(rootDir, 'scripts', 'testing', 'tsan-suppressions.txt');
const streamScript = path.join(rootDir, 'scripts', 'testing', 'asan-stream.mjs');

/** Half the time of cmake's own choice to compile; asserts off, as in the build that people run. */
const fast = '-O1 -DNDEBUG';

const common = 'halt_on_error=1:abort_on_error=0:strict_string_checks=1:check_initialization_order=1';

/**
 * Builds what is needed and names the checks to run.
 * @param {ReturnType<typeof import('../lib/reporter.mjs').createReporter>} reporter
 * @param {keyof typeof sanitizers} [which]
 * @returns {Promise<{ name: string, run: () => Promise<import('./counts.mjs').Counts> }[]>}
 */
export async function sanitizerChecks(reporter, which = 'asan') {
  const sanitizer = sanitizers[which];
  const withAddon = process.platform === 'linux' && hasSources('native/binding');
  const report = reporter.step(`${which} build`);
  try {
    await build(sanitizer, withAddon ? ['core-tests', 'llamaestro'] : ['core-tests'], report.status);
  } catch (error) {
    report.failed();
    throw error;
  }
  report.done();
  const env = {
    ...process.env,
    ASAN_OPTIONS: `${common}:detect_leaks=1`,
    UBSAN_OPTIONS: 'halt_on_error=1:print_stacktrace=1',
    TSAN_OPTIONS: `halt_on_error=0:exitcode=66:second_deadlock_stack=1:suppressions=${tsanSuppressions}`,
  };
  const checks = [testProgram(`core-tests under ${which}`, path.join(sanitizer.dir, 'core-tests'), env)];
  if (withAddon) checks.push(contractCheck(sanitizer, env));
  if (withAddon && which === 'asan') {
    checks.push(testProgram('stream under asan', process.execPath, underNode(sanitizer, env), [streamScript]));
  }
  return checks;
}

/**
 * @param {Sanitizer} sanitizer
 * @param {Record<string, string | undefined>} env
 */
function contractCheck(sanitizer, env) {
  const timeoutMs = 600_000;
  const args = ['--timeout', String(timeoutMs), '--grep', 'engine contract: native engine'];
  const file = path.join('test', 'engine', 'native-engine.test.ts');
  return mocha(`contract under ${sanitizer.name}`, [...args, file], underNode(sanitizer, env));
}

/**
 * Node itself is not built with the sanitizer, so its runtime has to be there before anything else.
 * @param {Sanitizer} sanitizer
 * @param {Record<string, string | undefined>} env
 * @returns {Record<string, string | undefined>}
 */
function underNode({ dir, runtime }, env) {
  const library = capture('g++', [`-print-file-name=${runtime}`])?.output.trim() ?? '';
  const suppressions = path.join(rootDir, 'scripts', 'testing', 'lsan-suppressions.txt');
  return {
    ...env,
    LD_PRELOAD: capture('realpath', [library])?.output.trim() ?? library,
    LSAN_OPTIONS: `suppressions=${suppressions}:print_suppressions=0`,
    TSAN_OPTIONS: `${env.TSAN_OPTIONS}:ignore_noninstrumented_modules=1`,
    LLAMAESTRO_ADDON_UNDER_TEST: path.join(dir, config, 'llamaestro.node'),
  };
}

/**
 * @param {Sanitizer} sanitizer
 * @param {readonly string[]} targets
 * @param {(text: string) => void} status
 */
async function build({ dir, flags, name }, targets, status) {
  const logPath = path.join(dir, 'build.log');
  const startedMs = performance.now();
  const read = createProgressReader();
  const onLine = (/** @type {string} */ line) => {
    const progress = read(line);
    if (progress) status(progressText(progress, performance.now() - startedMs));
  };
  rmSync(logPath, { force: true });
  const source = await ensureLlamaSource({ status, logPath });
  const cmakeJs = path.join(rootDir, 'node_modules', 'cmake-js', 'bin', 'cmake-js');
  const shared = ['-d', rootDir, '-O', dir, '-B', config];
  const options = {
    LLAMA_CPP_DIR: source.dir,
    LLAMAESTRO_GPU: 'cpu',
    LLAMAESTRO_TESTS: 'ON',
    LLAMAESTRO_SANITIZE: flags,
    CMAKE_C_FLAGS_RELWITHDEBINFO: fast,
    CMAKE_CXX_FLAGS_RELWITHDEBINFO: fast,
  };
  const definitions = Object.entries(options).map(([name, value]) => `--CD${name}=${value}`);
  const step = { cwd: rootDir, env: compilerCacheEnv(), logPath, onLine };
  await run(process.execPath, [cmakeJs, 'configure', ...shared, ...definitions], { ...step, what: 'configuring' });
  const jobs = process.env.LLAMAESTRO_JOBS ?? String(availableParallelism());
  for (const target of targets) {
    await run(process.execPath, [cmakeJs, 'build', ...shared, '-T', target, '-p', jobs], {
      ...step,
      what: `building ${target} for ${name}`,
    });
  }
}

/** @param {string} folder */
function hasSources(folder) {
  const full = path.join(rootDir, folder);
  return existsSync(full) && readdirSync(full).some((name) => name.endsWith('.cpp'));
}
