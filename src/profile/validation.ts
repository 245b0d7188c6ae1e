/**
 * Everything that can be said about a profile file without running it: what is wrong and where, what is missing, what its
 * models take together, and on demand whether their checksums are right. Changes nothing.
 */
import type { LlamaestroError } from '../base/errors.js';
import { toLlamaestroError } from '../base/errors.js';
import type { CheckedSum, FitProblem, ReportedProblem, ValidationReport } from '../schema/profile-plan.js';
import type { Profile } from '../schema/profile.js';
import { isIn } from '../pool/unit.js';
import { pathTo } from '../schema/stray-keys.js';
import { sha256Of } from '../store/file-hash.js';
import type { Catalog } from './catalog.js';
import type { LocatedProblem } from './profile-fault.js';
import type { PlanProfile } from './profile-planner.js';

export interface ValidationOptions {
  readonly catalog: Pick<Catalog, 'inspect'>;
  /** Absent: nothing is planned. */
  readonly plan?: PlanProfile;
  /** Read every file whose source names a checksum. */
  readonly sums?: boolean;
}

/** The report on a profile by name or path. Rejects with `profile_not_found` alone: everything else is in the report. */
export async function validateProfile(nameOrPath: string, options: ValidationOptions): Promise<ValidationReport> {
  let inspected: Awaited<ReturnType<Catalog['inspect']>>;
  try {
    inspected = await options.catalog.inspect(nameOrPath);
  } catch (thrown) {
    return refusedReport(nameOrPath, toLlamaestroError(thrown));
  }
  const { profile, locate } = inspected;
  const plan = await options.plan?.(profile);
  const sums = options.sums === true ? await checkSums(profile) : undefined;
  const place = (path: string, problem: { message: string; remedy: string }): ReportedProblem =>
    reported(profile.origin, locate({ path, ...problem }));
  const problems = [
    ...(plan?.problems ?? []).map((problem) => place(pathOf(profile, problem), problem)),
    ...(plan?.models ?? []).flatMap(({ name, state, error }) =>
      state === 'unusable' && error !== undefined ? [place(pathTo('models', name), error)] : [],
    ),
    ...(sums ?? [])
      .filter(({ matches }) => !matches)
      .map(({ model, file }) =>
        place(`${pathTo('models', model)}.source.sha256`, {
          message: `${file} has another checksum`,
          remedy: 'Download the file again, or correct the checksum.',
        }),
      ),
  ];
  return {
    file: profile.origin,
    valid: problems.length === 0,
    problems,
    warnings: plan?.warnings ?? profile.warnings,
    ...(plan === undefined ? {} : { plan }),
    ...(sums === undefined ? {} : { sums }),
  };
}

/** The setting that makes a model stay, where that is what is too much; else the model. */
function pathOf(profile: Profile, { models: [unit = ''] }: FitProblem): string {
  const spec = profile.models.find(({ name }) => isIn(unit, name));
  const path = pathTo('models', spec?.name ?? unit);
  if (spec?.pinned === true) return `${path}.pin`;
  return spec?.residency === 'resident' ? `${path}.residency` : path;
}

function refusedReport(nameOrPath: string, error: LlamaestroError): ValidationReport {
  if (error.code !== 'profile_invalid') throw error;
  const { file = nameOrPath, problems = [] } = (error.details ?? {}) as {
    readonly file?: string;
    readonly problems?: readonly (Partial<ReportedProblem> & { readonly message: string })[];
  };
  const known = problems.map((problem) => ({ file, remedy: error.remedy, ...problem }));
  const whole: ReportedProblem = { file, message: error.message, remedy: error.remedy };
  return { file, valid: false, problems: known.length === 0 ? [whole] : known, warnings: [] };
}

function reported(origin: string, { message, remedy, file, path, position }: LocatedProblem): ReportedProblem {
  return {
    file: file ?? origin,
    ...position,
    ...(path === undefined ? {} : { path }),
    message,
    remedy: remedy ?? 'Correct the profile at the place named.',
  };
}

async function checkSums({ models }: Profile): Promise<readonly CheckedSum[]> {
  const checked: CheckedSum[] = [];
  for (const { name: model, load, source, available } of models) {
    const { file } = load;
    if (!available || source?.sha256 === undefined) continue;
    checked.push({ model, file, matches: (await sha256Of(file)) === source.sha256 });
  }
  return checked;
}
