/**
 * `llamaestro switch NAME` makes another profile the active one, `llamaestro reload` takes over an edit of the active one. Both
 * show how far it is until it is over; Ctrl-C takes it back.
 */
import type { Command } from 'commander';
import { LlamaestroError } from '../base/errors.js';
import type { ProfilePlan } from '../schema/profile-plan.js';
import type { SwitchProgress } from '../schema/profile-switch.js';
import { durationMs } from '../schema/units.js';
import { call, streamed, urlOf } from './client.js';
import { EXIT, exitCodeOf } from './exit-codes.js';
import { showPlan } from './plan.js';
import { endingLines, progressLine, progressLines } from './switch-lines.js';

const STATUS_PATH = '/v1/profiles/switch';

interface Options {
  readonly json?: boolean;
  readonly dryRun?: boolean;
  readonly drain?: string;
}

function drainOf({ drain }: Options): Record<string, number> {
  if (drain === undefined) return {};
  if (!/^\d+(\.\d+)?(ms|s|m|h)$/.test(drain)) {
    throw new LlamaestroError('invalid_request', `--drain must be a duration such as 30s, got '${drain}'`);
  }
  return { drain_ms: Math.round(durationMs(drain)) };
}

/** Shows how it goes on: in place on a terminal, a line for each step elsewhere, nothing where JSON is wanted. */
class Display {
  private shown = 0;
  private said = '';

  constructor(private readonly isQuiet: boolean) {}

  show(progress: SwitchProgress): void {
    if (this.isQuiet) return;
    const { stderr } = process;
    if (stderr.isTTY) {
      const lines = progressLines(progress).map((line) => line.slice(0, stderr.columns - 1));
      stderr.write(`${this.shown === 0 ? '' : `\u001b[${String(this.shown)}A`}\u001b[0J${lines.join('\n')}\n`);
      this.shown = lines.length;
      return;
    }
    const line = progressLine(progress);
    if (line !== this.said) stderr.write(`${line}\n`);
    this.said = line;
  }
}

/** Until the switch is over. The first Ctrl-C takes it back, the second one leaves it alone and ends this program. */
async function follow(url: string, display: Display): Promise<SwitchProgress> {
  let interrupts = 0;
  const onInterrupt = (): void => {
    interrupts++;
    if (interrupts > 1) process.exit(EXIT.cancelled);
    call(url, STATUS_PATH, undefined, 'DELETE').catch((error: unknown) => {
      process.stderr.write(`it goes on: ${error instanceof Error ? error.message : String(error)}\n`);
    });
  };
  process.on('SIGINT', onInterrupt);
  try {
    let last: SwitchProgress | undefined;
    for await (const seen of streamed(url, `${STATUS_PATH}/events`)) {
      last = seen as SwitchProgress;
      if (last.to !== undefined) display.show(last);
    }
    if (last?.to === undefined && last !== undefined) return last;
    throw new LlamaestroError('no_host', 'the server ended in the middle of the switch', {
      remedy: 'Start it again: it comes up with the old profile or with the new one, and its status says which.',
    });
  } finally {
    process.off('SIGINT', onInterrupt);
  }
}

async function run(url: string, path: string, body: object, isJson: boolean): Promise<void> {
  const before = (await call(url, STATUS_PATH)) as SwitchProgress;
  await call(url, path, body);
  const progress = await follow(url, new Display(isJson));
  const isNew = JSON.stringify(progress.last) !== JSON.stringify(before.last);
  const ending = isNew ? progress.last : undefined;
  const lines = endingLines(progress.active, ending, progress.missing);
  process.stdout.write(`${isJson ? JSON.stringify(progress, null, 2) : lines.join('\n')}\n`);
  if (ending === undefined || ending.result === 'done') return;
  const { error } = ending;
  if (error !== undefined && ending.result === 'failed') process.stderr.write(`${error.message}\n${error.remedy}\n`);
  const code = ending.result === 'cancelled' ? EXIT.cancelled : exitCodeOf(error?.code ?? 'internal');
  process.exitCode = progress.missing.length > 0 ? EXIT.degraded : code;
}

export function addSwitch(program: Command): void {
  program
    .command('reload')
    .description('apply the file of the active profile as it is now')
    .option('--drain <time>', 'what running requests of a leaving model get to end, such as 30s')
    .option('--json', 'the answer as JSON')
    .action(async (options: Options, command: Command) => {
      await run(urlOf(command), '/v1/profiles/reload', drainOf(options), options.json === true);
    });
  program
    .command('switch')
    .argument('<profile>', 'name of a profile')
    .description('change the active profile of the running server')
    .option('--dry-run', 'show what it would do, and do nothing')
    .option('--drain <time>', 'what running requests of a leaving model get to end, such as 30s')
    .option('--json', 'the answer as JSON')
    .action(async (name: string, options: Options, command: Command) => {
      if (options.dryRun === true) {
        const path = `/v1/profiles/${encodeURIComponent(name)}/plan`;
        return showPlan((await call(urlOf(command), path)) as ProfilePlan, options.json === true);
      }
      await run(urlOf(command), STATUS_PATH, { name, ...drainOf(options) }, options.json === true);
    });
}
