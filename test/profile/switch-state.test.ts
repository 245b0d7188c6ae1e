import { expect } from 'chai';
import fc from 'fast-check';
import { LlamaestroError } from '../../src/base/errors.js';
import {
  isAtRest,
  isCancellable,
  STABLE,
  transition,
  type Course,
  type Step,
  type SwitchEffect,
  type SwitchEvent,
  type SwitchState,
  type SwitchStateName,
} from '../../src/profile/switch-state.js';

const error = new LlamaestroError('load_failed', 'no');
const noRoom = new LlamaestroError('out_of_memory', 'full');
const load = (model: string): Step => ({ action: 'load', model });
const unload = (model: string): Step => ({ action: 'unload', model });
const course: Course = { steps: [unload('a'), load('n')], after: ['b'], leaves: ['a', 'b'] };
const cause = { result: 'failed', error } as const;

const STATES: Readonly<Record<SwitchStateName, SwitchState>> = {
  stable: STABLE,
  degraded: { name: 'degraded', missing: ['a'], last: cause },
  planning: { name: 'planning', before: STABLE },
  pausing: { name: 'pausing', course },
  draining: { name: 'draining', course, at: 0 },
  saving: { name: 'saving', course, at: 0 },
  unloading: { name: 'unloading', course, at: 0 },
  loading: { name: 'loading', course, at: 1 },
  warming: { name: 'warming', course, at: 1 },
  flip: { name: 'flip', course },
  clearing: { name: 'clearing', course },
  'rolling-back': { name: 'rolling-back', course, cause },
};

const EVENTS: Readonly<Record<string, SwitchEvent>> = {
  begin: { type: 'begin' },
  planned: { type: 'planned', course },
  unneeded: { type: 'unneeded' },
  done: { type: 'done' },
  failed: { type: 'failed', error },
  'no room': { type: 'failed', error: noRoom },
  cancel: { type: 'cancel', error },
  restored: { type: 'restored', missing: [] },
  'restored in part': { type: 'restored', missing: ['a'] },
};

const told = (effects: readonly SwitchEffect[]): string =>
  effects.map((effect) => ('model' in effect ? `${effect.type} ${effect.model}` : effect.type)).join(', ');

/** By state and event: the next state and what is done. What is not here changes nothing. */
const TABLE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  stable: { begin: 'planning: plan' },
  degraded: { begin: 'planning: plan' },
  planning: {
    planned: 'pausing: write, pause',
    ...{ unneeded: 'stable: settle', failed: 'stable: settle', 'no room': 'stable: settle', cancel: 'stable: settle' },
  },
  pausing: {
    done: 'draining: write, drain a',
    ...back(),
  },
  draining: { done: 'saving: write, save a', ...back() },
  saving: { done: 'unloading: write, unload a', ...back() },
  unloading: { done: 'loading: write, load n', ...back() },
  loading: { done: 'warming: write, warm n', ...back(), 'no room': 'draining: write, drain b' },
  warming: { done: 'flip: flip', ...back() },
  flip: {
    done: 'clearing: write, clear',
    failed: 'rolling-back: write, restore',
    'no room': 'rolling-back: write, restore',
  },
  clearing: { done: 'stable: write, settle', failed: 'stable: write, settle', 'no room': 'stable: write, settle' },
  'rolling-back': { restored: 'stable: write, settle', 'restored in part': 'degraded: write, settle' },
};

function back(): Record<string, string> {
  const taken = 'rolling-back: write, restore';
  return { failed: taken, 'no room': taken, cancel: taken };
}

