/** `llamaestro profiles`: the profiles there are, which one is active, which are broken and why. */
import type { Command } from 'commander';
import { LlamaestroError, type WireError } from '../base/errors.js';
import { call, urlOf } from './client.js';
import { offline } from './offline.js';
import { counted, tableLines } from './text.js';

interface Summary {
  readonly name: string;
  readonly description: string;
  readonly origin: string;
  readonly valid: boolean;
  readonly models: readonly { readonly available: boolean }[];
  readonly error?: WireError;
}

interface Listed {
  readonly active?: { readonly name: string };
  readonly profiles: readonly Summary[];
}

function modelsText({ valid, models }: Summary): string {
  if (!valid) return 'broken';
  const missing = models.filter(({ available }) => !available).length;
  return `${counted(models.length, 'model')}${missing === 0 ? '' : `, ${String(missing)} without a file`}`;
}

/** The list as people read it. Pure. */
export function profileLines({ active, profiles }: Listed): readonly string[] {
  if (profiles.length === 0) return ['there are no profiles'];
  const rows = profiles.map((summary) => [
    active?.name === summary.name ? '*' : ' ',
    summary.name,
    modelsText(summary),
    summary.description,
  ]);
  const broken = profiles.flatMap(({ name, error }) =>
    error === undefined ? [] : [`${name}: ${error.message}`, `  ${error.remedy}`],
  );
  const note = active === undefined ? ['', 'no server answers, so none of them is active'] : [];
  return [...tableLines(rows), ...(broken.length === 0 ? [] : ['', ...broken]), ...note];
}

async function listed(command: Command): Promise<Listed> {
  try {
    return (await call(urlOf(command), '/v1/profiles')) as Listed;
  } catch (thrown) {
    if (!(thrown instanceof LlamaestroError) || thrown.code !== 'no_host') throw thrown;
    return (await offline(['list'])) as Listed;
  }
}

export function addProfiles(program: Command): void {
  program
    .command('profiles')
    .description('the profiles there are; * is the active one')
    .option('--json', 'the list as JSON')
    .action(async (options: { json?: boolean }, command: Command) => {
      const list = await listed(command);
      process.stdout.write(
        `${options.json === true ? JSON.stringify(list, null, 2) : profileLines(list).join('\n')}\n`,
      );
    });
}
