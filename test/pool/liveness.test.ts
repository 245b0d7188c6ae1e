/** Every verdict: the cases that people argue about one by one, then all combinations of all evidence against the rules. */
import { expect } from 'chai';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';
import {
  against,
  healthOf,
  judge,
  stepStallMs,
  suspectsItself,
  type Evidence,
  type Verdict,
} from '../../src/pool/liveness.js';

const fine: Evidence = {
  ...{ canHear: true, isLoading: false, isLeased: true, wordAgeMs: 300, pulseAgeMs: 400 },
  ...{ hasWork: true, stillMs: 20, stalledMs: 20, longestStepMs: 250 },
};
const { pulseAgeMs: _none, ...untold } = fine;
const still = (ms: number): Partial<Evidence> => ({ stillMs: ms, stalledMs: ms });
const dumb = (ms: number): Partial<Evidence> => ({ wordAgeMs: ms, pulseAgeMs: ms });

const CASES: readonly (readonly [string, Evidence, Verdict])[] = [
  ['one that works', fine, 'well'],
  ['one whose step takes a second', { ...fine, ...still(1000) }, 'busy'],
  ['a long chunk of a long prompt', { ...fine, ...still(59_999) }, 'busy'],
  ['a step that does not end', { ...fine, ...still(60_000) }, 'stuck'],
  ['the same where steps of 20 s came to an end', { ...fine, ...still(60_000), longestStepMs: 20_000 }, 'busy'],
  ['four times as long as those', { ...fine, ...still(80_000), longestStepMs: 20_000 }, 'stuck'],
  ['longer than anything may take', { ...fine, ...still(300_000), longestStepMs: 200_000 }, 'stuck'],
  ['a machine that slept during a step', { ...fine, stillMs: 900, stalledMs: 7_200_000 }, 'well'],
  ['steps that moved unseen while the bus was away', { ...fine, stillMs: 90_000, stalledMs: 80 }, 'busy'],
  ['one without work, however long', { ...fine, hasWork: false, stillMs: 0, stalledMs: 0 }, 'idle'],
  ['SIGSTOP under a lease', { ...fine, ...dumb(5000) }, 'frozen'],
  ['a moment before', { ...fine, ...dumb(4999) }, 'well'],
  ['SIGSTOP of an idle one', { ...fine, isLeased: false, hasWork: false, ...dumb(6000) }, 'frozen'],
  ['an idle one that speaks every two seconds', { ...fine, isLeased: false, hasWork: false, ...dumb(5999) }, 'idle'],
  ['a heartbeat that is lost while it speaks', { ...fine, pulseAgeMs: 600_000 }, 'well'],
  ['an event loop that stands still for a while', { ...fine, wordAgeMs: 9999 }, 'well'],
  ['an event loop that stands still', { ...fine, wordAgeMs: 10_000 }, 'deaf'],
  ['the same while steps go nowhere', { ...fine, wordAgeMs: 10_000, ...still(90_000) }, 'deaf'],
  ['silence where nobody tells of pulses', { ...untold, wordAgeMs: 5000 }, 'silent'],
  ['less of it', { ...untold, wordAgeMs: 4999 }, 'well'],
  ['silence of an idle one', { ...untold, isLeased: false, wordAgeMs: 5999 }, 'well'],
  ['silence of a line that is cut', { ...fine, canHear: false, ...dumb(90_000), ...still(90_000) }, 'unheard'],
  ['a load that swamps the disk', { ...fine, isLoading: true, hasWork: false, ...dumb(14_999) }, 'well'],
  ['SIGSTOP in a load', { ...fine, isLoading: true, hasWork: false, ...dumb(15_000) }, 'frozen'],
  ['a load without a word, with a pulse', { ...fine, isLoading: true, wordAgeMs: 90_000 }, 'well'],
  ['a load without a word where nobody tells of pulses', { ...untold, isLoading: true, wordAgeMs: 14_999 }, 'well'],
  ['a load on a process that is gone unnoticed', { ...untold, isLoading: true, wordAgeMs: 15_000 }, 'silent'],
];

