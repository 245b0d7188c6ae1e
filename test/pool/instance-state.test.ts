/** Every state against every event, then the lives that matter as walks. */
import { expect } from 'chai';
import {
  UNLOADED,
  wakeAtMs,
  type InstanceContext,
  type InstanceEffect,
  type InstanceEvent,
  type InstanceState,
} from '../../src/pool/instance.js';
import { transition } from '../../src/pool/instance-state.js';
import { context, EVENTS, NOW, STATES } from './instance-cases.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';

type StateName = keyof typeof STATES;
type EventName = keyof typeof EVENTS;
const INERT = 'same';

/** The next state's name and the effects in order; what is not written stays as it is. Context: one waits, none leases. */
const TABLE: Record<StateName, Partial<Record<EventName, string>>> = {
  unloaded: { demand: 'placing: place' },
  placing: {
    placed: 'spawning: spawn',
    placementFailed: 'failed: failed reject',
    unload: 'unloaded: withdraw',
    shutdown: 'unloaded: withdraw',
  },
  spawning: {
    spawnFailed: 'stopping failed: failed reject kill',
    heardIdle: 'loading: load progress',
    heardFailed: 'stopping failed: failed reject',
    exited: 'failed: failed release',
    unload: 'stopping: kill',
    shutdown: 'stopping: kill',
    tick: 'stopping failed: failed kill',
    demand: 'spawning:',
    lateTick: 'spawning:',
  },
  loading: {
    heardLoading: 'loading: progress',
    heardReady: 'ready: open',
    suspected: 'stopping failed: failed kill',
    heardFailed: 'stopping failed: failed reject',
    loadRefused: 'stopping failed: failed reject kill',
    exited: 'failed: failed release',
    demand: 'loading:',
    unload: 'stopping: shut exit',
    shutdown: 'stopping: shut exit',
    tick: 'stopping failed: failed kill',
    lateTick: 'loading:',
  },
  ready: {
    heardDraining: 'stopping: shut leave',
    heardFailed: 'stopping failed: failed lose kill',
    suspected: 'stopping failed: failed lose kill',
    exited: 'failed: failed lose release',
    evict: 'stopping: shut leave',
    unload: 'stopping: shut leave',
    shutdown: 'stopping: lose exit',
  },
  draining: {
    demand: 'stopping: shut leave',
    heardFailed: 'stopping: lose kill',
    suspected: 'stopping: lose kill',
    exited: 'placing: lose release place',
    shutdown: 'stopping: lose exit',
  },
  yielding: {
    demand: 'stopping: shut leave',
    heardFailed: 'stopping: lose kill',
    suspected: 'stopping: lose kill',
    exited: 'placing: lose release place',
    reprieve: 'ready: resume',
    unload: 'stopping: shut leave',
    shutdown: 'stopping: lose exit',
  },
  stopping: { exited: 'placing: release place', tick: 'stopping: kill', lateTick: 'stopping: kill' },
  stoppingFailed: { demand: 'same: reject', exited: 'failed: release' },
  failed: { unload: 'unloaded:', shutdown: 'unloaded:' },
  failedForGood: {
    demand: 'same: reject',
    unload: 'unloaded:',
    shutdown: 'unloaded:',
  },
};

function nameOf(state: InstanceState): string {
  if (state.name === 'starting') return state.step;
  return state.name === 'stopping' && state.failure !== undefined ? 'stopping failed' : state.name;
}

function shown(before: InstanceState, next: { state: InstanceState; effects: readonly InstanceEffect[] }): string {
  const effects = next.effects.map(({ type }) => type).join(' ');
  if (next.state === before) return effects === '' ? INERT : `${INERT}: ${effects}`;
  return `${nameOf(next.state)}: ${effects}`.trimEnd();
}

function step(state: InstanceState, event: InstanceEvent, more: Partial<InstanceContext> = {}): InstanceState {
  return transition(state, event, { ...context, ...more }).state;
}

function effectsOf(state: InstanceState, event: InstanceEvent, more: Partial<InstanceContext> = {}): string[] {
  return transition(state, event, { ...context, ...more }).effects.map(({ type }) => type);
}

