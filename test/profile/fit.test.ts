import { expect } from 'chai';
import { fitOf, type Fit, type FitQuestion } from '../../src/profile/fit.js';
import type { DeviceInfo } from '../../src/schema/load.js';
import type { PlannedModel } from '../../src/schema/profile-plan.js';

const MIB = 2 ** 20;
const LIMITS = {
  cpuHeadroomBytes: 10 * MIB,
  gpuHeadroomBytes: 20 * MIB,
  cpuOverheadBytes: 1 * MIB,
  gpuOverheadBytes: 2 * MIB,
};
const CPU: DeviceInfo = {
  ...{ id: 'cpu', kind: 'cpu', description: '' },
  ...{ totalBytes: 110 * MIB, freeBytes: 50 * MIB },
};
const GPU: DeviceInfo = { ...CPU, id: 'cuda0', kind: 'cuda', totalBytes: 120 * MIB };

type Stay = 'pinned' | 'resident' | 'on-demand';
function model(name: string, stay: Stay, cpuMib: number, gpuMib = 0): PlannedModel {
  const bytes = { cpu: cpuMib * MIB, cuda0: gpuMib * MIB };
  const how = { stays: stay !== 'on-demand', pinned: stay === 'pinned' };
  return { name, role: 'general', state: 'planned', file: name, bytes, ...how };
}
function fit(models: readonly PlannedModel[], more: Partial<FitQuestion> = {}): Fit {
  return fitOf({ models, devices: [CPU], budgets: {}, headrooms: {}, limits: LIMITS, ...more });
}
const said = (result: Fit): string[] => result.problems.map(({ message }) => message);

describe('whether the models of a profile go together', () => {
  it('counts those that stay and the largest of the others, with what processes take beyond their plans', () => {
    const { devices, problems } = fit([
      model('a', 'resident', 40),
      model('b', 'on-demand', 30),
      model('c', 'on-demand', 57),
    ]);
    expect(problems).to.deep.equal([]);
    expect(devices).to.deep.equal([
      {
        device: 'cpu',
        totalBytes: 110 * MIB,
        roomBytes: 100 * MIB,
        overheadBytes: MIB,
        stayingBytes: 41 * MIB,
        worstBytes: 99 * MIB,
        worstModel: 'c',
      },
    ]);
  });

  it('names the sum where one of the others never fits beside those that stay', () => {
    const models = [model('a', 'resident', 40), model('b', 'resident', 20), model('big', 'on-demand', 40)];
    expect(said(fit(models))).to.deep.equal([
      "model 'big' never fits beside those that stay, big 41.0 MiB + a 41.0 MiB + b 21.0 MiB = 103.0 MiB: cpu has room for 100.0 MiB",
    ]);
    expect(said(fit([...models.slice(0, 2), model('big', 'on-demand', 37)]))).to.deep.equal([]);
  });

  it('names those that stay where they alone are too many, once', () => {
    const models = [model('a', 'resident', 60), model('b', 'pinned', 50), model('c', 'on-demand', 1)];
    const result = fit(models);
    expect(said(result)).to.deep.equal([
      'the models that stay do not go together, a 61.0 MiB + b 51.0 MiB = 112.0 MiB: cpu has room for 100.0 MiB',
    ]);
    expect(result.problems[0]?.models).to.deep.equal(['a', 'b']);
  });

  it('blames the pins where they exclude each other', () => {
    const result = fit([model('a', 'pinned', 60), model('r', 'resident', 1), model('b', 'pinned', 50)]);
    expect(said(result)).to.deep.equal([
      'the pins exclude each other, a 61.0 MiB + b 51.0 MiB = 112.0 MiB: cpu has room for 100.0 MiB',
    ]);
    expect(result.problems[0]?.remedy).to.contain('Unpin one of them');
    expect(result.problems[0]?.models).to.deep.equal(['a', 'b']);
  });

  it('names a model that does not fit alone before anything else', () => {
    expect(said(fit([model('a', 'resident', 200), model('b', 'on-demand', 101)]))).to.deep.equal([
      "model 'a' (201.0 MiB) does not fit: cpu has room for 100.0 MiB",
      "model 'b' (102.0 MiB) does not fit: cpu has room for 100.0 MiB",
    ]);
  });

  it('keeps to budgets, limits and headrooms, device by device', () => {
    const models = [model('a', 'resident', 10, 60), model('b', 'on-demand', 10, 30)];
    const devices = [CPU, GPU];
    expect(said(fit(models, { devices }))).to.deep.equal([]);
    expect(said(fit(models, { devices, budgets: { cuda0: 90 * MIB } }))).to.deep.equal([]);
    expect(said(fit(models, { devices, budgets: { cuda0: 89 * MIB } })).join()).to.contain(
      '= 90.0 MiB: cuda0 has room for 89.0 MiB',
    );
    expect(said(fit(models, { devices, headrooms: { cuda0: 30 * MIB } })).join()).to.contain(
      '= 94.0 MiB: cuda0 has room for 90.0',
    );
    const limited = [CPU, { ...GPU, limitBytes: 80 * MIB }];
    expect(said(fit(models, { devices: limited })).join()).to.contain('cuda0 has room for 80.0 MiB');
  });

  it('counts nothing for what is missing or unknown', () => {
    const { bytes: _bytes, ...unknown } = model('a', 'resident', 500);
    expect(fit([{ ...unknown, state: 'missing' }]).problems).to.deep.equal([]);
  });
});
