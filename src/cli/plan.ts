/** `llamaestro plan NAME|FILE`: what the models of a profile take, and whether they go together. Changes nothing. */
import type { Command } from 'commander';
import { LlamaestroError } from '../base/errors.js';
import type { PlannedModel, ProfilePlan } from '../schema/profile-plan.js';
import { call, urlOf } from './client.js';
import { EXIT } from './exit-codes.js';
import { offline } from './offline.js';
import { barText, sizeText, tableLines } from './text.js';

const HEAD = ['model', 'role', 'loaded', 'weights', 'KV', 'compute', 'total'];

function loadedWhen({ pinned, stays }: PlannedModel): string {
  if (pinned) return 'pinned';
  return stays ? 'always' : 'on demand';
}

function cells(model: PlannedModel, devices: readonly string[]): readonly string[] {
  const { name, role, state, bytes = {}, weightsBytes = 0, kvBytes = 0, computeBytes = 0 } = model;
  const head = [name, role, loadedWhen(model)];
  if (state !== 'planned') return [...head, state];
  const total = Object.values(bytes).reduce((sum, part) => sum + part, 0);
  const parts = [weightsBytes, kvBytes, computeBytes, total, ...devices.map((device) => bytes[device] ?? 0)];
  return [...head, ...parts.map(sizeText)];
}

function missingLine({ name, file, source }: PlannedModel): string {
  const { bytes, licence, repo } = source ?? {};
  const known = [
    bytes === undefined ? 'size unknown' : sizeText(bytes),
    licence ?? 'licence unknown',
    ...(repo === undefined ? [] : [`from ${repo}`]),
  ];
  return `  ${name}: ${file} (${known.join(', ')})`;
}

/** The plan as people read it. Pure. */
export function planLines(plan: ProfilePlan): readonly string[] {
  const { models, devices, problems, warnings } = plan;
  const names = devices.length > 1 ? devices.map(({ device }) => device) : [];
  const right = [3, 4, 5, 6, ...names.map((_, index) => 7 + index)];
  const rows = models.map((model) => cells(model, names));
  const missing = models.filter(({ state }) => state === 'missing');
  const silent = models.filter(({ state }) => state === 'unusable' || state === 'unknown');
  const sums = devices.map(({ device, roomBytes, stayingBytes, worstBytes, worstModel }) => [
    device,
    sizeText(roomBytes),
    sizeText(stayingBytes),
    worstModel === undefined ? sizeText(worstBytes) : `${sizeText(worstBytes)} with ${worstModel}`,
    barText(stayingBytes, worstBytes, roomBytes),
  ]);
  const others = warnings.filter(
    (warning) => !missing.some(({ name, file }) => warning.includes(`'${name}'`) && warning.includes(file)),
  );
  return [
    `profile '${plan.profile}' (${plan.origin}): ${plan.fits ? 'fits' : 'does not fit'}`,
    '',
    ...tableLines([[...HEAD, ...names], ...rows], right),
    ...(sums.length === 0
      ? []
      : ['', ...tableLines([['device', 'room', 'stays', 'worst moment', ''], ...sums], [1, 2])]),
    ...(missing.length === 0 ? [] : ['', `missing files (everything else starts):`, ...missing.map(missingLine)]),
    ...silent.map(({ name, state, error }) => `${state}: ${name}: ${error?.message ?? ''}`),
    ...(problems.length === 0 ? [] : ['', ...problems.flatMap(({ message, remedy }) => [message, `  ${remedy}`])]),
    ...others.map((warning) => `warning: ${warning}`),
  ];
}

/** By the running server, which knows the profiles of its home by name; else, and for files, offline. */
async function planOf(command: Command, profile: string): Promise<ProfilePlan> {
  if (!/[\\/]|\.ya?ml$/i.test(profile)) {
    try {
      return (await call(urlOf(command), `/v1/profiles/${encodeURIComponent(profile)}/plan`)) as ProfilePlan;
    } catch (thrown) {
      if (!(thrown instanceof LlamaestroError) || thrown.code !== 'no_host') throw thrown;
    }
  }
  return (await offline(['plan', profile])) as ProfilePlan;
}

export function addPlan(program: Command): void {
  program
    .command('plan')
    .argument('<profile>', 'name of a profile, or the path of a YAML file')
    .description('what the models of a profile would take of this machine; changes nothing')
    .option('--json', 'the plan as JSON')
    .action(async (profile: string, options: { json?: boolean }, command: Command) => {
      const plan = await planOf(command, profile);
      const text = options.json === true ? JSON.stringify(plan, null, 2) : planLines(plan).join('\n');
      process.stdout.write(`${text}\n`);
      if (!plan.fits) process.exitCode = EXIT.unfit;
    });
}
