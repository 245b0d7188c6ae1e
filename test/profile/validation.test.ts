/** One bad profile per row: what is said about it, and at which place. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { createCatalog } from '../../src/profile/catalog.js';
import { createProfilePlanner, type PlanningNode } from '../../src/profile/profile-planner.js';
import { validateProfile, type ValidationOptions } from '../../src/profile/validation.js';
import type { ValidationReport } from '../../src/schema/profile-plan.js';
import type { MemoryPlan } from '../../src/schema/load.js';
import { withFolder } from '../support/temporary-folder.js';
import { goodFacts, missingFacts } from './facts.js';

const MIB = 2 ** 20;
const LIMITS = { cpuHeadroomBytes: 0, gpuHeadroomBytes: 0, cpuOverheadBytes: 0, gpuOverheadBytes: 0 };

/** A machine of 100 MiB; a model takes as many as its file is called after ('40.gguf'), and 'bad' ones are refused. */
const NODE: PlanningNode = {
  devices: () =>
    Promise.resolve([{ id: 'cpu', kind: 'cpu', description: '', totalBytes: 100 * MIB, freeBytes: 90 * MIB }]),
  plan: ({ file }) => {
    const size = /(\d+)\.gguf$/.exec(file)?.[1];
    if (size === undefined) return Promise.reject(new LlamaestroError('invalid_request', 'no device cuda9 to use'));
    const plan: MemoryPlan = {
      devices: [{ device: 'cpu', weightsBytes: Number(size) * MIB, kvBytes: 0, computeBytes: 0 }],
      ...{ outputBytes: 0, estimatedExtraBytes: 0, totalBytes: Number(size) * MIB, simulatedMs: 1 },
      ...{ contextTokens: 1, contextTokensPerSlot: 1, slots: 1, gpuLayers: 0 },
    };
    return Promise.resolve(plan);
  },
};

