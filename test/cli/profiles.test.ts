/** What people read of plans, reports and lists, and how the program ends. */
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { exitCodeOf } from '../../src/cli/exit-codes.js';
import { planLines } from '../../src/cli/plan.js';
import { profileLines } from '../../src/cli/profiles.js';
import { barText, sizeText, tableLines } from '../../src/cli/text.js';
import { reportLines } from '../../src/cli/validate.js';
import type { ProfilePlan, SwitchPlan } from '../../src/schema/profile-plan.js';
import { demoModels } from '../support/models.js';
import { withFolder } from '../support/temporary-folder.js';

const MIB = 2 ** 20;
const PLAN: ProfilePlan = {
  profile: 'mine',
  origin: '/p/mine.yaml',
  fits: false,
  models: [
    {
      ...{ name: 'fast', role: 'fast', stays: true, pinned: false, state: 'planned', file: '/m/fast.gguf' },
      ...{ bytes: { cpu: 3 * MIB }, weightsBytes: 2 * MIB, kvBytes: MIB / 2, computeBytes: MIB / 2 },
    },
    {
      ...{ name: 'big', role: 'general', stays: false, pinned: false, state: 'missing', file: '/m/big.gguf' },
      source: { repo: 'org/big', bytes: 2 ** 30, licence: 'mit' },
    },
  ],
  devices: [
    {
      device: 'cpu',
      totalBytes: 8 * MIB,
      roomBytes: 6 * MIB,
      overheadBytes: 0,
      stayingBytes: 3 * MIB,
      worstBytes: 3 * MIB,
    },
  ],
  problems: [{ device: 'cpu', models: ['fast'], message: 'too much', remedy: 'Less.' }],
  warnings: ["model 'big': there is no file /m/big.gguf", 'this machine has no device cuda7'],
};

describe('the command line: profiles', () => {
  it('lays out figures', () => {
    expect([0, 1023, 1536, 22 * 2 ** 30].map(sizeText)).to.deep.equal(['0 B', '1023 B', '1.5 KiB', '22.0 GiB']);
    expect(
      tableLines(
        [
          ['a', 'n'],
          ['long', '5'],
          ['b', '10'],
        ],
        [1],
      ),
    ).to.deep.equal(['a      n', 'long   5', 'b     10']);
    expect(barText(10, 20, 30)).to.equal(`[${'#'.repeat(10)}${'+'.repeat(10)}${'.'.repeat(10)}]`);
    expect(barText(0, 31, 30)).to.equal(`[${'+'.repeat(30)}]!`);
    expect(barText(0, 0, 0)).to.equal(`[${'#'.repeat(30)}]`);
  });

  it('shows a plan: models, sums, what is missing with size and licence, what is wrong and what helps', () => {
    expect(planLines(PLAN)).to.deep.equal([
      "profile 'mine' (/p/mine.yaml): does not fit",
      '',
      'model  role     loaded     weights         KV    compute    total',
      'fast   fast     always     2.0 MiB  512.0 KiB  512.0 KiB  3.0 MiB',
      'big    general  on demand  missing',
      '',
      'device     room    stays  worst moment',
      `cpu     6.0 MiB  3.0 MiB  3.0 MiB       [${'#'.repeat(15)}${'.'.repeat(15)}]`,
      '',
      'missing files (everything else starts):',
      '  big: /m/big.gguf (1.0 GiB, mit, from org/big)',
      '',
      'too much',
      '  Less.',
      'warning: this machine has no device cuda7',
    ]);
  });

  it('shows what a switch would do, step by step', () => {
    const change: SwitchPlan = {
      ...{ stays: ['router'], leaves: ['old'], makesRoom: ['idle'], comes: ['new', 'late'] },
      ...{ expectedMs: 12_400, impossible: ['huge'] },
      steps: [
        { action: 'load', model: 'new', bytes: { cpu: MIB }, order: 'load-first', expectedMs: 2500 },
        { action: 'unload', model: 'old', bytes: { cpu: 2 * MIB }, expectedMs: 0 },
        { action: 'unload', model: 'idle', bytes: { cpu: MIB }, expectedMs: 0 },
        { action: 'load', model: 'late', bytes: { cpu: MIB }, order: 'leave-first' },
      ],
      devices: [{ device: 'cpu', roomBytes: 4 * MIB, beforeBytes: 2 * MIB, worstBytes: 3 * MIB, afterBytes: MIB }],
    };
    const lines = planLines({ ...PLAN, problems: [], switch: change });
    expect(lines.slice(lines.indexOf('a switch to it now, about 12 s:'))).to.deep.equal([
      'a switch to it now, about 12 s:',
      '  stays: router',
      '  1. load new (1.0 MiB, about 2.5 s)',
      '  2. unload old (2.0 MiB)',
      '  3. unload idle (1.0 MiB), to make room; it stays on demand',
      '  4. load late (1.0 MiB), once there is room',
      '  huge has no room',
      '  device   before    worst    after     room',
      '  cpu     2.0 MiB  3.0 MiB  1.0 MiB  4.0 MiB',
    ]);
    const nothing: SwitchPlan = { ...change, steps: [], impossible: [] };
    expect(planLines({ ...PLAN, switch: nothing }).at(-1)).to.equal('a switch to it now loads and ends nothing');
  });

  it('shows a report with its places, and counts', () => {
    const problem = { file: 'a.yaml', line: 2, column: 3, path: 'models.x', message: 'must be y', remedy: 'Write y.' };
    expect(reportLines({ file: 'a.yaml', valid: false, problems: [problem, problem], warnings: [] })).to.deep.equal([
      ...['a.yaml:2:3', '  models.x: must be y', '  Write y.', 'a.yaml:2:3', '  models.x: must be y', '  Write y.'],
      ...['', 'a.yaml: 2 problems'],
    ]);
    expect(reportLines({ file: 'a.yaml', valid: true, problems: [], warnings: ['w'] })).to.deep.equal([
      'a.yaml: valid',
      'warning: w',
    ]);
  });

  it('lists profiles, the active one marked, broken ones with their reason', () => {
    const head = { description: 'd', origin: '/p' };
    const error = { code: 'profile_invalid', message: '/p:1:1: wrong', remedy: 'Mend it.' } as const;
    const profiles = [
      { ...head, name: 'a', valid: true, models: [{ available: true }, { available: false }] },
      { ...head, name: 'b', valid: false, models: [], error },
    ];
    expect(profileLines({ active: { name: 'a' }, profiles })).to.deep.equal([
      '*  a  2 models, 1 without a file  d',
      '   b  broken                      d',
      '',
      'b: /p:1:1: wrong',
      '  Mend it.',
    ]);
    expect(profileLines({ profiles }).at(-1)).to.contain('no server answers');
  });

  it('ends with a code for each kind of no', () => {
    const codes = (['internal', 'no_host', 'profile_invalid', 'does_not_fit'] as const).map(exitCodeOf);
    expect(codes).to.deep.equal([1, 2, 3, 4]);
  });
});

