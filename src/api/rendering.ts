/** The form in which every door shows a run: a body, or frames of a stream. Knows neither routes nor sockets. */
import type { WireError } from '../base/errors.js';
import type { RunEvent, RunResult } from '../schema/run.js';

/** One server-sent event before it is written; `last` closes the stream after it. */
export interface SseFrame {
  readonly id?: number;
  readonly event?: string;
  /** One line: JSON, or [DONE]. */
  readonly data: string;
  readonly last?: boolean;
}

/** How a door shows a run. `frames` is called for each event in order and may keep state in its closure. */
export interface Rendering {
  frames(event: RunEvent): readonly SseFrame[];
  body(result: RunResult): unknown;
  /** What closes a stream that cannot show its run to the end. Has no result: the run may outlive its stream. */
  broken(error: WireError, runId: string): readonly SseFrame[];
}

/** The frame that closes a stream whose end the client was told. */
export const DONE: SseFrame = { data: '[DONE]', last: true };
