/** `llamaestro schema`: the JSON Schema of profiles, for editors. Needs no server. */
import type { Command } from 'commander';
import { profileJsonSchema } from '../schema/profile-file.js';

export function addSchema(program: Command): void {
  program
    .command('schema')
    .description('print the JSON Schema of profiles, for editors')
    .action(() => {
      process.stdout.write(`${JSON.stringify(profileJsonSchema(), null, 2)}\n`);
    });
}
