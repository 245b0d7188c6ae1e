import { expect } from 'chai';
import { standingOf, type StandingFacts } from '../../src/pool/standing.js';
import { STATES } from './instance-cases.js';

const IDLE: StandingFacts = { isKept: false, isWaitedFor: false, isIdle: true, isProtected: false };
const USED: StandingFacts = { ...IDLE, isIdle: false };
const WAITED_FOR: StandingFacts = { ...USED, isWaitedFor: true };
const KEPT: StandingFacts = { ...IDLE, isKept: true };

/** Idle, in use, waited for, kept, protected. */
const TABLE: Readonly<Record<keyof typeof STATES, string>> = {
  unloaded: 'busy busy busy kept busy',
  placing: 'busy busy busy kept busy',
  spawning: 'busy busy busy kept busy',
  loading: 'busy busy busy kept busy',
  ready: 'idle serving serving kept busy',
  draining: 'busy busy busy kept busy',
  yielding: 'leaving leaving wanted leaving leaving',
  stopping: 'leaving leaving leaving leaving leaving',
  stoppingFailed: 'leaving leaving leaving leaving leaving',
  failed: 'busy busy busy kept busy',
  failedForGood: 'busy busy busy kept busy',
};

describe('standing', () => {
  for (const [name, line] of Object.entries(TABLE)) {
    it(`of a model that is ${name}`, () => {
      const state = STATES[name as keyof typeof STATES];
      const facts = [IDLE, USED, WAITED_FOR, KEPT, { ...IDLE, isProtected: true }];
      expect(facts.map((each) => standingOf(state, each)).join(' ')).to.equal(line);
    });
  }
});
