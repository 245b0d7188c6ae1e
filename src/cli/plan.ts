/** `llamaestro plan NAME|FILE`: what the models of a profile take, and whether they go together. Changes nothing. */
import type { Command } from 'commander';
import { LlamaestroError } from '../base/errors.js';
import type { PlannedModel, ProfilePlan, SwitchPlan, SwitchStep } from '../schema/profile-plan.js';
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

function secondsText(ms: number | undefined): string {
  return ms === undefined ? '' : `, about ${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

function stepText({ action, model, bytes, order, expectedMs }: SwitchStep, makesRoom: readonly string[]): string {
  const size = sizeText(Object.values(bytes).reduce((sum, part) => sum + part, 0));
  const when = order === 'leave-first' ? ', once there is room' : '';
  const why = action === 'unload' && makesRoom.includes(model) ? ', to make room; it stays on demand' : '';
  return `${action} ${model} (${size}${action === 'load' ? secondsText(expectedMs) : ''})${when}${why}`;
}

function switchLines({ stays, makesRoom, steps, devices, expectedMs, impossible }: SwitchPlan): readonly string[] {
  if (steps.length === 0 && impossible.length === 0) return ['', 'a switch to it now loads and ends nothing'];
  const rows = devices.map(({ device, roomBytes, beforeBytes, worstBytes, afterBytes }) => [
    `  ${device}`,
    ...[beforeBytes, worstBytes, afterBytes, roomBytes].map(sizeText),
  ]);
  return [
    '',
    `a switch to it now${secondsText(expectedMs)}:`,
    ...(stays.length === 0 ? [] : [`  stays: ${stays.join(', ')}`]),
    ...steps.map((step, index) => `  ${String(index + 1)}. ${stepText(step, makesRoom)}`),
    ...impossible.map((name) => `  ${name} has no room`),
    ...tableLines([['  device', 'before', 'worst', 'after', 'room'], ...rows], [1, 2, 3, 4]),
  ];
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
    ...(plan.switch === undefined ? [] : switchLines(plan.switch)),
  ];
}

/** Prints it; the exit code says whether it fits. */
export function showPlan(plan: ProfilePlan, isJson: boolean): void {
  process.stdout.write(`${isJson ? JSON.stringify(plan, null, 2) : planLines(plan).join('\n')}\n`);
  if (!plan.fits) process.exitCode = EXIT.unfit;
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
      showPlan(await planOf(command, profile), options.json === true);
    });
}
