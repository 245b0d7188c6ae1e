// @ts-check
/** What the steps of a check share: where they work, how much time is left, and programs that end with that time. */
import path from 'node:path';
import { runProgram } from '../../bench/lib/child-run.mjs';
import { rootDir } from '../lib/paths.mjs';

/** Everything the check makes; git ignores it. */
export const workDir = path.join(rootDir, 'build-gpu');

/** Kept free at the end of a call for ending what runs and writing the result. */
const marginMs = 15_000;

/**
 * @typedef {object} CheckContext
 * @property {string} gpu cuda, or cpu to try the check itself
 * @property {string} shape of the model for the measurements
 * @property {number} budgetMs of this call
 * @property {() => number} leftMs of it
 * @property {() => boolean} isEnded a signal is ending this process
 * @property {(text: string) => void} say
 */

/** Thrown by a step that keeps what it has and needs another call. */
export class OutOfTime extends Error {}

/**
 * Runs a program in the root folder for as long as this call has time; no process of it is left behind.
 * @param {CheckContext} context
 * @param {string} command
 * @param {readonly string[]} args
 * @param {Record<string, string | undefined>} [env]
 * @returns {Promise<{ output: string, failure?: string }>} rejects with OutOfTime where it was stopped
 */
export async function inTime(context, command, args, env = process.env) {
  const limitMs = Math.max(1000, context.leftMs() - marginMs);
  const ran = await runProgram(command, args, { limitMs, env, cwd: rootDir });
  // What was ended with us has not failed: nothing is to be written of it, and nothing else begun.
  if (context.isEnded()) await new Promise(() => {});
  if (ran.failure !== undefined && context.leftMs() <= marginMs) {
    throw new OutOfTime(`${path.basename(command)} was stopped`);
  }
  return ran;
}
