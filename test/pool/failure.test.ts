/** What a failure means: how long the pause is, who is told what, and when asking again is hopeless. */
import { expect } from 'chai';
import { LlamaestroError, type ErrorCode } from '../../src/base/errors.js';
import {
  backoffMs,
  crash,
  describeExit,
  hostLost,
  isHopeless,
  loadCrash,
  refusal,
  toldAfter,
} from '../../src/pool/failure.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';

const limits = {
  ...DEFAULT_LIMITS,
  backoffFirstMs: 1000,
  backoffLastMs: 60_000,
  cooldownMs: 30_000,
  maxLoadCrashes: 3,
};
const context = { nowMs: 5000, jitter: 0.5, limits };
const lost = hostLost('was ended by SIGKILL');

describe('failure', () => {
  it('pauses twice as long each time, up to a limit, spread by a fifth', () => {
    expect([1, 2, 3, 6, 7, 20].map((failures) => backoffMs(failures, 0.5, limits))).to.deep.equal([
      1000, 2000, 4000, 32_000, 60_000, 60_000,
    ]);
    expect([backoffMs(1, 0, limits), backoffMs(1, 0.75, limits)]).to.deep.equal([800, 1100]);
  });

  it('counts crashes in a row, and keeps those who wait', () => {
    expect(crash(lost, 2, context)).to.deep.equal({
      ...{ error: lost, crash: true, deterministic: false, failures: 3, retryAtMs: 9000 },
    });
  });

  it('tells a refusal that would repeat itself from one that may pass', () => {
    const refused = (code: ErrorCode): object => refusal(new LlamaestroError(code, 'no'), 1, context);
    for (const code of ['model_unusable', 'does_not_fit', 'invalid_request', 'addon_missing'] as const)
      expect(refused(code), code).to.include({ crash: false, deterministic: true, failures: 2, retryAtMs: 35_000 });
    for (const code of ['out_of_memory', 'load_failed', 'no_host', 'ack_timeout'] as const)
      expect(refused(code), code).to.include({ crash: false, deterministic: false, failures: 2, retryAtMs: 7000 });
  });

  it('says how long to wait, beside what was said already', () => {
    const error = new LlamaestroError('out_of_memory', 'no room', {
      remedy: 'r',
      details: { device: 'cpu' },
      param: 'p',
    });
    const told = toldAfter(refusal(error, 0, context), 5400.4);
    expect(told).to.include({ code: 'out_of_memory', message: 'no room', remedy: 'r', param: 'p', cause: error });
    expect(told.details).to.deep.equal({ device: 'cpu', retryAfterMs: 600 });
    expect(toldAfter(crash(lost, 0, context), 99_999).details).to.deep.equal({ retryAfterMs: 0 });
    expect(toldAfter(crash(lost, 0, context), 0)).to.have.property('param', undefined);
  });

  it('names no pause for what only repeats itself', () => {
    const error = new LlamaestroError('does_not_fit', 'too large');
    expect(toldAfter(refusal(error, 0, context), 5000)).to.equal(error);
  });

  it('is hopeless when it repeats itself, or when loads died again and again', () => {
    const hopeless = (failure: Parameters<typeof isHopeless>[0]): boolean => isHopeless(failure, limits);
    expect(hopeless(refusal(new LlamaestroError('model_unusable', 'no'), 0, context))).to.equal(true);
    expect(hopeless(refusal(new LlamaestroError('out_of_memory', 'no'), 9, context))).to.equal(false);
    expect(hopeless(crash(loadCrash('crashed'), 1, context))).to.equal(false);
    expect(hopeless(crash(loadCrash('crashed'), 2, context))).to.equal(true);
    expect(hopeless(crash(lost, 9, context)), 'a host that served comes back').to.equal(false);
  });

  it('describes an end by code or signal, with the last line of what was said', () => {
    expect(describeExit(1, null, '')).to.equal('exited with code 1');
    expect(describeExit(null, null, ' \n')).to.equal('exited with code unknown');
    expect(describeExit(null, 'SIGABRT', 'one\n  two  \n\n')).to.equal('was ended by SIGABRT; its last words: two');
    expect(describeExit(null, 'SIGABRT', 'x'.repeat(900))).to.have.length(
      'was ended by SIGABRT; its last words: '.length + 500,
    );
  });

  it('keeps the last words from the client', () => {
    expect(hostLost('exited with code 1; its last words: /secret')).to.include({
      code: 'host_lost',
      message: 'the model host exited with code 1',
    });
    expect(loadCrash('exited with code 1')).to.include({
      code: 'load_failed',
      message: 'the model host exited with code 1, before the model was ready',
    });
  });
});