describe('instance-state', () => {
  for (const [stateName, state] of Object.entries(STATES)) {
    for (const [eventName, event] of Object.entries(EVENTS)) {
      const expected = TABLE[stateName as StateName][eventName as EventName] ?? INERT;
      it(`${stateName} on ${eventName}: ${expected}`, () => {
        expect(shown(state, transition(state, event, context))).to.equal(expected);
      });
    }
  }

  it('ignores every event of another process', () => {
    for (const state of Object.values(STATES)) {
      for (const event of Object.values(EVENTS)) {
        if (!('hid' in event) || event.type === 'placed') continue;
        const other = { ...event, hid: 'another' } as InstanceEvent;
        expect(transition(state, other, context)).to.deep.equal({ state, effects: [] });
      }
    }
  });

  it('does not start what nobody wants, and gives a load up when the last one leaves before a byte is taken', () => {
    const alone = { wanted: false, waiting: 0 };
    expect(step(UNLOADED, EVENTS.demand, alone)).to.equal(UNLOADED);
    expect(transition(STATES.placing, EVENTS.demand, { ...context, ...alone })).to.deep.equal({
      state: UNLOADED,
      effects: [{ type: 'withdraw' }],
    });
  });

  it('goes on for a moment with a load whose waiters left, then gives it up', () => {
    const alone = { wanted: false, waiting: 0 };
    const loading = { ...STATES.loading, progressAtMs: NOW, deadlineAtMs: NOW + 1e6 };
    for (const [state, ending] of [
      [loading, ['shut', 'exit']],
      [{ ...STATES.spawning, deadlineAtMs: NOW + 1e6 }, ['kill']],
    ] as const) {
      const left = step(state, EVENTS.demand, alone);
      const later = { ...alone, nowMs: NOW + DEFAULT_LIMITS.unwantedLoadMs };
      expect(wakeAtMs(left, { ...context, ...alone })).to.equal(later.nowMs);
      expect(step(left, EVENTS.demand, later), 'asked again by nobody').to.deep.equal(left);
      expect(step(left, EVENTS.tick, { ...later, nowMs: later.nowMs - 1 }).name).to.equal(state.name);
      expect(effectsOf(left, EVENTS.tick, later)).to.deep.equal(ending);
      expect(effectsOf(left, { type: 'tick', lateMs: Infinity }, later), 'also while deaf').to.deep.equal(ending);
      const back = step(left, EVENTS.demand, { nowMs: later.nowMs - 1 });
      expect(step(back, EVENTS.tick, { nowMs: NOW + 10_000 }).name).to.equal(state.name);
    }
    const unwanted = step(STATES.spawning, EVENTS.demand, alone);
    expect(step(unwanted, EVENTS.heardIdle, alone)).to.include({ name: 'loading', unwantedAtMs: NOW });
  });

  it('gives a load that goes on the time that its rest may take, up to a last moment', () => {
    const deadlineAfter = (loadFraction: number, more: Partial<InstanceContext> = {}): unknown => {
      const state = step(STATES.loading, { ...EVENTS.heardLoading, loadFraction }, more);
      return state.name === 'loading' ? state.deadlineAtMs - NOW : state.name;
    };
    expect(deadlineAfter(0.5)).to.equal(60_000);
    expect(deadlineAfter(0.99)).to.equal(DEFAULT_LIMITS.loadStallMs);
    expect(deadlineAfter(0.5, { loadTimeoutMs: 1e9 })).to.equal(1e6);
    const long = { ...STATES.loading, deadlineAtMs: NOW + 500_000 };
    expect(step(long, EVENTS.heardLoading)).to.include({ deadlineAtMs: NOW + 500_000 });
  });

  it('waits for leases when it unloads, and cuts them at the deadline only', () => {
    const leased = { leased: 1 };
    const draining = step(STATES.ready, EVENTS.unload, leased);
    expect(draining).to.include({ name: 'draining', deadlineAtMs: NOW + DEFAULT_LIMITS.drainMs });
    const heardLater = step(draining, EVENTS.heardReady, { ...leased, nowMs: NOW + 29_000 });
    expect(step(heardLater, EVENTS.demand, leased).name).to.equal('draining');
    expect(effectsOf(heardLater, EVENTS.tick, { ...leased, nowMs: NOW + 30_000 })).to.deep.equal(['lose', 'leave']);
    expect(effectsOf(heardLater, EVENTS.demand, { leased: 0 })).to.deep.equal(['shut', 'leave']);
  });

  it('gives a host that saves its prefixes more time to end than one that goes at once', () => {
    const killAfter = (event: InstanceEvent): unknown => {
      const state = step(STATES.ready, event);
      return state.name === 'stopping' ? state.killAtMs - NOW : state.name;
    };
    const { exitGraceMs, leaveGraceMs } = DEFAULT_LIMITS;
    expect(killAfter(EVENTS.evict)).to.equal(exitGraceMs + leaveGraceMs);
    expect(killAfter(EVENTS.shutdown)).to.equal(exitGraceMs);
  });

  it('makes room at once when idle, and after what runs when in use', () => {
    expect(effectsOf(STATES.ready, EVENTS.evict, { waiting: 0 })).to.deep.equal(['shut', 'leave']);
    const leased = { leased: 1 };
    const ready = STATES.ready;
    const yielding = step(ready, EVENTS.evict, leased);
    expect(yielding).to.include({ name: 'draining', deadlineAtMs: Infinity });
    expect(step(yielding, EVENTS.tick, { ...leased, nowMs: NOW + 4000 })).to.equal(yielding);
    expect(effectsOf(yielding, EVENTS.demand)).to.deep.equal(['shut', 'leave']);
    const rescued = step(yielding, EVENTS.reprieve, leased);
    expect(rescued).to.deep.equal(ready);
    const told = step(yielding, EVENTS.unload, leased);
    expect(told).to.include({ name: 'draining', deadlineAtMs: NOW + DEFAULT_LIMITS.drainMs });
    expect(step(told, EVENTS.reprieve, leased), 'told to go, it goes').to.equal(told);
  });

  it('unloads at the end of idleness, not before', () => {
    const ready = STATES.ready;
    expect(step(ready, EVENTS.tick, { idleUntilMs: NOW + 1 }).name).to.equal('ready');
    expect(effectsOf(ready, EVENTS.tick, { idleUntilMs: NOW })).to.deep.equal(['shut', 'leave']);
  });

  it('retries after the pause when somebody wants it, and not before', () => {
    expect(step(STATES.failed, EVENTS.demand, { nowMs: NOW + 999 }).name).to.equal('failed');
    expect(step(STATES.failed, EVENTS.tick, { nowMs: NOW + 1000, wanted: false }).name).to.equal('failed');
    expect(step(STATES.failed, EVENTS.tick, { nowMs: NOW + 1000 })).to.include({ step: 'placing', failures: 1 });
  });

  it('doubles the pause with each crash up to a minute, and counts anew after a stable time', () => {
    const pauses: number[] = [];
    let failures = 0;
    for (let round = 0; round < 8; round++) {
      const ready: InstanceState = { ...STATES.ready, failures };
      const state = step(ready, EVENTS.exited);
      if (state.name !== 'failed') throw new Error('a crash must fail');
      pauses.push(state.failure.retryAtMs - NOW);
      failures = state.failure.failures;
    }
    expect(pauses).to.deep.equal([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    const stable = step({ ...STATES.ready, failures, sinceMs: NOW - 60_000 }, EVENTS.exited);
    expect(stable).to.have.nested.property('failure.failures', 1);
  });

  it('tries what would only fail again for somebody who asks after the cooldown, and not by itself', () => {
    expect(step(STATES.failedForGood, EVENTS.tick, { nowMs: NOW + 5000 })).to.equal(STATES.failedForGood);
    expect(step(STATES.failedForGood, EVENTS.demand, { nowMs: NOW + 5000 })).to.include({ step: 'placing' });
  });

  it('grants no more when the host was told by somebody else to finish', () => {
    expect(effectsOf(STATES.ready, EVENTS.heardDraining, { leased: 2 })).to.deep.equal(['shut']);
  });

  it('spreads the pause by a fifth', () => {
    const pause = (jitter: number): number => {
      const state = step(STATES.ready, EVENTS.exited, { jitter });
      return state.name === 'failed' ? state.failure.retryAtMs - NOW : NaN;
    };
    expect([pause(0), pause(0.999)].map(Math.round)).to.deep.equal([800, 1200]);
  });

  it('keeps those who wait through crashes of a load, but not for ever', () => {
    const third = { ...STATES.loading, failures: DEFAULT_LIMITS.maxLoadCrashes - 1 };
    expect(effectsOf(STATES.loading, EVENTS.exited)).to.not.include('reject');
    expect(effectsOf(third, EVENTS.exited)).to.include('reject');
    expect(effectsOf({ ...STATES.spawning, failures: 2 }, EVENTS.tick)).to.include('reject');
  });

  it('keeps the failure through the end of the process', () => {
    const stopping = step(STATES.loading, EVENTS.heardFailed);
    const failed = step(stopping, EVENTS.exited, { nowMs: NOW + 200 });
    expect(failed).to.have.nested.property('failure.error.code', 'out_of_memory');
  });

  it('lets a later order to go shorten the time, never lengthen it', () => {
    const order = (drainMs: number): InstanceEvent => ({ ...EVENTS.unload, drainMs });
    const endless = step(STATES.ready, order(Infinity), { leased: 1 });
    expect(endless).to.include({ name: 'draining', deadlineAtMs: Infinity });
    const hurried = step(endless, EVENTS.unload, { leased: 1 });
    expect(hurried).to.include({ deadlineAtMs: NOW + DEFAULT_LIMITS.drainMs });
    expect(step(hurried, order(1), { leased: 1 })).to.include({ deadlineAtMs: NOW + 1 });
    expect(step(hurried, order(1e9), { leased: 1 })).to.equal(hurried);
  });

  it('names a host that must go stuck and an ended one lost', () => {
    const errorOf = (event: InstanceEvent): unknown =>
      transition(STATES.ready, event, context).effects.find(({ type }) => type === 'lose');
    expect(errorOf(EVENTS.suspected)).to.have.nested.property('error.code', 'host_stuck');
    expect(errorOf(EVENTS.suspected)).to.have.nested.property('error.details').deep.equal({ verdict: 'frozen' });
    expect(errorOf(EVENTS.exited)).to.have.nested.property('error.code', 'host_lost');
    expect(errorOf(EVENTS.heardFailed)).to.have.nested.property('error.code', 'host_lost');
  });

  it('tells a lease that is cut short by us why, and calls only a death a death', () => {
    const lost = (state: InstanceState, event: InstanceEvent, more: Partial<InstanceContext> = {}): unknown => {
      const { effects } = transition(state, event, { ...context, leased: 1, ...more });
      return effects.flatMap((effect) => (effect.type === 'lose' ? [effect.error.code] : []))[0];
    };
    const pastDrain = { nowMs: NOW + DEFAULT_LIMITS.drainMs };
    const unloading = step(step(STATES.ready, EVENTS.unload, { leased: 1 }), EVENTS.heardReady, pastDrain);
    expect(lost(unloading, EVENTS.tick, pastDrain)).to.equal('profile_switching');
    expect(lost(unloading, EVENTS.shutdown)).to.equal('draining');
    expect(lost(STATES.ready, EVENTS.shutdown)).to.equal('draining');
    expect(lost(unloading, { ...EVENTS.exited, how: 'exited with code 0', asTold: true })).to.equal(
      'profile_switching',
    );
    expect(lost(unloading, EVENTS.exited)).to.equal('host_lost');
    const toldElsewhere = step(STATES.ready, EVENTS.heardDraining, { leased: 1 });
    expect(lost(toldElsewhere, { ...EVENTS.exited, asTold: true })).to.equal('draining');
  });

  it('gives a loading host time as long as it makes progress', () => {
    const fresh: InstanceState = { ...STATES.loading, progressAtMs: NOW - 29_999 };
    expect(step(fresh, EVENTS.tick)).to.equal(fresh);
    expect(step({ ...fresh, deadlineAtMs: NOW }, EVENTS.tick)).to.have.nested.property(
      'failure.error.code',
      'load_failed',
    );
    expect(step(fresh, { ...EVENTS.heardLoading, loadFraction: 0.2 })).to.equal(fresh);
  });

  it('starts again at once when it is wanted at the end of an unload', () => {
    expect(step(STATES.stopping, EVENTS.exited, { wanted: false })).to.equal(UNLOADED);
    expect(step(STATES.stopping, EVENTS.exited)).to.include({ name: 'starting', step: 'placing' });
  });

  it('asks to be woken for the next thing that time can change', () => {
    const wake = (state: InstanceState, more: Partial<InstanceContext> = {}): number =>
      wakeAtMs(state, { ...context, ...more });
    expect(wake(STATES.unloaded)).to.equal(Infinity);
    expect(wake(STATES.placing)).to.equal(Infinity);
    expect(wake(STATES.spawning)).to.equal(NOW);
    expect(wake(STATES.loading)).to.equal(NOW);
    expect(wake(STATES.ready)).to.equal(Infinity);
    expect(wake(STATES.ready, { idleUntilMs: NOW - 7 })).to.equal(NOW - 7);
    expect(wake(STATES.draining)).to.equal(NOW + 1);
    expect(wake(STATES.stopping)).to.equal(NOW);
    expect(wake(STATES.failed)).to.equal(NOW + 1000);
    expect(wake(STATES.failed, { wanted: false })).to.equal(Infinity);
    expect(wake(STATES.failedForGood)).to.equal(Infinity);
  });

  it('never asks twice for the same instant after a tick: no timer spins', () => {
    for (const state of Object.values(STATES)) {
      for (const lateMs of [0, 501, Infinity]) {
        const next = step(state, { type: 'tick', lateMs }, { idleUntilMs: NOW - 1 });
        expect(wakeAtMs(next, { ...context, idleUntilMs: next.name === 'ready' ? undefined : NOW - 1 })).to.be.above(
          NOW,
        );
      }
    }
  });
});
