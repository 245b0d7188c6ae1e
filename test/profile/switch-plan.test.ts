import { expect } from 'chai';
import fc from 'fast-check';
import { carryOver } from '../../src/pool/carry-over.js';
import { planSwitch, type RunningModel, type SwitchQuestion, type WantedModel } from '../../src/profile/switch-plan.js';
import type { SwitchPlan } from '../../src/schema/profile-plan.js';

type Bytes = Readonly<Record<string, number>>;
const running = (name: string, gpu: number, configHash = name): RunningModel => ({ name, configHash, bytes: { gpu } });
const wanted = (name: string, gpu: number, more: Partial<WantedModel> = {}): WantedModel => ({
  ...{ name, configHash: name, bytes: { gpu }, isLoaded: true, isMovable: false },
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

  describe('a model on demand that stays', () => {
    const passing = (name: string, gpu: number): WantedModel => wanted(name, gpu, { isLoaded: false, isMovable: true });
    const idle = (name: string, gpu: number): RunningModel => ({ ...running(name, gpu), expectedMs: 0 });
    const newcomer = wanted('new', 50);
    interface Case {
      readonly what: string;
      readonly old: readonly RunningModel[];
      readonly fresh: readonly WantedModel[];
      readonly steps: readonly string[];
      readonly makesRoom?: readonly string[];
      readonly impossible?: readonly string[];
    }
    const cases: readonly Case[] = [
      {
        ...{ what: 'keeps its process where there is room', old: [idle('a', 50)] },
        ...{ fresh: [passing('a', 50), newcomer], steps: ['load new load-first'] },
      },
      {
        ...{ what: 'makes room where nobody leaves', old: [idle('a', 60)], fresh: [passing('a', 60), newcomer] },
        ...{ steps: ['unload a', 'load new leave-first'], makesRoom: ['a'] },
      },
      {
        ...{ what: 'goes after those that leave', old: [idle('a', 40), running('x', 30), running('y', 30)] },
        ...{ fresh: [passing('a', 40), wanted('new', 90)], makesRoom: ['a'] },
        steps: ['unload x', 'unload y', 'unload a', 'load new leave-first'],
      },
      {
        ...{ what: 'stays when those that leave are enough', old: [idle('a', 40), running('x', 60)] },
        ...{ fresh: [passing('a', 40), newcomer], steps: ['unload x', 'load new leave-first'] },
      },
      {
        ...{ what: 'is the one that is enough alone', old: [idle('a', 10), idle('b', 30), idle('c', 60)] },
        ...{ fresh: [passing('a', 10), passing('b', 30), passing('c', 60), wanted('new', 30)], makesRoom: ['b'] },
        steps: ['unload b', 'load new leave-first'],
      },
      {
        ...{ what: 'goes first when nothing runs on it', old: [running('a', 40), idle('b', 30), idle('c', 30)] },
        ...{ fresh: [passing('a', 40), passing('b', 30), passing('c', 30), wanted('new', 40)], makesRoom: ['b', 'c'] },
        steps: ['unload b', 'unload c', 'load new leave-first'],
      },
      {
        ...{ what: 'stays when it is pinned or resident', old: [idle('a', 60)], impossible: ['new'] },
        ...{ fresh: [wanted('a', 60), newcomer], steps: [] },
      },
      {
        ...{ what: 'stays when its going would not be enough', old: [idle('a', 40), running('r', 20)] },
        ...{ fresh: [passing('a', 40), wanted('r', 20), wanted('new', 90)], steps: [], impossible: ['new'] },
      },
      {
        ...{ what: 'goes for the one that it lets in', old: [idle('a', 60)], makesRoom: ['a'], impossible: ['huge'] },
        ...{ fresh: [passing('a', 60), wanted('huge', 120), newcomer], steps: ['unload a', 'load new leave-first'] },
      },
      {
        ...{ what: 'is named as the old profile names it', old: [running('old name', 60, 'x')] },
        fresh: [wanted('new name', 60, { configHash: 'x', isLoaded: false, isMovable: true }), newcomer],
        ...{ steps: ['unload old name', 'load new leave-first'], makesRoom: ['old name'] },
      },
    ];
    for (const { what, old, fresh, steps, makesRoom = [], impossible = [] } of cases) {
      it(what, () => {
        const plan = on(100, old, fresh);
        expect(told(plan)).to.deep.equal(steps);
        expect(plan).to.deep.include({ makesRoom, impossible });
        const gone = [...makesRoom, ...plan.leaves];
        expect(plan.stays).to.have.length(old.length - gone.length);
        expect(plan.stays.filter((name) => gone.includes(name))).to.deep.equal([]);
      });
    }
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
      fresh: fc.array(fc.record({ configHash: hash, bytes, isLoaded: fc.boolean(), isMovable: fc.boolean() }), {
        maxLength: 6,
      }),
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
  const keptOf = ({ running: old, wanted: fresh }: SwitchQuestion): readonly (RunningModel | undefined)[] =>
    carryOver(old, fresh);
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

  it('never touches what stays, ends every other one once, and loads each that comes once', () => {
    fc.assert(
      fc.property(questions, (question) => {
        const { stays, leaves, makesRoom, comes, impossible, steps } = planSwitch(question);
        const names = (action: string): string[] =>
          steps.filter((step) => step.action === action).map(({ model }) => model);
        expect(names('unload').sort()).to.deep.equal([...leaves, ...makesRoom].sort());
        expect(names('load').sort()).to.deep.equal([...comes].sort());
        expect(stays.length + leaves.length + makesRoom.length).to.equal(question.running.length);
        expect(comes.filter((name) => stays.includes(name))).to.deep.equal([]);
        const kept = keptOf(question);
        const due = question.wanted.filter(({ isLoaded }, index) => isLoaded && kept[index] === undefined);
        expect([...comes, ...impossible].sort()).to.deep.equal(due.map(({ name }) => name).sort());
      }),
      { numRuns: 500 },
    );
  });

  it('unloads for room only what may move, after every one that leaves, and none that could have stayed', () => {
    fc.assert(
      fc.property(questions, (question) => {
        const { leaves, makesRoom, steps } = planSwitch(question);
        const kept = keptOf(question);
        const movable = kept.filter((_, index) => question.wanted[index]?.isMovable === true);
        expect(makesRoom.filter((name) => !movable.some((model) => model?.name === name))).to.deep.equal([]);
        const order = steps.map(({ action, model }) => (action === 'load' ? 'load' : model));
        const firstOfRoom = order.findIndex((model) => makesRoom.includes(model));
        const lastThatLeaves = Math.max(...leaves.map((model) => order.indexOf(model)));
        if (firstOfRoom !== -1) expect(lastThatLeaves).to.be.below(firstOfRoom);
        // Each time one goes for room, somebody is loaded who needed it.
        order.forEach((model, index) => {
          if (!makesRoom.includes(model)) return;
          const next = steps.slice(index).findIndex(({ action }) => action === 'load') + index;
          const held = (device: string): number =>
            sum(question.running, device) +
            steps.slice(0, next).reduce((total, { action, bytes: moved }) => {
              return total + (action === 'load' ? 1 : -1) * (moved[device] ?? 0);
            }, 0);
          const stayed = steps[index]?.bytes ?? {};
          const loads = steps[next]?.bytes ?? {};
          const goes = question.devices.every(
            ({ device, roomBytes }) =>
              (loads[device] ?? 0) === 0 || held(device) + (stayed[device] ?? 0) + (loads[device] ?? 0) <= roomBytes,
          );
          expect(goes).to.equal(false);
        });
      }),
      { numRuns: 500 },
    );
  });

  it('finds an order wherever there is one, and loads first wherever everything fits at once', () => {
    fc.assert(
      fc.property(questions, (question) => {
        const { comes, impossible, steps } = planSwitch(question);
        const kept = keptOf(question);
        const fresh = question.wanted.filter(({ name }) => [...comes, ...impossible].includes(name));
        const firm = question.wanted.filter(({ isMovable }, index) => kept[index] !== undefined && !isMovable);
        const goes = (models: readonly { readonly bytes: Bytes }[]): boolean =>
          question.devices.every(({ device, roomBytes }) => sum(models, device) <= roomBytes);
        if (goes([...firm, ...fresh])) expect(impossible).to.deep.equal([]);
        if (goes([...question.running, ...fresh])) {
          expect(steps.filter(({ order }) => order === 'leave-first')).to.deep.equal([]);
        }
      }),
      { numRuns: 500 },
    );
  });
});