describe('the switch of profiles as a machine', () => {
  for (const [name, state] of Object.entries(STATES)) {
    for (const [what, event] of Object.entries(EVENTS)) {
      const expected = TABLE[name]?.[what] ?? `${name}: `;
      it(`${name}, ${what} -> ${expected}`, () => {
        const next = transition(state, event);
        expect(`${next.state.name}: ${told(next.effects)}`).to.equal(expected);
        if (expected === `${name}: `) expect(next.state).to.equal(state);
      });
    }
  }

  it('can be taken back until its flip, and is under way between two rests', () => {
    const names = (is: (state: SwitchState) => boolean): string[] =>
      Object.entries(STATES).flatMap(([name, state]) => (is(state) ? [name] : []));
    expect(names(isAtRest)).to.deep.equal(['stable', 'degraded']);
    expect(names(isCancellable)).to.deep.equal([
      ...['planning', 'pausing', 'draining', 'saving', 'unloading', 'loading', 'warming'],
    ]);
  });

  it('flips at once when nothing is to be loaded', () => {
    const idle: Course = { steps: [], after: ['a'], leaves: ['a'] };
    expect(transition({ name: 'pausing', course: idle }, { type: 'done' })).to.deep.equal({
      state: { name: 'flip', course: idle },
      effects: [{ type: 'flip' }],
    });
  });

  it('says why it was taken back, and what did not come back', () => {
    const { state } = transition(STATES.loading, { type: 'cancel', error });
    expect(state).to.deep.include({ name: 'rolling-back', cause: { result: 'cancelled', error } });
    expect(transition(state, { type: 'restored', missing: [] }).state).to.deep.equal({
      name: 'stable',
      last: { result: 'cancelled', error },
    });
    expect(transition(STATES['rolling-back'], { type: 'restored', missing: ['a'] }).state).to.deep.equal({
      name: 'degraded',
      missing: ['a'],
      last: cause,
    });
    expect(transition(STATES.clearing, { type: 'done' }).state).to.deep.equal({
      name: 'stable',
      last: { result: 'done' },
    });
  });

  it('brings back whoever was loaded, whether it has left or not', () => {
    expect(transition(STATES.draining, { type: 'failed', error }).effects.at(-1)).to.deep.equal({
      type: 'restore',
      models: ['a', 'b'],
    });
  });

  it('falls back to the rest it came from when planning fails', () => {
    const { state } = transition(STATES.degraded, { type: 'begin' });
    expect(transition(state, { type: 'failed', error }).state).to.equal(STATES.degraded);
  });

  describe('where there is no room for a load after all', () => {
    const at = (steps: readonly Step[], after: readonly string[], place: number): SwitchState => ({
      ...{ name: 'loading', at: place },
      course: { steps, after, leaves: [] },
    });

    it('lets the next one leave first, then loads again', () => {
      const one = transition(at([load('n'), unload('a'), load('m')], ['b'], 0), { type: 'failed', error: noRoom });
      expect(one.state).to.deep.include({ name: 'draining', at: 0 });
      expect('course' in one.state && one.state.course).to.deep.include({
        steps: [unload('a'), load('n'), load('m')],
        after: ['b'],
      });
      const two = transition(at([unload('a'), load('n')], ['b', 'c'], 1), { type: 'failed', error: noRoom });
      expect('course' in two.state && two.state.course).to.deep.include({
        steps: [unload('a'), unload('b'), load('n')],
        after: ['c'],
      });
    });

    it('goes back when nobody is left to go', () => {
      const next = transition(at([unload('a'), load('n')], [], 1), { type: 'failed', error: noRoom });
      expect(next.state.name).to.equal('rolling-back');
    });
  });

  const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'), { maxLength: 6 });
  const courses = fc.tuple(names, names, fc.integer({ min: 0, max: 6 })).map(([leaves, comes, kept]): Course => {
    const early = leaves.slice(0, kept).map(unload);
    const after = comes.length === 0 ? leaves : leaves.slice(kept);
    const steps = comes.length === 0 ? [] : [...early, ...comes.map((model) => load(`new ${model}`))];
    return { steps, after, leaves };
  });
  const moods = fc.array(fc.constantFrom('done', 'done', 'done', 'done', 'failed', 'no room', 'cancel', 'begin'), {
    maxLength: 60,
  });

  it('flips only when every model has come, and once; from there it never goes back; it always comes to rest', () => {
    fc.assert(
      fc.property(courses, moods, (planned, happenings) => {
        let state = transition(transition(STABLE, { type: 'begin' }).state, { type: 'planned', course: planned }).state;
        const [ready, gone] = [new Set<string>(), new Set<string>()];
        let flips = 0;
        const endless = Array.from({ length: 60 }, () => 'done');
        for (const what of [...happenings, ...endless]) {
          if (isAtRest(state)) break;
          const event: SwitchEvent =
            state.name === 'rolling-back' && what === 'done' ? { type: 'restored', missing: [] } : EVENTS[what]!;
          if ('at' in state && event.type === 'done') {
            const { model = '' } = state.course.steps[state.at] ?? {};
            if (state.name === 'warming') ready.add(model);
            if (state.name === 'unloading') gone.add(model);
          }
          const before = state.name;
          const next = transition(state, event);
          for (const effect of next.effects) {
            if (effect.type === 'drain') expect(planned.leaves).to.include(effect.model);
            if (effect.type === 'flip') {
              flips++;
              const comes = planned.steps.filter(({ action }) => action === 'load').map(({ model }) => model);
              expect(comes.every((model) => ready.has(model))).to.equal(true);
            }
            if (effect.type === 'restore')
              expect([...gone].every((model) => effect.models.includes(model))).to.equal(true);
          }
          if (before === 'clearing') expect(['clearing', 'stable']).to.include(next.state.name);
          if (before === 'rolling-back') expect(['rolling-back', 'stable']).to.include(next.state.name);
          if (next.state !== state) expect(next.effects.length).to.be.above(0);
          ({ state } = next);
        }
        expect(flips).to.be.at.most(1);
        expect(isAtRest(state)).to.equal(true);
      }),
      { numRuns: 500 },
    );
  });
});
