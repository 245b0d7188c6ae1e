/** What a trial process and its parent say to each other. Knows neither of them. */
import type { WireError } from '../base/errors.js';
import type { LoadOptions } from './engine.js';

/** From the parent, once. */
export interface TrialRequest {
  readonly options: LoadOptions;
  /** Refuse with `does_not_fit` what is planned to take more. */
  readonly memoryBytes?: number;
}

/** From the child: first that it runs, then, once, how the model did. */
export type TrialReply = 'ready' | { readonly error?: WireError };