/** Writes files (the first is the one to validate) and reports on it; model files called 'gone…' are not there. */
async function reportOn(
  files: Readonly<Record<string, string>>,
  more: Partial<ValidationOptions> = {},
): Promise<ValidationReport> {
  let report: ValidationReport | undefined;
  await withFolder(async (folder) => {
    for (const [name, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    const catalog = createCatalog({
      folders: [folder],
      modelRoots: ['/m'],
      lookUp: (file) => Promise.resolve(/gone/.test(file) ? missingFacts(`/m/${file}`) : goodFacts(`/m/${file}`)),
    });
    const plan = createProfilePlanner(NODE, LIMITS);
    const found = await validateProfile(join(folder, Object.keys(files)[0] ?? ''), { catalog, plan, ...more });
    report = JSON.parse(JSON.stringify(found).replaceAll(`${folder}/`, '')) as ValidationReport;
  });
  if (report === undefined) throw new Error('there is no report');
  return report;
}

const HEAD = 'version: 1\nname: bad\n';
const END = 'flow: { default: a }\n';
const MODELS = 'models:\n  a: { file: 1.gguf }\n';

describe('validating a profile', () => {
  const rows: readonly (readonly [what: string, files: Readonly<Record<string, string>>, said: string])[] = [
    ['a fault of the YAML', { 'bad.yaml': 'version: 1\nmodels:\n\ta: 1\n' }, 'bad.yaml:3:1 not valid YAML'],
    [
      'a key written twice',
      { 'bad.yaml': `${HEAD}name: again\n${MODELS}${END}` },
      'bad.yaml:3:1 not valid YAML: duplicated mapping key',
    ],
    [
      'an unknown key, with the nearest word',
      { 'bad.yaml': `${HEAD}${MODELS}flow: { default: a, timeout: {} }\n` },
      "bad.yaml:5:21 unknown key 'timeout': did you mean 'timeouts'? | Write 'timeouts', or remove the key.",
    ],
    [
      'a wrong unit',
      { 'bad.yaml': `${HEAD}models:\n  a:\n    file: 1.gguf\n    ttl: 5min\n${END}` },
      'bad.yaml:6:10 must be a duration such as 250ms, 30s, 5m or 1h, got "5min" | Write 5m.',
    ],
    [
      'an unknown model in a route',
      { 'bad.yaml': `${HEAD}${MODELS}flow:\n  default: a\n  routes:\n    - { model: codre }\n` },
      "bad.yaml:8:16 there is no model 'codre': the profile has a | Use one of: a.",
    ],
    [
      'aliases that clash',
      { 'bad.yaml': `${HEAD}models:\n  a: { file: 1.gguf, aliases: [b] }\n  b: { file: 1.gguf }\n${END}` },
      "bad.yaml:4:32 'b' already means the model 'b' | Choose another name.",
    ],
    [
      'a circle of extends',
      { 'bad.yaml': `${HEAD}extends: other\n`, 'other.yaml': 'extends: bad\n' },
      "other.yaml:1:10 'extends' leads in a circle: bad.yaml, other.yaml, bad.yaml | Let one of these profiles stand on its own.",
    ],
    [
      'a parent that is not there',
      { 'bad.yaml': `${HEAD}extends: nobody\n` },
      "bad.yaml:3:10 there is no profile 'nobody' to extend | Write the name of a profile, or a path beside this file.",
    ],
    [
      'a mistake in the parent',
      { 'bad.yaml': `${HEAD}extends: base\n`, 'base.yaml': `${MODELS}  b: { file: f, slots: 0 }\n${END}` },
      'base.yaml:3:24 must be a whole number from 1 to 256, got 0 | Write a whole number from 1 to 256.',
    ],
    [
      'a model that is larger than the machine',
      { 'bad.yaml': `${HEAD}models:\n  a: { file: 400.gguf }\n${END}` },
      "bad.yaml:4:6 model 'a' (400.0 MiB) does not fit: cpu has room for 100.0 MiB | Lower context or slots",
    ],
    [
      'models of one process that do not fit together',
      { 'bad.yaml': `${HEAD}models:\n  a: { file: 60.gguf, host: x }\n  b: { file: 50.gguf, host: x }\n${END}` },
      "bad.yaml:4:6 model 'a+b' (110.0 MiB) does not fit: cpu has room for 100.0 MiB",
    ],
    [
      'a set that cannot fit, with the sum',
      {
        'bad.yaml': `${HEAD}models:\n  a: { file: 60.gguf, residency: resident }\n  b: { file: 50.gguf }\n${END}`,
      },
      "bad.yaml:5:6 model 'b' never fits beside those that stay, b 50.0 MiB + a 60.0 MiB = 110.0 MiB: cpu has room for 100.0 MiB",
    ],
    [
      'pins that exclude each other',
      { 'bad.yaml': `${HEAD}models:\n  a: { file: 60.gguf, pin: true }\n  b: { file: 50.gguf, pin: true }\n${END}` },
      'bad.yaml:4:28 the pins exclude each other, a 60.0 MiB + b 50.0 MiB = 110.0 MiB: cpu has room for 100.0 MiB | Unpin',
    ],
    [
      'a budget that is too small',
      { 'bad.yaml': `${HEAD}models:\n  a: { file: 60.gguf }\n${END}budgets: { cpu: 50MiB }\n` },
      "bad.yaml:4:6 model 'a' (60.0 MiB) does not fit: cpu has room for 50.0 MiB",
    ],
    [
      'what the planner refuses',
      { 'bad.yaml': `${HEAD}models:\n  a: { file: bad.gguf, devices: [cuda9] }\n${END}` },
      'bad.yaml:4:6 no device cuda9 to use | Correct the named field and send the request again.',
    ],
  ];
  for (const [what, files, said] of rows) {
    it(`finds ${what}`, async () => {
      const { valid, problems } = await reportOn(files);
      const [first] = problems;
      const line = `${first?.file}:${first?.line}:${first?.column} ${first?.message} | ${first?.remedy}`;
      expect(line.startsWith(said), line).to.equal(true);
      expect([valid, problems.length]).to.deep.equal([false, 1]);
    });
  }

  it('lists missing files with what is known of them, and calls the rest valid', async () => {
    const source = '{ repo: org/x, file: gone.gguf, bytes: 1GiB, licence: mit }';
    const report = await reportOn({ 'bad.yaml': `${HEAD}${MODELS}  b:\n    source: ${source}\n${END}` });
    expect(report).to.deep.include({ valid: true, problems: [] });
    expect(report.warnings).to.deep.equal(["model 'b': there is no file /m/org/x/gone.gguf"]);
    expect(report.plan?.models[1]).to.deep.include({
      state: 'missing',
      file: '/m/org/x/gone.gguf',
      source: { repo: 'org/x', file: 'gone.gguf', bytes: 2 ** 30, licence: 'mit' },
    });
  });

  it('warns of a budget for a device that is not there', async () => {
    const { valid, warnings } = await reportOn({ 'bad.yaml': `${HEAD}${MODELS}${END}budgets: { cuda7: 1GiB }\n` });
    expect([valid, warnings]).to.deep.equal([true, ['this machine has no device cuda7']]);
  });

  it('knows nothing of memory where nobody can plan, and says so', async () => {
    const nobody = (): Promise<never> => Promise.reject(new LlamaestroError('no_host', 'nobody is there'));
    const plan = createProfilePlanner({ plan: nobody, devices: nobody }, LIMITS);
    const report = await reportOn({ 'bad.yaml': `${HEAD}${MODELS}${END}` }, { plan });
    expect(report.valid).to.equal(true);
    expect(report.plan?.models[0]).to.deep.include({ state: 'unknown' });
    expect(report.warnings.join()).to.contain('could not be read');
  });

  it('compares checksums where it is asked to', async () => {
    await withFolder(async (folder) => {
      const sum = createHash('sha256').update('weights').digest('hex');
      await writeFile(join(folder, '1.gguf'), 'weights');
      const text = `${HEAD}models:\n  a: { file: ${folder}/1.gguf, source: { sha256: ${sum} } }\n  b:\n    file: ${folder}/1.gguf\n    source: { sha256: ${'f'.repeat(64)} }\n${END}`;
      await writeFile(join(folder, 'bad.yaml'), text);
      const lookUp = (file: string): Promise<ReturnType<typeof goodFacts>> => Promise.resolve(goodFacts(file));
      const catalog = createCatalog({ folders: [], modelRoots: [], lookUp });
      const { sums, problems } = await validateProfile(join(folder, 'bad.yaml'), { catalog, sums: true });
      expect(sums?.map(({ model, matches }) => [model, matches])).to.deep.equal([
        ['a', true],
        ['b', false],
      ]);
      expect(problems[0]).to.include({ path: 'models.b.source.sha256', line: 7, column: 23 });
    });
  });

  it('rejects for a profile that is not there', async () => {
    const catalog = createCatalog({ folders: [], modelRoots: [] });
    const error: unknown = await validateProfile('nobody', { catalog }).catch((thrown: unknown) => thrown);
    expect(error).to.include({ code: 'profile_not_found' });
  });
});
