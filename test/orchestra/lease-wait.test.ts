import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { waitForLease } from '../../src/orchestra/lease-wait.js';
import type { Lease, LeaseProgress } from '../../src/pool/pool.js';
import { FakeClock, settle } from '../support/fake-clock.js';
import { FakePool, refusal } from './stage.js';

const QUEUE_MS = 1000;

interface Waiting {
  readonly clock: FakeClock;
  readonly pool: FakePool;
  readonly stop: AbortController;
  readonly told: LeaseProgress[];
  readonly lease: Promise<Lease>;
}

function begin(): Waiting {
  const [clock, pool, stop] = [new FakeClock(), new FakePool(), new AbortController()];
  const told: LeaseProgress[] = [];
  const request = { model: 'general', rid: 'run_1', onProgress: (progress: LeaseProgress) => void told.push(progress) };
  const lease = waitForLease({ pool, clock }, request, QUEUE_MS, stop.signal);
  lease.catch(() => undefined);
  return { clock, pool, stop, told, lease };
}

describe('orchestra/lease-wait', () => {
  it('passes on the lease and what the pool says meanwhile, and leaves no timer', async () => {
    const { clock, pool, told, lease } = begin();
    pool.lastAsk.tell({ state: 'queued', position: 2 });
    pool.lastAsk.tell({ state: 'loading', fraction: 0.5 });
    const granted = pool.lastAsk.grant('hid_a');
    expect(await lease).to.equal(granted);
    expect(told).to.deep.equal([
      { state: 'queued', position: 2 },
      { state: 'loading', fraction: 0.5 },
    ]);
    expect(clock.pendingTimers).to.equal(0);
  });

  it('gives up after the queue time, by name of the model', async () => {
    const { clock, pool, lease } = begin();
    await clock.run(QUEUE_MS - 1);
    expect(pool.lastAsk.signal.aborted).to.equal(false);
    await clock.run(1);
    const error = await refusal(lease);
    expect(error.code).to.equal('queue_timeout');
    expect(error.message).to.contain('general').and.to.contain('1000 ms');
    expect(clock.pendingTimers).to.equal(0);
  });

  it('says when to come again, by what the pool said last', async () => {
    const { clock, pool, lease } = begin();
    pool.lastAsk.tell({ state: 'queued', position: 3, estimatedMs: 9000 });
    pool.lastAsk.tell({ state: 'queued', position: 2, estimatedMs: 6000 });
    await clock.run(QUEUE_MS);
    expect((await refusal(lease)).details).to.deep.equal({ limitMs: QUEUE_MS, retryAfterMs: 6000 });
  });

  it('does not count a load, and goes on counting after it', async () => {
    const { clock, pool, lease } = begin();
    await clock.run(600);
    pool.lastAsk.tell({ state: 'loading', fraction: 0 });
    await clock.run(60_000);
    pool.lastAsk.tell({ state: 'queued', position: 1 });
    await clock.run(399);
    expect(pool.lastAsk.signal.aborted).to.equal(false);
    await clock.run(1);
    expect((await refusal(lease)).code).to.equal('queue_timeout');
  });

  it('ends with the signal, whether it aborts before or during the wait', async () => {
    const gone = new LlamaestroError('cancelled', 'the client left');
    const { clock, pool, stop, lease } = begin();
    stop.abort(gone);
    expect(await refusal(lease)).to.equal(gone);
    expect(clock.pendingTimers).to.equal(0);
    const request = { model: 'general', rid: 'run_2' };
    expect(await refusal(waitForLease({ pool, clock }, request, QUEUE_MS, stop.signal))).to.equal(gone);
    expect(clock.pendingTimers).to.equal(0);
  });

  it("passes on the pool's refusal", async () => {
    const { clock, pool, lease } = begin();
    const refused = new LlamaestroError('load_failed', 'no');
    pool.lastAsk.refuse(refused);
    expect(await refusal(lease)).to.equal(refused);
    await settle();
    expect(clock.pendingTimers).to.equal(0);
  });
});
