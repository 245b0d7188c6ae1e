import { expect } from 'chai';
import type { ModelStatus } from '../../src/pool/pool.js';
import { switchOutlook } from '../../src/profile/switch-outlook.js';
import type { MemoryPlan } from '../../src/schema/load.js';
import type { PlannedModel, ProfilePlan, SwitchPlan } from '../../src/schema/profile-plan.js';
import type { ModelSpec } from '../../src/schema/profile.js';
import { modelSpec, profileOf } from '../support/profiles.js';

const memory = (bytes: number): MemoryPlan => ({
  devices: [{ device: 'cpu', weightsBytes: bytes, kvBytes: 0, computeBytes: 0 }],
  ...{ outputBytes: 0, estimatedExtraBytes: 0, totalBytes: bytes, simulatedMs: 1 },
  ...{ contextTokens: 1, contextTokensPerSlot: 1, slots: 1, gpuLayers: 0 },
});

/** A model that is loaded, unless `more` says otherwise. */
function loaded(name: string, bytes: number, more: Partial<ModelStatus> = {}): ModelStatus {
  return {
    ...{ name, role: 'general', state: 'ready', available: true, hid: `hid_${name}`, allocated: memory(bytes) },
    ...{ slots: 1, leased: 0, queued: 0, loads: 0, crashes: 0, generatedTokens: 0, promptTokens: 0 },
    queuedByClass: { interactive: 0, normal: 0, background: 0 },
    ...more,
  };
}

const planned = (name: string, cpu: number): PlannedModel => ({
  ...{ name, role: 'general', stays: false, pinned: false, state: 'planned', file: name },
  bytes: { cpu },
});

describe('the outlook of a switch', () => {
  const current = profileOf([modelSpec('a'), modelSpec('b')]);
  const next = profileOf([modelSpec('a'), modelSpec('new', { residency: 'resident' }), modelSpec('later')]);
  const plan: ProfilePlan = {
    ...{ profile: 'next', origin: '', fits: true, problems: [], warnings: [] },
    models: [planned('a', 100), planned('new', 50), planned('later', 70)],
    devices: [{ device: 'cpu', totalBytes: 999, roomBytes: 400, overheadBytes: 10, stayingBytes: 0, worstBytes: 0 }],
  };
  const info = { loadMs: 20 } as NonNullable<ModelStatus['info']>;

  it('counts what is loaded by what it really took, and each process on top', () => {
    const outlook = switchOutlook({ current, loaded: [loaded('a', 100), loaded('b', 120)], next, plan });
    expect(outlook).to.deep.include({ stays: ['a'], leaves: ['b'], makesRoom: [], comes: ['new'] });
    expect(outlook.devices).to.deep.equal([
      { device: 'cpu', roomBytes: 400, beforeBytes: 240, worstBytes: 300, afterBytes: 170 },
    ]);
  });

  it('lets a model on demand that stays make room, and no pinned or resident one', () => {
    const tight = { ...plan, devices: plan.devices.map((device) => ({ ...device, roomBytes: 165 })) };
    const [, ...others] = next.models;
    const by = (more: Partial<ModelSpec>): SwitchPlan => {
      const to = profileOf([modelSpec('a', more), ...others]);
      return switchOutlook({ current, loaded: [loaded('a', 100)], next: to, plan: tight });
    };
    expect(by({})).to.deep.include({ stays: [], makesRoom: ['a'], comes: ['new'], impossible: [] });
    for (const more of [{ pinned: true }, { residency: 'resident' }] as const) {
      expect(by(more)).to.deep.include({ stays: ['a'], makesRoom: [], comes: [], impossible: ['new'] });
    }
  });

  it('keeps what runs although its file is gone or nobody can plan it', () => {
    const { bytes, ...unknown } = planned('a', 100);
    const blind: ProfilePlan = { ...plan, models: [{ ...unknown, state: 'missing' }, ...plan.models.slice(1)] };
    expect(bytes).to.deep.equal({ cpu: 100 });
    expect(switchOutlook({ current, loaded: [loaded('a', 100)], next, plan: blind })).to.deep.include({
      ...{ stays: ['a'], leaves: [], makesRoom: [] },
    });
  });

  describe('with models that share a process', () => {
    const host = { host: 'small', residency: 'resident' } as const;
    const group = [modelSpec('a', host), modelSpec('b', host)];
    const from = profileOf(group);
    const there = [loaded('a', 100, { hid: 'hid_1' }), loaded('b', 120, { hid: 'hid_1' })];
    const models = [planned('a', 100), planned('b', 120)];

    it('keeps it where all of them stay as they are, counted as one process', () => {
      const outlook = switchOutlook({
        ...{ current: from, loaded: there, next: profileOf([...group, modelSpec('later')]) },
        plan: { ...plan, models: [...models, planned('later', 70)] },
      });
      expect(outlook).to.deep.include({ stays: ['a+b'], leaves: [], comes: [] });
      expect(outlook.devices[0]).to.include({ beforeBytes: 230, afterBytes: 230 });
    });

    it('has it leave and come as one where one of them changes', () => {
      const changed = profileOf([modelSpec('a', host), modelSpec('b', { ...host, configHash: 'other' })]);
      const tight = { ...plan, models, devices: plan.devices.map((device) => ({ ...device, roomBytes: 300 })) };
      const outlook = switchOutlook({ current: from, loaded: there, next: changed, plan: tight });
      expect(outlook).to.deep.include({ stays: [], leaves: ['a+b'], comes: ['a+b'], impossible: [] });
      expect(outlook.steps.map(({ action, model, bytes }) => [action, model, bytes])).to.deep.equal([
        ['unload', 'a+b', { cpu: 230 }],
        ['load', 'a+b', { cpu: 230 }],
      ]);
    });

    it('loads none of them where one cannot be', () => {
      const [first] = models;
      const broken: PlannedModel = { ...planned('b', 0), state: 'unusable' };
      const outlook = switchOutlook({
        ...{ current, loaded: [], next: from, plan: { ...plan, models: first === undefined ? [] : [first, broken] } },
      });
      expect(outlook).to.deep.include({ comes: [], impossible: [] });
    });
  });

  it('says how long it takes as far as loads were measured and nothing runs', () => {
    const known = [loaded('a', 100, { info }), loaded('b', 100, { info })];
    expect(switchOutlook({ current, loaded: known, next, plan }).expectedMs).to.equal(10);
    const busy = [loaded('a', 100, { info }), loaded('b', 100, { info, leased: 1 })];
    expect(switchOutlook({ current, loaded: busy, next, plan })).to.not.have.property('expectedMs');
    expect(switchOutlook({ current, loaded: [], next, plan })).to.not.have.property('expectedMs');
  });
});
