/** How long a request may take in all, and what it gets that takes longer. Pure; whoever waits keeps the timer. */
import { LlamaestroError } from '../base/errors.js';
import type { Profile } from '../schema/profile.js';
import type { RunRequest } from '../schema/run.js';

/** Milliseconds a request may take in all. */
export function budgetOf(request: RunRequest, profile: Profile): number {
  return request.timeoutMs ?? profile.timeouts.requestMs;
}

/** What a request gets that did not end within its budget. */
export function tooLate(budgetMs: number): LlamaestroError {
  return new LlamaestroError('deadline', `the run took longer than ${String(budgetMs)} ms`);
}
