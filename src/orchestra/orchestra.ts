/**
 * The waist of the house: every door is two pure functions around `submit`. From submit on, a request is journalled,
 * routed, leased, dispatched, retried within its budget, and ends exactly once.
 */
import type { RunEvent, RunRequest, RunResult } from '../schema/run.js';

export interface Run {
  readonly id: string;
  /** Resolves at the terminal event, whatever it is; never rejects. */
  readonly result: Promise<RunResult>;
  /** Events after `afterSeq` (0: all), replayed from the log, then live; ends after the terminal one. */
  events(afterSeq?: number, signal?: AbortSignal): AsyncIterable<RunEvent>;
  /** Idempotent; the terminal event still follows. `reason` becomes the error's message. */
  cancel(reason: string): void;
}

export interface OrchestraStatus {
  readonly accepting: boolean;
  /** Requests between their coming and their acceptance. */
  readonly admitting: number;
  readonly running: number;
  readonly accepted: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
}

export interface Orchestra {
  /**
   * Admission: name, exact token count, queue, journal. Rejects with what is wrong (`model_not_found`,
   * `context_length_exceeded`, `queue_full`, `draining`, `journal_unavailable`, …) and then nothing was accepted.
   * Resolves when the run is durable.
   */
  submit(request: RunRequest, signal?: AbortSignal): Promise<Run>;
  status(): OrchestraStatus;
  /** Stops accepting; resolves when every run ended. On abort the rest end as `interrupted`. */
  drain(signal?: AbortSignal): Promise<void>;
  /** Ends what a former gateway left unfinished as `interrupted`; returns how many. Call once, before the first submit. */
  recover(): Promise<number>;
}
