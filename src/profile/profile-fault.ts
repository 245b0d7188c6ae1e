/**
 * The one error of a wrong profile: it names the file, the line and the column of the first problem and carries all of them,
 * so that one look is enough to mend a file. Knows no rule.
 */
import { LlamaestroError } from '../base/errors.js';

/** Problems that travel with the error; a file with more is wrong as a whole. */
export const MAX_REPORTED_PROBLEMS = 32;

export interface LocatedProblem {
  readonly message: string;
  readonly remedy?: string;
  /** The file it stands in; absent for the one that was asked for. */
  readonly file?: string;
  /** Of the wrong value, as in `Fault`; absent for the text as a whole. */
  readonly path?: string;
  readonly position?: { readonly line: number; readonly column: number };
}

/** `profile_invalid` over at least one problem, the first in the file first; those of files it extends come last. */
export function profileFault(origin: string, problems: readonly LocatedProblem[]): LlamaestroError {
  const inOrder = [...problems].sort(byPlace);
  const [first] = inOrder;
  const place = first?.position === undefined ? '' : `:${first.position.line}:${first.position.column}`;
  const more = inOrder.length > 1 ? ` (and ${inOrder.length - 1} more)` : '';
  const details = inOrder.slice(0, MAX_REPORTED_PROBLEMS).map(({ message, path, position, file, remedy }) => ({
    message,
    ...(path === undefined ? {} : { path }),
    ...(file === undefined ? {} : { file }),
    ...position,
    ...(remedy === undefined ? {} : { remedy }),
  }));
  const file = first?.file ?? origin;
  return new LlamaestroError('profile_invalid', `${file}${place}: ${sentenceOf(first)}${more}`, {
    ...(first?.path === undefined || first.path === '' ? {} : { param: first.path }),
    ...(first?.remedy === undefined ? {} : { remedy: first.remedy }),
    details: { file, ...first?.position, problems: details },
  });
}

/** A fault of a value says only what it must be; the field comes before it. */
function sentenceOf(problem: LocatedProblem | undefined): string {
  if (problem === undefined) return 'not a profile';
  const { path, message } = problem;
  return /^(must|is|has) /.test(message) && path !== undefined && path !== '' ? `'${path}' ${message}` : message;
}

function byPlace(a: LocatedProblem, b: LocatedProblem): number {
  const foreign = Number(a.file !== undefined) - Number(b.file !== undefined);
  return foreign || lineOf(a) - lineOf(b) || columnOf(a) - columnOf(b);
}

function lineOf(problem: LocatedProblem): number {
  return problem.position?.line ?? 0;
}

function columnOf(problem: LocatedProblem): number {
  return problem.position?.column ?? 0;
}
