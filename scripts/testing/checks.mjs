// @ts-check
/**
 * The parts of a test run, each a function that prints as it goes and resolves to its counts: static checks, the
 * core's test program, mocha under coverage.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { buildDir, rootDir } from '../lib/paths.mjs';
import { rpcServerFile, splitTestsFile } from '../setup/addon.mjs';
import { judgeRun, readClosingLine } from './counts.mjs';

/**
 * @typedef {import('./counts.mjs').Counts} Counts
 * @typedef {Record<string, string | undefined>} Env
 */

/**
 * @param {string} name
 * @param {string} script inside node_modules, or of ours when it begins with scripts/
 * @param {readonly string[]} args
 * @returns {{ name: string, run: () => Promise<Counts> }}
 */
export function staticCheck(name, script, args) {
  return {
    name,
    async run() {
      const file = path.join(rootDir, script.startsWith('scripts/') ? '' : 'node_modules', script);
      const { status } = await show(process.execPath, [file, ...args]);
      return status === 0 ? { passed: 1, failed: 0, skipped: 0 } : { passed: 0, failed: 1, skipped: 0 };
    },
  };
}

/**
 * @param {string} name
 * @param {string} program that closes with `N passed, N failed`
 * @param {Env} [env]
 * @param {readonly string[]} [args]
 * @returns {{ name: string, run: () => Promise<Counts> }}
 */
export function testProgram(name, program, env = process.env, args = []) {
  return {
    name,
    async run() {
      const { status, output } = await show(program, args, { env, prefix: `  ${name} | ` });
      return judgeRun(readClosingLine(output), status);
    },
  };
}

/**
 * The tests of models that are split over devices.
 * @param {readonly string[]} [names] parts of names of tests
 */
export function splitTests(names = []) {
  return testProgram('split-tests', splitTestsFile, { ...process.env, LLAMAESTRO_RPC_SERVER: rpcServerFile }, names);
}

/**
 * @param {readonly string[]} args for mocha; without a file among them, all tests run
 * @param {Env} env
 * @returns {{ name: string, run: () => Promise<Counts> }}
 */
export function mochaUnderCoverage(args, env) {
  const c8 = path.join(rootDir, 'node_modules', 'c8', 'bin', 'c8.js');
  const files = args.some((word) => word.endsWith('.ts')) ? [] : ['test/**/*.test.ts'];
  return mocha('mocha', [...args, ...files], env, [c8, process.execPath]);
}

/**
 * @param {string} name
 * @param {readonly string[]} args
 * @param {Env} env
 * @param {readonly string[]} [under] what Node runs, which then runs mocha
 * @returns {{ name: string, run: () => Promise<Counts> }}
 */
export function mocha(name, args, env, under = []) {
  const countsFile = path.join(buildDir, 'mocha-counts.json');
  const reporter = path.join(rootDir, 'scripts', 'testing', 'mocha-reporter.mjs');
  const program = path.join(rootDir, 'node_modules', 'mocha', 'bin', 'mocha.js');
  return {
    name,
    async run() {
      mkdirSync(buildDir, { recursive: true });
      rmSync(countsFile, { force: true });
      const { status } = await show(process.execPath, [...under, program, '--reporter', reporter, ...args], {
        env: { ...env, LLAMAESTRO_TEST_COUNTS: countsFile },
      });
      return judgeRun(existsSync(countsFile) ? JSON.parse(readFileSync(countsFile, 'utf8')) : undefined, status);
    },
  };
}

/**
 * Runs a program with its output on our terminal.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ env?: Env, prefix?: string }} [options] `prefix`: put before each line, and the output is kept
 * @returns {Promise<{ status: number, output: string }>}
 */
function show(command, args, { env = process.env, prefix } = {}) {
  return new Promise((resolve) => {
    const piped = prefix !== undefined;
    const child = spawn(command, args, { cwd: rootDir, env, stdio: piped ? ['ignore', 'pipe', 'pipe'] : 'inherit' });
    let output = '';
    let line = '';
    const onData = (/** @type {Buffer} */ chunk) => {
      output += chunk.toString('utf8');
      const lines = (line + chunk.toString('utf8')).split('\n');
      line = lines.pop() ?? '';
      for (const whole of lines) process.stdout.write(`${prefix}${whole}\n`);
    };
    child.stdout?.on('data', onData);
    child.stderr?.on('data', onData);
    child.once('error', (error) => {
      process.stdout.write(`cannot run ${command}: ${error.message}\n`);
      resolve({ status: 127, output });
    });
    child.once('close', (status, signal) => {
      if (line) process.stdout.write(`${prefix}${line}\n`);
      if (signal) process.stdout.write(`${path.basename(command)} was ended by ${signal}\n`);
      resolve({ status: status ?? 1, output });
    });
  });
}
