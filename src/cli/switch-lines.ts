/** A switch of profiles as people watch it: a line and a bar for each step, then how it ended. Pure. */
import type { StepProgress, SwitchEnding, SwitchProgress } from '../schema/profile-switch.js';
import { barText, sizeText, tableLines } from './text.js';

const NOW: Readonly<Record<SwitchProgress['state'], string>> = {
  stable: 'over',
  planning: 'planning',
  pausing: 'holding back models that leave',
  draining: 'letting requests of a leaving model end',
  saving: 'saving prompt prefixes of a leaving model',
  unloading: 'waiting for its memory to come back',
  loading: 'loading',
  warming: 'warming up',
  flip: 'changing over',
  clearing: 'letting what is not needed any more end',
  'rolling-back': 'taking back',
  degraded: 'over',
};

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

function stepCells({ action, model, bytes, state, fraction }: StepProgress): readonly string[] {
  const total = Object.values(bytes).reduce((sum, part) => sum + part, 0);
  const share = `${String(Math.round(fraction * 100))} %`;
  const bar = action === 'load' ? barText(fraction, fraction, 1) : '';
  const note = action === 'load' && state !== 'waiting' ? share : state === 'running' ? 'now' : state;
  return [`  ${action}`, model, total === 0 ? '' : sizeText(total), bar, note];
}

/** What is seen while it goes on. */
export function progressLines(progress: SwitchProgress): readonly string[] {
  const { state, to, model, steps, stays, elapsedMs = 0, etaMs } = progress;
  const rest = etaMs === undefined || state === 'rolling-back' ? '' : `, about ${seconds(etaMs)} to go`;
  return [
    `to '${to ?? ''}': ${NOW[state]}${model === undefined ? '' : ` (${model})`}, ${seconds(elapsedMs)}${rest}`,
    ...(stays.length === 0 ? [] : [`  stays: ${stays.join(', ')}`]),
    ...(steps.length === 0 ? [] : tableLines(steps.map(stepCells), [2, 4])),
  ];
}

/** One line, where lines cannot be written over. */
export function progressLine({ to, state, model }: SwitchProgress): string {
  return `to '${to ?? ''}': ${NOW[state]}${model === undefined ? '' : ` (${model})`}`;
}

/** How it ended. */
export function endingLines(
  active: string,
  ending: SwitchEnding | undefined,
  missing: readonly string[],
): readonly string[] {
  const took = ending === undefined || ending.result !== 'done' ? '' : `, after ${seconds(ending.ms)}`;
  const isBack = ending !== undefined && ending.result !== 'done';
  return [
    `profile '${active}' is active${isBack ? ' as before' : ''}${took}`,
    ...missing.map((model) => `  model '${model}' did not come back; the server tries on`),
  ];
}
