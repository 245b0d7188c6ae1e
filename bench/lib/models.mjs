/** Model files for the rows that need others than --model says, and profiles over them; made once, into .cache/models. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeModels } from '../../scripts/make-models/index.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
export const MODELS = join(ROOT, '.cache/models');

/** Paths of a set of scripts/make-models by name. */
export async function modelSet(set) {
  const made = await makeModels({ out: MODELS, set });
  return Object.fromEntries(made.map(({ name, path }) => [name, path]));
}

/** Writes a profile of one model that is loaded when somebody asks for it and leaves `ttl` later; returns its path. */
export function onDemandProfile(folder, name, { file, contextTokens, slots, ttl }) {
  const model = `{ role: general, file: ${JSON.stringify(resolve(file))}, context: ${contextTokens}, slots: ${slots}, residency: on-demand, ttl: ${ttl} }`;
  const path = join(folder, `${name}.yaml`);
  const lines = ['version: 1', `name: ${name}`, 'models:', `  ${name}: ${model}`, `flow: { default: ${name} }`, ''];
  writeFileSync(path, lines.join('\n'));
  return path;
}
