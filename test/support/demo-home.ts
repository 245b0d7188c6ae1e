/** A home in which the profiles `demo` and `demo-small` find their models. */
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { makeHome } from './gateway.js';
import { demoModel, modelsDirectory, type DemoRole } from './models.js';

const ROLES: readonly DemoRole[] = [
  ...(['router', 'fast', 'general', 'coder', 'reasoner', 'planner', 'critic', 'summarizer'] as const),
  ...(['embedder', 'reranker'] as const),
];

/** Removed by `dispose`. */
export async function demoHome(): Promise<string> {
  const home = await makeHome();
  for (const role of ROLES) await demoModel(role);
  await mkdir(join(home, 'models'));
  await symlink(join(modelsDirectory, 'demo'), join(home, 'models/demo'));
  return home;
}
