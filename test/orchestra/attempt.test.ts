import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { CANCEL_AGAIN_MS, CANCEL_ANSWER_MS, runAttempt, type Outcome } from '../../src/orchestra/attempt.js';
import type { Frame, Gen } from '../../src/schema/bus-messages.js';
import { CANCELLED, delta, FakeLease, FINAL, GID, stage, STARTED, TIMINGS, USAGE, type Stage } from './stage.js';

const ACK_MS = 1000;
const SILENCE_MS = 5000;
const GEN: Gen = {
  rid: 'run_1',
  att: 1,
  gid: GID,
  ttlMs: 60_000,
  creditFrames: 256,
  prompt: { kind: 'text', text: 'hi' },
};

/** One attempt under way. */
interface Try extends Stage {
  readonly lease: FakeLease;
  readonly stop: AbortController;
  readonly frames: Frame[];
  /** Undefined until the attempt ended. */
  outcome(): Outcome | undefined;
}

async function begin(prepare: (parts: Stage & { lease: FakeLease; stop: AbortController }) => void): Promise<Try> {
  const parts = await stage();
  const { bus, receiver, clock } = parts;
  const lease = new FakeLease('general', 'hid_a');
  const stop = new AbortController();
  prepare({ ...parts, lease, stop });
  const frames: Frame[] = [];
  let outcome: Outcome | undefined;
  const onFrame = (frame: Frame): void => void frames.push(frame);
  const context = { bus, receiver, clock, lease, gen: GEN, ackMs: ACK_MS, silenceMs: SILENCE_MS, onFrame };
  void runAttempt(context, stop.signal).then((ended) => (outcome = ended));
  await clock.run(20);
  return { ...parts, lease, stop, frames, outcome: () => outcome };
}

function errorOf(attempt: Try): LlamaestroError | undefined {
  const outcome = attempt.outcome();
  return outcome?.ok === false ? outcome.error : undefined;
}

const nothing = (): void => undefined;
const cancelled = new LlamaestroError('cancelled', 'the client left');

