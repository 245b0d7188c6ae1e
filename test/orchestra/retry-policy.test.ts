import { expect } from 'chai';
import { ERROR_CODES } from '../../src/base/errors.js';
import { afterFailure, mayFallBack, POISON_CRASHES, type Failure } from '../../src/orchestra/retry-policy.js';

const failure: Failure = {
  code: 'host_lost',
  deliveredTokens: 0,
  attempts: 1,
  crashes: 1,
  retries: 2,
  remainingMs: 10_000,
  lastPauseMs: 0,
};
const RETRIED = [
  'host_lost',
  'host_stuck',
  'stream_gap',
  'ack_timeout',
  'prefill_stall',
  'token_stall',
  'no_host',
  'draining',
];

describe('orchestra/retry-policy', () => {
  for (const code of ERROR_CODES) {
    const action = code === 'profile_switching' ? 'reroute' : RETRIED.includes(code) ? 'retry' : 'fail';
    it(`${code}: ${action}`, () => {
      expect(afterFailure({ ...failure, code, crashes: 0 }, 0.5).action).to.equal(action);
    });
  }

  it('goes to another model for faults of one model, and for nothing else', () => {
    const elsewhere = ERROR_CODES.filter(mayFallBack);
    expect(elsewhere).to.have.members([
      ...['host_lost', 'host_stuck', 'stream_gap', 'ack_timeout', 'prefill_stall', 'token_stall', 'no_host'],
      ...['context_length_exceeded', 'does_not_fit', 'model_unusable', 'queue_full', 'queue_timeout', 'load_failed'],
      'out_of_memory',
    ]);
  });

  it('never puts a second answer behind a first token', () => {
    expect(afterFailure({ ...failure, deliveredTokens: 1 }, 0.5).action).to.equal('fail');
    expect(afterFailure({ ...failure, code: 'profile_switching', deliveredTokens: 1 }, 0.5).action).to.equal('fail');
  });

  it('stops at the retries the profile grants', () => {
    expect(afterFailure({ ...failure, crashes: 0, attempts: 2 }, 0.5).action).to.equal('retry');
    expect(afterFailure({ ...failure, crashes: 0, attempts: 3 }, 0.5).action).to.equal('fail');
    expect(afterFailure({ ...failure, crashes: 0, retries: 0 }, 0.5).action).to.equal('fail');
  });

  it('sets a request aside that was there when two hosts died', () => {
    expect(afterFailure({ ...failure, attempts: 2, crashes: POISON_CRASHES }, 0.5).action).to.equal('quarantine');
  });

  it('routes anew whatever was tried before, until the deadline', () => {
    const switching = { ...failure, code: 'profile_switching', attempts: 9, crashes: 0, retries: 0 } as const;
    expect(afterFailure(switching, 0.5).action).to.equal('reroute');
    expect(afterFailure({ ...switching, remainingMs: 0 }, 0.5).action).to.equal('fail');
  });

  it('does not wait beyond the deadline', () => {
    const action = (remainingMs: number): string => afterFailure({ ...failure, remainingMs }, 0).action;
    expect([action(40), action(50), action(51)]).to.deep.equal(['fail', 'fail', 'retry']);
  });

  it('draws the pause between 50 ms and three times the last one', () => {
    const pauses = [0, 100, 900].map((lastPauseMs) =>
      [0, 0.5, 1].map((draw) => {
        const verdict = afterFailure({ ...failure, lastPauseMs }, draw);
        return verdict.action === 'retry' ? verdict.pauseMs : verdict.action;
      }),
    );
    expect(pauses).to.deep.equal([
      [50, 50, 50],
      [50, 175, 300],
      [50, 1375, 2000],
    ]);
  });

  it('pauses between 50 ms and 2 s, growing with jitter', () => {
    for (const draw of [0, 0.3, 0.999]) {
      for (const lastPauseMs of [0, 50, 900, 2000]) {
        const verdict = afterFailure({ ...failure, lastPauseMs }, draw);
        expect(verdict.action === 'retry' && verdict.pauseMs >= 50 && verdict.pauseMs <= 2000).to.equal(true);
      }
    }
  });
});