describe('liveness', () => {
  for (const [name, evidence, verdict] of CASES) {
    it(`calls ${name} ${verdict}`, () => expect(judge(evidence, DEFAULT_LIMITS)).to.equal(verdict));
  }

  it('judges by rules that hold for every combination', () => {
    const ages = [0, 4000, 5500, 8000, 11_000, 20_000];
    const steps = [0, 1500, 61_000, 200_000, 400_000];
    const flags = [false, true];
    let count = 0;
    for (const canHear of flags)
      for (const isLoading of flags)
        for (const isLeased of flags)
          for (const hasWork of flags)
            for (const wordAgeMs of ages)
              for (const pulseAgeMs of [undefined, ...ages])
                for (const stillMs of steps)
                  for (const stalledMs of steps)
                    for (const longestStepMs of [0, 40_000]) {
                      const pulse = pulseAgeMs === undefined ? {} : { pulseAgeMs };
                      const head = { canHear, isLoading, isLeased, hasWork, wordAgeMs, ...pulse };
                      check({ ...head, stillMs, stalledMs, longestStepMs });
                      count++;
                    }
    expect(count).to.equal(2 ** 4 * 6 * 7 * 5 * 5 * 2);
  });

  it('says why, with the figures', () => {
    const word = (evidence: Evidence): string | undefined =>
      against(judge(evidence, DEFAULT_LIMITS), evidence, DEFAULT_LIMITS);
    expect(word(fine)).to.equal(undefined);
    expect(word({ ...fine, ...dumb(5100) })).to.equal('was frozen: no sign of life for 5000 ms');
    expect(word({ ...untold, wordAgeMs: 5100 })).to.equal('was silent for 5000 ms');
    expect(word({ ...fine, wordAgeMs: 10_100 }))
      .to.contain('10100 ms')
      .and.contain('its process lives');
    expect(word({ ...fine, ...still(99_000), longestStepMs: 20_000 })).to.contain('80000 ms');
  });

  it('tells people the verdict and what it rests on', () => {
    expect(healthOf(fine, DEFAULT_LIMITS)).to.deep.equal({
      ...{ verdict: 'well', wordAgeMs: 300, pulseAgeMs: 400, stillMs: 20, longestStepMs: 250 },
    });
    expect(healthOf(untold, DEFAULT_LIMITS)).to.not.have.property('pulseAgeMs');
  });

  it('suspects itself first when its own timer is late', () => {
    expect([500, 501].map((lateMs) => suspectsItself(lateMs, DEFAULT_LIMITS))).to.deep.equal([false, true]);
  });
});

function check(evidence: Evidence): void {
  const { canHear, isLoading, isLeased, wordAgeMs, pulseAgeMs, hasWork, stillMs, stalledMs, longestStepMs } = evidence;
  const verdict = judge(evidence, DEFAULT_LIMITS);
  const text = JSON.stringify({ ...evidence, verdict });
  const is = (...words: Verdict[]): boolean => words.includes(verdict);
  expect(is('unheard'), text).to.equal(!canHear);
  if (!canHear) return;
  const isAccused = against(verdict, evidence, DEFAULT_LIMITS) !== undefined;
  expect(isAccused, text).to.equal(is('frozen', 'stuck', 'deaf', 'silent'));
  // Whoever spoke lately is neither frozen nor silent nor deaf, and whoever beat lately is not frozen.
  if (wordAgeMs < 5000) expect(is('frozen', 'silent', 'deaf'), text).to.equal(false);
  if (pulseAgeMs === undefined || pulseAgeMs < 5000) expect(is('frozen'), text).to.equal(false);
  if (pulseAgeMs !== undefined) expect(is('silent'), text).to.equal(false);
  if (!isLoading && wordAgeMs > 10_000) expect(isAccused, text).to.equal(true);
  if (isLoading) expect(is('well', 'frozen', 'silent'), text).to.equal(true);
  if (!isLoading && !isLeased && wordAgeMs > 5000 && wordAgeMs < 6000) expect(is('frozen', 'silent')).to.equal(false);
  // Stuck needs work, and both clocks.
  if (is('stuck')) {
    const allowedMs = stepStallMs(longestStepMs, DEFAULT_LIMITS);
    expect(hasWork && stillMs >= allowedMs && stalledMs >= allowedMs, text).to.equal(true);
  }
  if (is('idle')) expect(hasWork, text).to.equal(false);
}
