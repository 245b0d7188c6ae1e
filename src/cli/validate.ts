/** `llamaestro validate FILE`: everything that is wrong with a profile, with its places. Needs no server. */
import type { Command } from 'commander';
import type { ReportedProblem, ValidationReport } from '../schema/profile-plan.js';
import { EXIT } from './exit-codes.js';
import { offline } from './offline.js';
import { planLines } from './plan.js';
import { counted } from './text.js';

interface Options {
  readonly json?: boolean;
  readonly plan: boolean;
  readonly sums?: boolean;
}

function problemLines({ file, line, column, path, message, remedy }: ReportedProblem): readonly string[] {
  const place = line === undefined ? file : `${file}:${String(line)}:${String(column ?? 1)}`;
  // A fault of a value says only what it must be; the field comes before it.
  const field = path === undefined || path === '' ? '' : `${path}: `;
  return [place, `  ${field}${message}`, `  ${remedy}`];
}

/** The report as people read it. Pure. */
export function reportLines({ file, valid, problems, warnings, plan, sums }: ValidationReport): readonly string[] {
  const wrong = problems.flatMap(problemLines);
  const checked = (sums ?? []).map(({ model, matches }) => `checksum of ${model}: ${matches ? 'right' : 'WRONG'}`);
  if (!valid) return [...wrong, ...checked, '', `${file}: ${counted(problems.length, 'problem')}`];
  const rest = plan === undefined ? warnings.map((warning) => `warning: ${warning}`) : ['', ...planLines(plan)];
  return [`${file}: valid`, ...checked, ...rest];
}

/** A profile that is right in itself but too large for this machine is told apart. */
function exitOf({ valid, plan }: ValidationReport): number {
  if (valid) return EXIT.done;
  return plan !== undefined && plan.problems.length > 0 ? EXIT.unfit : EXIT.invalid;
}

export function addValidate(program: Command): void {
  program
    .command('validate')
    .argument('<profile>', 'path of a YAML file, or name of a profile')
    .description('check a profile: keys, names, files, and whether its models go together')
    .option('--json', 'the report as JSON')
    .option('--no-plan', 'check the file alone, in an instant')
    .option('--sums', 'read the model files and compare their checksums')
    .action(async (profile: string, { json, plan, sums }: Options) => {
      const flags = [...(plan ? [] : ['--no-plan']), ...(sums === true ? ['--sums'] : [])];
      const report = (await offline(['validate', profile, ...flags])) as ValidationReport;
      const text = json === true ? JSON.stringify(report, null, 2) : reportLines(report).join('\n');
      process.stdout.write(`${text}\n`);
      process.exitCode = exitOf(report);
    });
}
