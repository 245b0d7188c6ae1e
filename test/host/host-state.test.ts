import { expect } from 'chai';
import {
  hostTransition,
  wireState,
  type HostLife,
  type HostLifeEvent,
  type HostLifeStep,
} from '../../src/host/host-state.js';

const ERROR = { code: 'load_failed', message: 'no', remedy: 'none' } as const;
const STATES: readonly HostLife[] = [
  { name: 'idle' },
  { name: 'loading', fraction: 0.5 },
  { name: 'ready' },
  { name: 'draining' },
  { name: 'failed', error: ERROR },
  { name: 'ended' },
];
const EVENTS: readonly HostLifeEvent[] = [
  { type: 'load' },
  { type: 'progress', fraction: 0.7 },
  { type: 'loaded' },
  { type: 'load-failed', error: ERROR },
  { type: 'drain' },
  { type: 'exit' },
];

function words(step: HostLifeStep): string {
  const effects = step.effects.map((effect) => (effect.type === 'end' ? `end ${effect.exitCode}` : effect.type));
  return [step.isRefused === true ? 'refused' : step.state.name, ...effects].join(', ');
}

/** Every state by every event: the whole machine, to be read as a table. */
const TABLE: Record<HostLife['name'], Record<HostLifeEvent['type'], string>> = {
  idle: {
    load: 'loading, begin-load, publish',
    progress: 'idle',
    loaded: 'idle, discard-engine',
    'load-failed': 'idle',
    drain: 'draining, publish',
    exit: 'ended, end 0',
  },
  loading: {
    load: 'refused',
    progress: 'loading, publish-progress',
    loaded: 'ready, publish',
    'load-failed': 'failed, publish, end 1',
    drain: 'draining, abort-load, publish',
    exit: 'ended, abort-load, end 0',
  },
  ready: {
    load: 'refused',
    progress: 'ready',
    loaded: 'ready, discard-engine',
    'load-failed': 'ready',
    drain: 'draining, publish',
    exit: 'ended, end 0',
  },
  draining: {
    load: 'refused',
    progress: 'draining',
    loaded: 'draining, discard-engine',
    'load-failed': 'draining',
    drain: 'draining',
    exit: 'ended, end 0',
  },
  failed: {
    load: 'refused',
    progress: 'failed',
    loaded: 'failed, discard-engine',
    'load-failed': 'failed',
    drain: 'failed',
    exit: 'ended, end 0',
  },
  ended: {
    load: 'refused',
    progress: 'ended',
    loaded: 'ended, discard-engine',
    'load-failed': 'ended',
    drain: 'ended',
    exit: 'ended',
  },
};

describe('hostTransition', () => {
  for (const state of STATES) {
    for (const event of EVENTS) {
      it(`${state.name} + ${event.type}: ${TABLE[state.name][event.type]}`, () => {
        expect(words(hostTransition(state, event))).to.equal(TABLE[state.name][event.type]);
      });
    }
  }

  it('never lets the fraction go back or repeat', () => {
    for (const fraction of [0.2, 0.5]) {
      const step = hostTransition({ name: 'loading', fraction: 0.5 }, { type: 'progress', fraction });
      expect(step).to.deep.equal({ state: { name: 'loading', fraction: 0.5 }, effects: [] });
    }
  });

  it('has a word on the bus for every state but the last', () => {
    expect(STATES.map(wireState)).to.deep.equal(['idle', 'loading', 'ready', 'draining', 'failed', undefined]);
  });
});
