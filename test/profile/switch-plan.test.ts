import { expect } from 'chai';
import fc from 'fast-check';
import { planSwitch, type RunningModel, type SwitchQuestion, type WantedModel } from '../../src/profile/switch-plan.js';
import type { SwitchPlan } from '../../src/schema/profile-plan.js';

type Bytes = Readonly<Record<string, number>>;
const running = (name: string, gpu: number, configHash = name): RunningModel => ({ name, configHash, bytes: { gpu } });
const wanted = (name: string, gpu: number, more: Partial<WantedModel> = {}): WantedModel => ({
  ...{ name, configHash: name, bytes: { gpu }, isLoaded: true },
  ...more,
});
const on = (roomBytes: number, old: readonly RunningModel[], fresh: readonly WantedModel[]): SwitchPlan =>
  planSwitch({ running: old, wanted: fresh, devices: [{ device: 'gpu', roomBytes }] });
const told = ({ steps }: SwitchPlan): string[] =>
  steps.map(({ action, model, order }) => `${action} ${model}${order === undefined ? '' : ` ${order}`}`);

describe('the plan of a switch', () => {
  it('keeps what has the same configuration, by name first, and touches nothing else of it', () => {
    const plan = on(
      100,
      [running('a', 40), running('b', 40, 'x')],
      [wanted('a', 40), wanted('c', 40, { configHash: 'x' })],
    );
    expect(plan).to.deep.include({ stays: ['a', 'c'], leaves: [], comes: [], steps: [], expectedMs: 0 });
    expect(plan.devices).to.deep.equal([
      { device: 'gpu', roomBytes: 100, beforeBytes: 80, worstBytes: 80, afterBytes: 80 },
    ]);
  });

  it('loads first where both fit, and lets the old ones leave after that', () => {
    const plan = on(100, [running('a', 40)], [wanted('b', 60)]);
    expect(told(plan)).to.deep.equal(['load b load-first', 'unload a']);
    expect(plan.devices[0]).to.include({ beforeBytes: 40, worstBytes: 100, afterBytes: 60 });
  });

  it('lets as little leave first as will do', () => {
    const plan = on(100, [running('a', 30), running('b', 50)], [wanted('c', 20), wanted('d', 30)]);
    expect(told(plan)).to.deep.equal(['load c load-first', 'unload a', 'load d leave-first', 'unload b']);
    expect(plan.devices[0]?.worstBytes).to.equal(100);
  });

  it('takes several away where one is not enough', () => {
    const plan = on(100, [running('a', 30), running('b', 60)], [wanted('c', 95)]);
    expect(told(plan)).to.deep.equal(['unload b', 'unload a', 'load c leave-first']);
  });

  it('loads what is resident; the others come when somebody asks', () => {
    const plan = on(
      100,
      [running('a', 10)],
      [wanted('b', 10, { isLoaded: false }), wanted('a', 10, { isLoaded: false })],
    );
    expect(plan).to.deep.include({ stays: ['a'], comes: [], steps: [] });
  });

  it('names what never fits, and plans the rest', () => {
    const plan = on(100, [running('a', 60)], [wanted('a', 60), wanted('big', 50), wanted('c', 40)]);
    expect(plan).to.deep.include({ stays: ['a'], impossible: ['big'], comes: ['c'] });
    expect(told(plan)).to.deep.equal(['load c load-first']);
  });

  it('adds up the time, if each step is known', () => {
    const [old, fresh] = [{ ...running('a', 1), expectedMs: 5 }, wanted('b', 1, { expectedMs: 100 })];
    expect(on(100, [old], [fresh]).expectedMs).to.equal(105);
    expect(on(100, [old], [fresh, wanted('c', 1)])).to.not.have.property('expectedMs');
  });

  const bytes = fc.record({ cpu: fc.nat(60), gpu: fc.nat(60) });
  const hash = fc.integer({ min: 0, max: 6 }).map(String);
  const questions: fc.Arbitrary<SwitchQuestion> = fc
    .record({
      old: fc.array(fc.record({ configHash: hash, bytes }), { maxLength: 6 }),
      fresh: fc.array(fc.record({ configHash: hash, bytes, isLoaded: fc.boolean() }), { maxLength: 6 }),
      rooms: fc.tuple(fc.nat(200), fc.nat(200)),
    })
    .map(({ old, fresh, rooms: [cpu, gpu] }) => {
      const sizes = new Map<string, Bytes>();
      // Equal configurations take equal bytes.
      const sized = <T extends { configHash: string; bytes: Bytes }>(model: T): T => {
        const known = sizes.get(model.configHash) ?? model.bytes;
        sizes.set(model.configHash, known);
        return { ...model, bytes: known };
      };
      return {
        running: old.map((model, index) => ({ name: `m${index}`, ...sized(model) })),
        wanted: fresh.map((model, index) => ({ name: `m${index}`, ...sized(model) })),
        devices: [
          { device: 'cpu', roomBytes: cpu },
          { device: 'gpu', roomBytes: gpu },
        ],
      };
    });
  const sum = (models: readonly { readonly bytes: Bytes }[], device: string): number =>
    models.reduce((total, model) => total + (model.bytes[device] ?? 0), 0);

  it('never goes above the room, or above what was there before', () => {
    fc.assert(
      fc.property(questions, (question) => {
        const plan = planSwitch(question);
        const held: Record<string, number> = { cpu: sum(question.running, 'cpu'), gpu: sum(question.running, 'gpu') };
        const peak = { ...held };
        for (const { action, bytes: moved } of plan.steps) {
          for (const device of ['cpu', 'gpu']) {
            held[device] = (held[device] ?? 0) + (action === 'load' ? 1 : -1) * (moved[device] ?? 0);
            peak[device] = Math.max(peak[device] ?? 0, held[device]);
          }
        }
        for (const { device, roomBytes, beforeBytes, worstBytes, afterBytes } of plan.devices) {
          expect(worstBytes).to.equal(peak[device]);
          expect(afterBytes).to.equal(held[device]);
          expect(worstBytes).to.be.at.most(Math.max(roomBytes, beforeBytes));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('never touches what stays, ends every other one once, and loads each coming one once', () => {
    fc.assert(
      fc.property(questions, (question) => {
        const { stays, leaves, comes, impossible, steps } = planSwitch(question);
        const names = (action: string): string[] =>
          steps.filter((step) => step.action === action).map(({ model }) => model);
        expect(names('unload').sort()).to.deep.equal([...leaves].sort());
        expect(names('load').sort()).to.deep.equal([...comes].sort());
        expect(stays.length + leaves.length).to.equal(question.running.length);
        expect(comes.filter((name) => stays.includes(name))).to.deep.equal([]);
        const due = question.wanted.filter(({ isLoaded, name }) => isLoaded && !stays.includes(name));
        expect([...comes, ...impossible].sort()).to.deep.equal(due.map(({ name }) => name).sort());
      }),
      { numRuns: 500 },
    );
  });

  it('finds an order wherever there is one, and loads first wherever everything fits at once', () => {
    fc.assert(
      fc.property(questions, (question) => {
        const { stays, comes, impossible, steps } = planSwitch(question);
        const after = question.wanted.filter(({ name }) => [...stays, ...comes, ...impossible].includes(name));
        const goes = (models: readonly { readonly bytes: Bytes }[]): boolean =>
          question.devices.every(({ device, roomBytes }) => sum(models, device) <= roomBytes);
        if (goes(after)) expect(impossible).to.deep.equal([]);
        const fresh = after.filter(({ name }) => !stays.includes(name));
        if (goes([...question.running, ...fresh])) {
          expect(steps.filter(({ order }) => order === 'leave-first')).to.deep.equal([]);
        }
      }),
      { numRuns: 500 },
    );
  });
});
