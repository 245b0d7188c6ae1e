/**
 * What may be a subject: tokens separated by dots, none empty, no white space; in a pattern `*` stands for one token and
 * a final `>` for one or more. Knows nothing of who listens.
 */

/** Longest subject or pattern in bytes, and in tokens; ours have at most six tokens. */
export const MAX_SUBJECT_BYTES = 512;
export const MAX_SUBJECT_TOKENS = 32;
/** Space and everything before it. Not `\s`: that also holds bytes of UTF-8 text read as latin1. */
const BELOW_PRINTABLE = /[^!-\uffff]/;

function tokensOf(text: string): string[] | undefined {
  if (text.length === 0 || text.length > MAX_SUBJECT_BYTES || BELOW_PRINTABLE.test(text)) return undefined;
  const tokens = text.split('.');
  return tokens.length > MAX_SUBJECT_TOKENS || tokens.includes('') ? undefined : tokens;
}

/** The tokens of a subject one may publish to, or undefined when it is not one (a wildcard is none). */
export function subjectTokens(subject: string): string[] | undefined {
  const tokens = tokensOf(subject);
  return tokens?.some((token) => token === '*' || token === '>') === true ? undefined : tokens;
}

/** The tokens of a pattern one may subscribe to, or undefined when it is not one. */
export function patternTokens(pattern: string): string[] | undefined {
  const tokens = tokensOf(pattern);
  const early = tokens?.indexOf('>') ?? -1;
  return early !== -1 && early !== (tokens?.length ?? 0) - 1 ? undefined : tokens;
}
