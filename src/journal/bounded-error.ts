/**
 * Keeps an error small enough to store: the journal holds state, not text. Knows no database.
 */
import type { WireError } from '../base/errors.js';

/** Characters of a message that are kept. */
export const MAX_STORED_MESSAGE = 2048;
/** Characters of the details as JSON; larger ones are dropped whole. */
export const MAX_STORED_DETAILS = 8192;

function shortened(text: string): string {
  return text.length <= MAX_STORED_MESSAGE ? text : `${text.slice(0, MAX_STORED_MESSAGE - 1)}…`;
}

/** The same error with its message and remedy cut and oversized details left out. */
export function boundedError(error: WireError): WireError {
  const { details, ...rest } = error;
  const small = { ...rest, message: shortened(error.message), remedy: shortened(error.remedy) };
  if (details === undefined || JSON.stringify(details).length > MAX_STORED_DETAILS) return small;
  return { ...small, details };
}
