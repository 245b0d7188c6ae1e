import { expect } from 'chai';
import { VitalSigns } from '../../src/pool/vital-signs.js';

const AROUND = { canHear: true, isLoading: false, isLeased: true };

describe('vital signs', () => {
  let nowMs = 0;
  let signs: VitalSigns;
  const word = (steps: number, running: number, stalledMs = 0): void =>
    signs.heard({ steps, running, waiting: 0, stalledMs });
  const pulse = (silentMs: number, steps: number, running: number, stalledMs = 0): void =>
    signs.pulsed({ hid: 'h', silentMs, steps, running, stalledMs });
  beforeEach(() => {
    nowMs = 100;
    signs = new VitalSigns(() => nowMs);
  });

  it('begins as one that spoke just now and has no pulse', () => {
    nowMs = 300;
    expect(signs.evidence(AROUND)).to.deep.equal({
      ...{ ...AROUND, wordAgeMs: 200, hasWork: false, stillMs: 0, stalledMs: 0, longestStepMs: 0 },
    });
  });

  it('tells the age of the last word and of the last beat of the native thread', () => {
    nowMs = 1000;
    pulse(300, 0, 0);
    word(0, 0);
    nowMs = 1500;
    expect(signs.evidence(AROUND)).to.include({ wordAgeMs: 500, pulseAgeMs: 800 });
    signs.listenAnew();
    expect(signs.evidence(AROUND)).to.include({ wordAgeMs: 0, pulseAgeMs: 0 });
  });

  it('counts how long the same step goes on, by words and by pulses', () => {
    word(5, 1);
    nowMs += 1000;
    word(5, 1, 1000);
    nowMs += 1000;
    pulse(0, 5, 1, 2000);
    expect(signs.evidence(AROUND)).to.include({ hasWork: true, stillMs: 2000, stalledMs: 2000, longestStepMs: 0 });
    nowMs += 1000;
    word(6, 1, 10);
    expect(signs.evidence(AROUND)).to.include({ stillMs: 0, stalledMs: 10, longestStepMs: 2000 });
    nowMs += 1000;
    word(7, 1, 20);
    expect(signs.evidence(AROUND).longestStepMs, 'a shorter one changes nothing').to.equal(2000);
  });

  it('begins to count when work comes, not when the last step ended', () => {
    word(5, 0);
    nowMs += 60_000;
    word(5, 1, 5);
    nowMs += 10;
    expect(signs.evidence(AROUND)).to.include({ hasWork: true, stillMs: 10 });
  });

  it('takes work that is only prepared for work: a step is due', () => {
    signs.heard({ steps: 5, running: 0, waiting: 1, stalledMs: 0 });
    expect(signs.evidence(AROUND).hasWork).to.equal(true);
    pulse(0, 6, 0, 40);
    expect(signs.evidence(AROUND).hasWork).to.equal(true);
  });

  it('is not set back by a pulse that was overtaken', () => {
    word(9, 0);
    pulse(100, 7, 1, 500);
    expect(signs.evidence(AROUND)).to.include({ hasWork: false, stalledMs: 0 });
  });
});
