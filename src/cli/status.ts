/** `llamaestro status`: health, models and queues in one look; `--json` gives the whole body. */
import type { Command } from 'commander';
import { call, urlOf } from './client.js';
import type { ProfilePlan } from '../schema/profile-plan.js';
import { planLines } from './plan.js';
import { tableLines } from './text.js';

interface StatusModel {
  readonly name: string;
  readonly role: string;
  readonly state: string;
  readonly slots: number;
  readonly leased: number;
  readonly queued: number;
  readonly crashes: number;
  readonly health: { readonly verdict: string } | null;
  readonly memory: { readonly allocated: { readonly totalBytes: number } | null };
}

interface Status {
  readonly health: string;
  readonly reasons: readonly string[];
  readonly profile: {
    readonly name: string;
    readonly warnings: readonly string[];
    readonly edit: { readonly state: string; readonly plan?: ProfilePlan } | null;
  };
  readonly runs: { readonly running: number; readonly completed: number; readonly failed: number };
  readonly models: readonly StatusModel[];
}

const MIB = 1024 * 1024;

/** The status as lines of a table. Pure. */
export function statusLines(url: string, status: Status): readonly string[] {
  const { running, completed, failed } = status.runs;
  const rows = status.models.map((model) => [
    model.name,
    model.role,
    model.health === null ? model.state : `${model.state}, ${model.health.verdict}`,
    `${String(model.leased)}/${String(model.slots)}`,
    String(model.queued),
    model.memory.allocated === null ? '-' : `${(model.memory.allocated.totalBytes / MIB).toFixed(1)} MiB`,
    String(model.crashes),
  ]);
  const head = ['model', 'role', 'state', 'in use', 'queued', 'memory', 'crashes'];
  return [
    `${url}: ${status.health}, profile '${status.profile.name}', ${String(running)} running, ${String(completed)} completed, ${String(failed)} failed`,
    ...status.reasons.map((reason) => `  ${reason}`),
    ...status.profile.warnings.map((warning) => `  warning: ${warning}`),
    ...tableLines([head, ...rows]),
    ...(status.profile.edit?.plan === undefined ? [] : ['', 'as edited:', ...planLines(status.profile.edit.plan)]),
  ];
}

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('what runs, what is loaded, what waits')
    .option('--json', 'the whole answer of /v1/status')
    .action(async (options: { json?: boolean }, command: Command) => {
      const url = urlOf(command);
      const status = await call(url, '/v1/status');
      const text =
        options.json === true ? JSON.stringify(status, null, 2) : statusLines(url, status as Status).join('\n');
      process.stdout.write(`${text}\n`);
    });
}
