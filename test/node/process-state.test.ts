import { expect } from 'chai';
import {
  processTransition,
  type ProcessEvent,
  type ProcessState,
  type ProcessStep,
} from '../../src/node/process-state.js';

const STATES: readonly ProcessState[] = [
  { name: 'starting' },
  { name: 'starting', killInMs: 50 },
  { name: 'running' },
  { name: 'asked', killAtMs: 1000 },
  { name: 'terminated', killAtMs: 1000 },
  { name: 'killed' },
  { name: 'gone' },
];
const EVENTS: readonly ProcessEvent[] = [
  { type: 'spawned', nowMs: 0 },
  { type: 'spawn-failed' },
  { type: 'kill', graceMs: 100, nowMs: 0 },
  { type: 'kill', graceMs: 0, nowMs: 0 },
  { type: 'unheard' },
  { type: 'term-due' },
  { type: 'kill-due' },
  { type: 'exited' },
];
const RANK = ['starting', 'running', 'asked', 'terminated', 'killed', 'gone'];

function words(step: ProcessStep): string {
  const effects = step.effects.map((effect) =>
    effect.type === 'signal'
      ? effect.signal
      : effect.type === 'arm'
        ? `arm ${effect.termMs}/${effect.killMs}`
        : effect.type,
  );
  return [step.state.name, ...effects].join(', ');
}

function run(...events: ProcessEvent[]): readonly string[] {
  let state: ProcessState = { name: 'starting' };
  return events.map((event) => {
    const step = processTransition(state, event);
    state = step.state;
    return words(step);
  });
}

describe('processTransition', () => {
  it('never goes back, whatever happens when', () => {
    for (const state of STATES) {
      for (const event of EVENTS) {
        const next = processTransition(state, event).state;
        expect(RANK.indexOf(next.name), `${state.name} + ${event.type}`).to.be.at.least(RANK.indexOf(state.name));
      }
    }
  });

  it('reports an exit exactly once from every state in which a process may exist', () => {
    for (const state of STATES) {
      const once = processTransition(state, { type: 'exited' });
      expect(once.state.name).to.equal('gone');
      expect(words(once)).to.equal(state.name === 'gone' ? 'gone' : 'gone, disarm, report');
      for (const event of EVENTS) expect(processTransition(once.state, event).effects).to.deep.equal([]);
    }
  });

  it('asks, then terminates, then kills', () => {
    expect(
      run(
        { type: 'spawned', nowMs: 0 },
        { type: 'kill', graceMs: 100, nowMs: 5 },
        { type: 'term-due' },
        { type: 'kill-due' },
        { type: 'exited' },
      ),
    ).to.deep.equal([
      'running',
      'asked, arm 50/100, ask-exit',
      'terminated, SIGTERM',
      'killed, disarm, SIGKILL',
      'gone, disarm, report',
    ]);
  });

  it('terminates at once when nobody listens, and only once', () => {
    const story = run(
      { type: 'spawned', nowMs: 0 },
      { type: 'kill', graceMs: 100, nowMs: 0 },
      { type: 'unheard' },
      { type: 'term-due' },
    );
    expect(story.slice(2)).to.deep.equal(['terminated, SIGTERM', 'terminated']);
  });

  it('kills at once without grace', () => {
    expect(run({ type: 'spawned', nowMs: 0 }, { type: 'kill', graceMs: 0, nowMs: 0 })[1]).to.equal(
      'killed, disarm, SIGKILL',
    );
  });

  it('lets a second kill shorten the grace and never lengthen it', () => {
    const story = run(
      { type: 'spawned', nowMs: 0 },
      { type: 'kill', graceMs: 30_000, nowMs: 0 },
      { type: 'kill', graceMs: 60_000, nowMs: 1 },
      { type: 'kill', graceMs: 10, nowMs: 2 },
      { type: 'kill', graceMs: 0, nowMs: 3 },
      { type: 'kill', graceMs: 0, nowMs: 4 },
    );
    expect(story.slice(2)).to.deep.equal(['asked', 'asked, arm 5/10', 'killed, disarm, SIGKILL', 'killed']);
  });

  it('carries out a kill that came before the process existed, with the shortest grace asked for', () => {
    expect(
      run(
        { type: 'kill', graceMs: 100, nowMs: 0 },
        { type: 'kill', graceMs: 20, nowMs: 1 },
        { type: 'kill', graceMs: 300, nowMs: 2 },
        { type: 'spawned', nowMs: 3 },
      ),
    ).to.deep.equal(['starting', 'starting', 'starting', 'asked, arm 10/20, ask-exit']);
  });

  it('takes no spawn for failed that came off, and hears of no answer but while it asks', () => {
    for (const state of STATES) {
      const failed = processTransition(state, { type: 'spawn-failed' });
      expect(failed.state.name).to.equal(state.name === 'starting' ? 'gone' : state.name);
      if (state.name === 'asked') continue;
      for (const type of ['unheard', 'term-due'] as const)
        expect(processTransition(state, { type }), `${state.name} + ${type}`).to.deep.equal({ state, effects: [] });
    }
    for (const state of STATES) {
      const due = words(processTransition(state, { type: 'kill-due' }));
      const isKilled = state.name === 'asked' || state.name === 'terminated';
      expect(due).to.equal(isKilled ? 'killed, disarm, SIGKILL' : state.name);
    }
  });

  it('counts a shorter grace from when it was asked for', () => {
    const asked: ProcessState = { name: 'asked', killAtMs: 1000 };
    const kill = (graceMs: number): ProcessStep => processTransition(asked, { type: 'kill', graceMs, nowMs: 600 });
    expect(kill(400)).to.deep.equal({ state: asked, effects: [] });
    expect(kill(399).state).to.deep.equal({ name: 'asked', killAtMs: 999 });
  });

  it('does not report a process that never was', () => {
    expect(run({ type: 'spawn-failed' }, { type: 'exited' })).to.deep.equal(['gone', 'gone']);
  });
});
