/** One run on a stage: submitted, watched, and its result to look at. */
import type { Run } from '../../src/orchestra/orchestra.js';
import type { RunEvent, RunRequest, RunResult } from '../../src/schema/run.js';
import { CANCELLED, PROFILE, request, stage, watch, type Stage } from './stage.js';

/** A run under way and everything it said. */
export interface Playing extends Stage {
  readonly run: Run;
  readonly events: RunEvent[];
  /** Fails while the run goes on. */
  result(): RunResult;
}

export async function play(
  more: Partial<RunRequest> = {},
  prepare: (parts: Stage) => void = () => undefined,
  profile = PROFILE,
): Promise<Playing> {
  const parts = await stage(profile);
  prepare(parts);
  const run = await parts.orchestra.submit(request(more));
  const events = watch(run);
  let result: RunResult | undefined;
  void run.result.then((ended) => (result = ended));
  await parts.clock.run(20);
  const known = (): RunResult => {
    if (result === undefined) throw new Error('the run has not ended');
    return result;
  };
  return { ...parts, run, events, result: known };
}

export const types = (events: readonly RunEvent[]): string[] => events.map(({ type }) => type);
export const answersCancels = ({ host }: Stage): void => void (host.onCancel = () => host.say([CANCELLED]));
