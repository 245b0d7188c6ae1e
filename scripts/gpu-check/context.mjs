// @ts-check
/** What the steps of a check share: where they work and how much time is left. */
import path from 'node:path';
import { rootDir } from '../lib/paths.mjs';

/** Everything the check makes; git ignores it. */
export const workDir = path.join(rootDir, 'build-gpu');

/**
 * @typedef {object} CheckContext
 * @property {string} gpu cuda, or cpu to try the check itself
 * @property {string} shape of the model for the measurements
 * @property {() => number} leftMs of this call's budget
 * @property {(text: string) => void} say
 */

/** Thrown by a step that keeps what it has and needs another call. */
export class OutOfTime extends Error {}