interface Ended {
  readonly code: number;
  readonly output: string;
}

/** Runs the program in a home of its own, with nobody listening. */
function run(home: string, ...words: readonly string[]): Promise<Ended> {
  const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
  const env = { ...process.env, LLAMAESTRO_HOME: home, LLAMAESTRO_PORT: '1', NATS_URL: '' };
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', 'tsx', main, ...words], { env }, (error, output) => {
      resolve({ code: error === null ? 0 : Number(error.code), output });
    });
  });
}

describe('the command line: profiles without a server', function () {
  this.timeout(60_000);

  it('lists, validates and plans, each with its exit code', () =>
    withFolder(async (home) => {
      const folder = join(home, 'profiles');
      await mkdir(folder);
      const model = join(await demoModels(), 'demo/fast.gguf');
      const good = `version: 1\nname: good\nmodels:\n  fast: { file: ${model}, context: 512, gpu_layers: 0 }\nflow: { default: fast }\n`;
      await writeFile(join(folder, 'good.yaml'), good);
      await writeFile(join(folder, 'bad.yaml'), good.replace('name: good', 'name: bad').replace('context', 'contxt'));
      const tight = `${good.replace('name: good', 'name: tight')}budgets: { cpu: 1MiB }\n`;
      await writeFile(join(folder, 'tight.yaml'), tight);

      const listed = await run(home, 'profiles');
      expect(listed.code).to.equal(0);
      expect(listed.output)
        .to.match(/^ {3}good +1 model$/m)
        .and.to.match(/^ {3}bad +broken$/m);
      const bad = await run(home, 'validate', join(folder, 'bad.yaml'));
      expect(bad.code).to.equal(3);
      expect(bad.output)
        .to.contain(`${join(folder, 'bad.yaml')}:4:`)
        .and.to.contain("did you mean 'context'?");
      const planned = await run(home, 'plan', 'good', '--json');
      expect(planned.code).to.equal(0);
      const plan = JSON.parse(planned.output) as ProfilePlan;
      expect(plan.models[0]).to.include({ name: 'fast', state: 'planned' });
      expect(plan.models[0]?.bytes?.['cpu']).to.be.greaterThan(100_000);
      const unfit = await run(home, 'validate', 'tight');
      expect(unfit.code).to.equal(4);
      expect(unfit.output).to.contain("model 'fast'").and.to.contain('cpu has room for 1.0 MiB');
      expect((await run(home, 'plan', 'nobody')).code).to.equal(1);
      expect((await run(home, 'status')).code).to.equal(2);
    }));
});
