/** `llamaestro switch NAME`: makes another profile the active one. */
import type { Command } from 'commander';
import { call, urlOf } from './client.js';

interface Switched {
  readonly active: string;
  readonly warnings: readonly string[];
}

export function addSwitch(program: Command): void {
  program
    .command('switch')
    .argument('<profile>', 'name of a profile')
    .description('change the active profile of the running server')
    .option('--json', 'the answer as JSON')
    .action(async (name: string, options: { json?: boolean }, command: Command) => {
      const answer = (await call(urlOf(command), '/v1/profiles/switch', { name })) as Switched;
      const lines = [`profile '${answer.active}' is active`, ...answer.warnings.map((warning) => `  ${warning}`)];
      process.stdout.write(`${options.json === true ? JSON.stringify(answer) : lines.join('\n')}\n`);
    });
}
