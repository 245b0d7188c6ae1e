/** Every request settles exactly once and no slot is lost, over any order of grants, losses, aborts and refusals. */
import { expect } from 'chai';
import fc from 'fast-check';
import { LlamaestroError } from '../../src/base/errors.js';
import { LeaseDesk } from '../../src/pool/lease-desk.js';
import type { Lease, LeaseProgress } from '../../src/pool/pool.js';
import { FakeClock, settle } from '../support/fake-clock.js';
import { codeOf } from './bench.js';

const gone = new LlamaestroError('host_lost', 'gone');
const refused = new LlamaestroError('load_failed', 'refused');

interface Request {
  readonly controller: AbortController;
  settled: number;
  lease?: Lease;
  ended: boolean;
}

function makeDesk(clock: FakeClock, maxWaiting = 3, plannedSlots = 1): LeaseDesk {
  return new LeaseDesk('m', {
    clock,
    maxWaiting,
    plannedSlots: () => plannedSlots,
    unlistedMs: 10_000,
    onChange: () => undefined,
    onBegin: () => undefined,
  });
}

function ask(desk: LeaseDesk, rid: string): Request {
  const request: Request = { controller: new AbortController(), settled: 0, ended: false };
  desk.ask({ model: 'm', rid }, request.controller.signal).then(
    (lease) => {
      request.settled++;
      request.lease = lease;
      lease.lost.addEventListener('abort', () => (request.ended = true));
    },
    () => {
      request.settled++;
      request.ended = true;
    },
  );
  return request;
}

