/** `llamaestro switch NAME` makes another profile the active one, `llamaestro reload` takes over an edit of the active one. */
import type { Command } from 'commander';
import type { ProfilePlan } from '../schema/profile-plan.js';
import { call, urlOf } from './client.js';
import { showPlan } from './plan.js';

interface Switched {
  readonly active: string;
  readonly warnings: readonly string[];
}

function show({ active, warnings }: Switched, isJson: boolean): void {
  const lines = [`profile '${active}' is active`, ...warnings.map((warning) => `  ${warning}`)];
  process.stdout.write(`${isJson ? JSON.stringify({ active, warnings }) : lines.join('\n')}\n`);
}

export function addSwitch(program: Command): void {
  program
    .command('reload')
    .description('apply the file of the active profile as it is now')
    .option('--json', 'the answer as JSON')
    .action(async (options: { json?: boolean }, command: Command) => {
      show((await call(urlOf(command), '/v1/profiles/reload', {})) as Switched, options.json === true);
    });
  program
    .command('switch')
    .argument('<profile>', 'name of a profile')
    .description('change the active profile of the running server')
    .option('--dry-run', 'show what it would do, and do nothing')
    .option('--json', 'the answer as JSON')
    .action(async (name: string, options: { json?: boolean; dryRun?: boolean }, command: Command) => {
      if (options.dryRun === true) {
        const path = `/v1/profiles/${encodeURIComponent(name)}/plan`;
        return showPlan((await call(urlOf(command), path)) as ProfilePlan, options.json === true);
      }
      show((await call(urlOf(command), '/v1/profiles/switch', { name })) as Switched, options.json === true);
    });
}