describe('orchestra/attempt', () => {
  it('follows frames to the final one and hands the lease back then', async () => {
    const attempt = await begin(nothing);
    attempt.host.say([STARTED, delta(0, 'ab')]);
    await attempt.clock.run(20);
    expect(attempt.frames.map(({ type }) => type)).to.deep.equal(['started', 'delta']);
    expect(attempt.lease.releases).to.equal(0);
    attempt.host.say([FINAL]);
    await attempt.clock.run(20);
    expect(attempt.outcome()).to.deep.equal({ ok: true, reason: 'stop', usage: USAGE, timings: TIMINGS });
    expect(attempt.lease.releases).to.equal(1);
    await attempt.strike();
    expect(attempt.clock.pendingTimers).to.equal(0);
  });

  it('ends at once when the host refuses, and gives the lease back', async () => {
    const error = new LlamaestroError('draining', 'the model is being unloaded');
    const attempt = await begin(({ host }) => (host.answerGen = () => ({ ok: false, error: error.toWire() })));
    expect(errorOf(attempt)?.code).to.equal('draining');
    expect(attempt.lease.releases).to.equal(1);
    expect(attempt.host.cancels).to.deep.equal([]);
  });

  it('ends at once when nobody listens', async () => {
    const attempt = await begin(({ network }) => network.kill('hid_a'));
    expect(errorOf(attempt)?.code).to.equal('no_host');
    expect(attempt.lease.releases).to.equal(1);
  });

  it('takes silence for no refusal: cancels, and keeps the lease until the host has spoken', async () => {
    const attempt = await begin(({ host }) => (host.answerGen = () => undefined));
    await attempt.clock.run(ACK_MS);
    expect(attempt.host.cancels).to.deep.equal([{ rid: 'run_1', att: 1 }]);
    expect(attempt.lease.releases).to.equal(0);
    attempt.host.say([CANCELLED]);
    await attempt.clock.run(20);
    expect(errorOf(attempt)?.code).to.equal('ack_timeout');
    expect(attempt.lease.releases).to.equal(1);
  });

  it('knows from the host that nothing runs there', async () => {
    const attempt = await begin(({ host }) => {
      host.answerGen = () => undefined;
      host.answerCommand = () => ({ ok: true, body: { live: false } });
    });
    await attempt.clock.run(ACK_MS);
    expect(errorOf(attempt)?.code).to.equal('ack_timeout');
    expect(attempt.lease.releases).to.equal(1);
  });

  it('believes frames more than a missing answer', async () => {
    const attempt = await begin(({ host }) => (host.answerGen = () => undefined));
    attempt.host.say([STARTED, delta(0, 'a')]);
    await attempt.clock.run(2 * ACK_MS);
    expect(attempt.host.cancels).to.deep.equal([]);
    attempt.host.say([FINAL]);
    await attempt.clock.run(20);
    expect(attempt.outcome()?.ok).to.equal(true);
  });

  it('calls an answer it cannot read a fault of ours, and stops what may run', async () => {
    const attempt = await begin(({ host }) => (host.answerGen = () => ({ yes: 'of course' })));
    expect(attempt.host.cancels).to.have.length(1);
    attempt.host.say([CANCELLED]);
    await attempt.clock.run(20);
    expect(errorOf(attempt)?.code).to.equal('internal');
  });

  for (const [code, said] of [
    ['prefill_stall', [STARTED]],
    ['token_stall', [STARTED, delta(0, 'a')]],
  ] as const) {
    it(`stops a host that says nothing any more: ${code}`, async () => {
      const attempt = await begin(({ host }) => (host.onCancel = () => host.say([CANCELLED])));
      attempt.host.say(said);
      await attempt.clock.run(SILENCE_MS - 100);
      expect(attempt.outcome()).to.equal(undefined);
      await attempt.clock.run(200);
      expect(errorOf(attempt)?.code).to.equal(code);
      expect(attempt.lease.releases).to.equal(1);
      await attempt.strike();
      expect(attempt.clock.pendingTimers).to.equal(0);
    });
  }

  it('blames no host for the sleep of the machine, only for silence after it', async () => {
    const attempt = await begin(({ host }) => (host.onCancel = () => host.say([CANCELLED])));
    attempt.host.say([STARTED, delta(0, 'a')]);
    await attempt.clock.run(100);
    attempt.clock.jump(3_600_000);
    await attempt.clock.run(SILENCE_MS - 100);
    expect(attempt.outcome()).to.equal(undefined);
    await attempt.clock.run(200);
    expect(errorOf(attempt)?.code).to.equal('token_stall');
  });

  it('cancels on the host and reports what it had counted', async () => {
    const attempt = await begin(({ host }) => (host.onCancel = () => host.say([CANCELLED])));
    attempt.host.say([STARTED, delta(0, 'abc')]);
    await attempt.clock.run(20);
    attempt.stop.abort(cancelled);
    await attempt.clock.run(20);
    expect(attempt.outcome()).to.deep.equal({ ok: false, error: cancelled, usage: USAGE, timings: TIMINGS });
    expect(attempt.lease.releases).to.equal(1);
  });

  it('does not wait for ever to be cancelled, but the lease does, and the host is told again', async () => {
    const attempt = await begin(nothing);
    attempt.stop.abort(cancelled);
    await attempt.clock.run(CANCEL_ANSWER_MS - 1);
    expect(attempt.outcome()).to.equal(undefined);
    await attempt.clock.run(2);
    expect(errorOf(attempt)).to.equal(cancelled);
    await attempt.clock.run(2 * CANCEL_AGAIN_MS);
    expect(attempt.host.cancels.length).to.be.within(3, 5);
    expect(attempt.lease.releases).to.equal(0);
    attempt.host.say([CANCELLED]);
    await attempt.clock.run(20);
    expect(attempt.lease.releases).to.equal(1);
    await attempt.strike();
    expect(attempt.clock.pendingTimers).to.equal(0);
  });

  it('has no success and no text after a cancel, even if the host was faster', async () => {
    const attempt = await begin(nothing);
    attempt.host.say([STARTED, delta(0, 'a')]);
    await attempt.clock.run(20);
    attempt.stop.abort(cancelled);
    attempt.host.say([delta(1, 'b'), FINAL]);
    await attempt.clock.run(20);
    expect(attempt.frames.map(({ type }) => type)).to.deep.equal(['started', 'delta']);
    expect(errorOf(attempt)).to.equal(cancelled);
    expect(attempt.lease.releases).to.equal(1);
  });

  it('ends with its host, without waiting for a word of it', async () => {
    const attempt = await begin(nothing);
    attempt.host.say([STARTED]);
    await attempt.clock.run(20);
    attempt.lease.lose();
    attempt.host.say([delta(0, 'a'), FINAL]);
    await attempt.clock.run(20);
    const { code } = errorOf(attempt) ?? {};
    expect([code, (attempt.outcome() as { hostDied?: true }).hostDied]).to.deep.equal(['host_lost', true]);
    expect(attempt.frames).to.have.length(1);
    expect(attempt.host.cancels).to.deep.equal([]);
    await attempt.strike();
    expect(attempt.clock.pendingTimers).to.equal(0);
  });

  it('sends nothing when it is cancelled before it begins', async () => {
    const attempt = await begin(({ stop }) => stop.abort(cancelled));
    expect(errorOf(attempt)).to.equal(cancelled);
    expect([attempt.host.gens.length, attempt.lease.releases]).to.deep.equal([0, 1]);
  });

  it('does not blame a request for a host that died before it got there', async () => {
    const attempt = await begin(({ lease }) => lease.lose());
    expect(errorOf(attempt)?.code).to.equal('host_lost');
    expect(attempt.outcome()).to.not.have.property('hostDied');
    expect(attempt.lease.releases).to.equal(1);
  });

  it('fails with stream_gap when frames are gone for good, and says so to the host', async () => {
    const gap = new LlamaestroError('stream_gap', 'no longer kept').toWire();
    const attempt = await begin(({ host }) => {
      host.answerCommand = ({ op }) => (op === 'resend' ? { ok: false, error: gap } : { ok: true, body: {} });
      host.onCancel = () => host.say([CANCELLED]);
    });
    attempt.host.say([STARTED, delta(0, 'a')]);
    attempt.host.skip();
    attempt.host.say([delta(2, 'c')]);
    await attempt.clock.run(1000);
    expect(errorOf(attempt)?.code).to.equal('stream_gap');
    expect(attempt.host.cancels).to.have.length(1);
    expect(attempt.lease.releases).to.equal(1);
  });

  it("passes on the host's own error", async () => {
    const error = new LlamaestroError('out_of_memory', 'no KV cell is free').toWire();
    const attempt = await begin(nothing);
    attempt.host.say([STARTED, { type: 'error', error }]);
    await attempt.clock.run(20);
    expect(errorOf(attempt)?.toWire()).to.deep.equal(error);
    expect(attempt.lease.releases).to.equal(1);
  });
});
