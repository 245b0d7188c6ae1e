/** How the program ends; documented in docs/cli.md, so never renumbered. */
import type { ErrorCode } from '../base/errors.js';

export const EXIT = {
  done: 0,
  /** Refused or failed. */
  failed: 1,
  /** No server answers. */
  nobody: 2,
  /** The profile is not valid. */
  invalid: 3,
  /** The profile is valid, and its models do not go together on this machine. */
  unfit: 4,
  /** The switch was taken back because somebody asked for it. */
  cancelled: 5,
  /** The switch was taken back, and a model did not come back. */
  degraded: 6,
} as const;

export function exitCodeOf(code: ErrorCode): number {
  switch (code) {
    case 'no_host':
      return EXIT.nobody;
    case 'profile_invalid':
      return EXIT.invalid;
    case 'does_not_fit':
      return EXIT.unfit;
    default:
      return EXIT.failed;
  }
}