describe('lease-desk', () => {
  it('tells how long a request waited for a load and how long in the queue', async () => {
    const clock = new FakeClock();
    const desk = makeDesk(clock);
    const [first, second] = [ask(desk, 'a'), ask(desk, 'b')];
    clock.advance(300);
    desk.open('h', 1, 100);
    await settle();
    expect(first.lease).to.include({ queueMs: 100, loadMs: 200 });
    clock.advance(50);
    first.lease?.release();
    await settle();
    expect(second.lease).to.include({ queueMs: 150, loadMs: 200 });
    const third = ask(desk, 'c');
    clock.advance(10);
    second.lease?.release();
    await settle();
    expect(third.lease).to.include({ queueMs: 10, loadMs: 0 });
  });

  it('tells who waits for how long, from what the leases and loads before took', async () => {
    const clock = new FakeClock();
    const desk = makeDesk(clock);
    const told: LeaseProgress[] = [];
    const onProgress = (progress: LeaseProgress): void => void told.push(progress);
    const waits = (rid: string): Promise<Lease> =>
      desk.ask({ model: 'm', rid, onProgress }, new AbortController().signal);
    const first = waits('a');
    desk.progress(0, 0);
    await clock.run(40);
    desk.open('hid', 1, 0);
    const lease = await first;
    await clock.run(100);
    lease.release();
    const second = await desk.ask({ model: 'm', rid: 'b' }, new AbortController().signal);
    await clock.run(30);
    void waits('c');
    void waits('d');
    second.release();
    await clock.run(10);
    const queued = told.filter((progress) => progress.state === 'queued');
    expect(queued.map(({ position, estimatedMs }) => [position, estimatedMs])).to.deep.equal([
      [1, undefined],
      [1, 70],
      [2, 170],
      [1, 65],
    ]);
    desk.lose(gone);
    told.length = 0;
    void waits('e');
    expect(told).to.deep.include({ state: 'queued', position: 2, estimatedMs: 105 });
  });

  describe('before a request is let in', () => {
    const PATIENCE = { budgetMs: 60_000, queueMs: 30_000 };
    const hurried = { ...PATIENCE, budgetMs: 150 };

    /** One slot, taken; leases last 100 ms, and `waiting` more wait. */
    async function busy(waiting: number): Promise<{ desk: LeaseDesk; clock: FakeClock }> {
      const clock = new FakeClock();
      const desk = makeDesk(clock, 5);
      desk.open('h', 1, 0);
      const first = await desk.ask({ model: 'm', rid: 'a' }, new AbortController().signal);
      clock.advance(100);
      first.release();
      for (let number = 0; number <= waiting; number++) ask(desk, `r${number}`);
      await settle();
      return { desk, clock };
    }

    it('says so when the wait is longer than it may be, with place, times and when to come again', async () => {
      const { desk } = await busy(2);
      const refusal = desk.refusal({ model: 'm' }, hurried);
      expect(refusal?.code).to.equal('queue_full');
      expect(refusal?.details).to.deep.equal({ position: 3, estimatedMs: 300, budgetMs: 150, retryAfterMs: 1000 });
      expect(desk.refusal({ model: 'm', priority: 'interactive' }, hurried), 'it would be the first').to.equal(
        undefined,
      );
      expect(desk.refusal({ model: 'm' }, PATIENCE)).to.equal(undefined);
      expect(desk.refusal({ model: 'm' }, { ...PATIENCE, queueMs: 299 })?.details).to.include({ budgetMs: 299 });
    });

    it('lets in whose wait nobody knows', async () => {
      const desk = makeDesk(new FakeClock());
      desk.open('h', 1, 0);
      for (const rid of ['a', 'b']) ask(desk, rid);
      await settle();
      expect(desk.refusal({ model: 'm' }, { budgetMs: 1, queueMs: 1 })).to.equal(undefined);
    });

    it('lets in who gets a slot at once', async () => {
      const { desk } = await busy(-1);
      expect(desk.refusal({ model: 'm' }, { budgetMs: 0, queueMs: 0 })).to.equal(undefined);
    });

    it('lets in the first to wait for a load, for whom it goes on, and not the second', async () => {
      const clock = new FakeClock();
      const desk = makeDesk(clock, 3, 2);
      desk.progress(0, 0);
      await clock.run(1000);
      desk.progress(0.5, 0);
      expect(desk.refusal({ model: 'm' }, hurried)).to.equal(undefined);
      ask(desk, 'a');
      expect(desk.refusal({ model: 'm' }, hurried)?.details).to.deep.include({ estimatedMs: 1000, position: 2 });
    });

    it('says when a full queue has a place again', async () => {
      const { desk } = await busy(5);
      const refusal = desk.refusal({ model: 'm' }, PATIENCE);
      expect([refusal?.code, refusal?.details]).to.deep.equal(['queue_full', { limit: 5, retryAfterMs: 100 }]);
    });
  });

  it('serves the urgent first and tells each its place as it is', async () => {
    const clock = new FakeClock();
    const desk = makeDesk(clock, 9);
    const told: string[] = [];
    const waits = (rid: string, priority: 'interactive' | 'background'): void => {
      const onProgress = (progress: LeaseProgress): void => {
        if (progress.state === 'queued') told.push(`${rid}: ${progress.position}`);
      };
      void desk.ask({ model: 'm', rid, priority, onProgress }, new AbortController().signal).then((lease) => {
        told.push(`${rid} runs`);
        lease.release();
      });
    };
    waits('slow', 'background');
    waits('quick', 'interactive');
    expect(desk.waitingByClass).to.deep.equal({ interactive: 1, normal: 0, background: 1 });
    desk.open('h', 1, 0);
    await settle();
    expect(told).to.deep.equal(['slow: 1', 'quick: 1', 'slow: 2', 'slow: 1', 'quick runs', 'slow runs']);
  });

  it('gives a lost lease no second end and no slot back to the next host', async () => {
    const desk = makeDesk(new FakeClock());
    const first = ask(desk, 'a');
    desk.open('h1', 1, 0);
    await settle();
    desk.lose(gone);
    expect(codeOf(first.lease?.lost.reason)).to.equal('host_lost');
    desk.open('h2', 1, 0);
    const second = ask(desk, 'b');
    await settle();
    first.lease?.release();
    expect(desk.leased).to.equal(1);
    expect(second.lease?.lost.aborted).to.equal(false);
  });

  it('leaves no listener behind on the caller', async () => {
    const desk = makeDesk(new FakeClock());
    const request = ask(desk, 'a');
    desk.open('h', 1, 0);
    await settle();
    request.controller.abort(gone);
    await settle();
    expect(request.settled).to.equal(1);
    expect(desk.leased, 'the lease is the holder’s to release').to.equal(1);
  });

  it('may be used from inside its own notices', async () => {
    const desk = makeDesk(new FakeClock());
    const again: Request[] = [];
    const first = ask(desk, 'a');
    desk.open('h', 1, 0);
    await settle();
    first.lease?.lost.addEventListener('abort', () => again.push(ask(desk, 'a')));
    desk.lose(gone);
    desk.open('h2', 1, 0);
    await settle();
    expect(again[0]?.lease?.hid).to.equal('h2');
  });

  it('settles everybody once and keeps its slots', async () => {
    const action = fc.constantFrom(
      'ask',
      'ask',
      'ask',
      'abort',
      'release',
      'release',
      'open',
      'shut',
      'lose',
      'refuse',
    );
    const step = fc.record({ action, pick: fc.nat(20), slots: fc.integer({ min: 1, max: 3 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (history) => {
        const desk = makeDesk(new FakeClock());
        const requests: Request[] = [];
        let slots = 0;
        for (const { action: what, pick, slots: next } of history) {
          const picked = requests[pick % Math.max(1, requests.length)];
          if (what === 'ask') requests.push(ask(desk, `r${requests.length}`));
          if (what === 'abort') picked?.controller.abort(gone);
          if (what === 'release' && picked?.lease !== undefined) {
            picked.lease.release();
            picked.ended = true;
          }
          if (what === 'open' && desk.leased === 0) {
            slots = next;
            desk.open('h', slots, 0);
          }
          if (what === 'shut') desk.shut();
          if (what === 'lose') desk.lose(gone);
          if (what === 'refuse') desk.reject(refused);
          await new Promise<void>((resolve) => queueMicrotask(resolve));
          await Promise.resolve();
          expect(desk.leased).to.be.at.most(slots);
          expect(desk.leased, 'every lease out is known to its holder').to.equal(
            requests.filter(({ lease, ended }) => lease !== undefined && !ended).length,
          );
          expect(desk.waiting).to.equal(requests.filter(({ settled }) => settled === 0).length);
        }
        desk.lose(gone);
        desk.reject(refused);
        await settle(1);
        expect(requests.every(({ settled, ended }) => settled === 1 && ended)).to.equal(true);
        expect([desk.leased, desk.waiting]).to.deep.equal([0, 0]);
      }),
    );
  });
});
