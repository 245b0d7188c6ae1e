/** The queue's promises, first by example, then over random histories against what a plain model says. */
import { expect } from 'chai';
import fc from 'fast-check';
import * as queues from '../../src/pool/lease-queue.js';

const MAX_WAITING = 4;

type Step =
  | { readonly do: 'ask' | 'take' | 'shut' | 'lose' | 'dismiss' }
  | { readonly do: 'leave' | 'giveBack'; readonly pick: number }
  | { readonly do: 'open'; readonly slots: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constant<Step>({ do: 'ask' }) },
    { weight: 4, arbitrary: fc.constant<Step>({ do: 'take' }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('giveBack' as const), pick: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), pick: fc.nat(9) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('open' as const), slots: fc.integer({ min: 1, max: 3 }) }) },
    { weight: 1, arbitrary: fc.constantFrom<Step>({ do: 'shut' }, { do: 'lose' }, { do: 'dismiss' }) },
  ),
  { maxLength: 80 },
);

/** Where each id is; an id never comes back once it has ended. */
interface Book {
  queue: queues.LeaseQueue;
  asked: number;
  readonly ended: string[];
}

function perform(book: Book, step: Step): void {
  const { queue } = book;
  const picked = (ids: readonly string[], pick: number): string | undefined => ids[pick % Math.max(1, ids.length)];
  switch (step.do) {
    case 'ask': {
      const id = `r${++book.asked}`;
      const asked = queues.ask(queue, id);
      if (asked === undefined) book.ended.push(id);
      else book.queue = asked;
      return;
    }
    case 'take': {
      const id = queues.nextGrant(queue);
      if (id !== undefined) book.queue = queues.take(queue, id);
      return;
    }
    case 'giveBack':
    case 'leave': {
      const id = picked(step.do === 'leave' ? queue.waiting : queue.leases, step.pick);
      if (id === undefined) return;
      book.ended.push(id);
      book.queue = step.do === 'leave' ? queues.leave(queue, id) : queues.giveBack(queue, id);
      return;
    }
    case 'open':
      if (queue.leases.length === 0) book.queue = queues.open(queue, step.slots);
      return;
    case 'shut':
      book.queue = queues.shut(queue);
      return;
    case 'lose':
      book.ended.push(...queue.leases);
      book.queue = queues.lose(queue);
      return;
    case 'dismiss':
      book.ended.push(...queue.waiting);
      book.queue = queues.dismiss(queue);
  }
}

describe('lease-queue', () => {
  const withThree = ['a', 'b', 'c'].reduce<queues.LeaseQueue>(
    (queue, id) => queues.ask(queue, id) ?? queue,
    queues.emptyQueue(3),
  );

  it('grants in the order of asking, one per slot', () => {
    let queue = queues.open(withThree, 2);
    const granted: string[] = [];
    for (let id = queues.nextGrant(queue); id !== undefined; id = queues.nextGrant(queue)) {
      granted.push(id);
      queue = queues.take(queue, id);
    }
    expect(granted).to.deep.equal(['a', 'b']);
    expect(queues.nextGrant(queues.giveBack(queue, 'a'))).to.equal('c');
  });

  it('refuses beyond its limit and has room again when one leaves', () => {
    expect(queues.ask(withThree, 'd')).to.equal(undefined);
    expect(queues.hasRoom(withThree)).to.equal(false);
    expect(queues.ask(queues.leave(withThree, 'b'), 'd')?.waiting).to.deep.equal(['a', 'c', 'd']);
  });

  it('grants nothing before it opens and after it shuts', () => {
    expect(queues.nextGrant(withThree)).to.equal(undefined);
    expect(queues.nextGrant(queues.shut(queues.open(withThree, 2)))).to.equal(undefined);
  });

  it('keeps the order of those who wait when the host is lost', () => {
    const running = queues.take(queues.open(withThree, 1), 'a');
    const lost = queues.lose(running);
    expect(lost.leases).to.deep.equal([]);
    expect(lost.waiting).to.deep.equal(['b', 'c']);
    expect(queues.nextGrant(queues.open(lost, 1))).to.equal('b');
  });

  it('lets nobody take what is not offered', () => {
    expect(() => queues.take(queues.open(withThree, 1), 'b')).to.throw('not offered');
    expect(() => queues.take(withThree, 'a')).to.throw('not offered');
  });

  it('holds its invariants over any history', () => {
    fc.assert(
      fc.property(steps, (history) => {
        const book: Book = { queue: queues.emptyQueue(MAX_WAITING), asked: 0, ended: [] };
        for (const step of history) {
          const before = book.queue;
          perform(book, step);
          const { leases, waiting, slots, granting } = book.queue;
          const freeSlots = slots - leases.length;
          expect(freeSlots, 'leases never exceed slots').to.be.at.least(0);
          expect(waiting.length).to.be.at.most(MAX_WAITING);
          if (
            step.do === 'take' &&
            before.granting &&
            before.waiting.length > 0 &&
            before.leases.length < before.slots
          ) {
            expect(leases.at(-1), 'the first in the queue gets the slot').to.equal(before.waiting[0]);
          }
          if (!granting) expect(queues.nextGrant(book.queue)).to.equal(undefined);
          // Each id is in exactly one place: waiting, leased, or ended once.
          const everywhere = [...leases, ...waiting, ...book.ended];
          expect(new Set(everywhere).size).to.equal(everywhere.length);
          expect(everywhere.length).to.equal(book.asked);
          // Order of asking survives everything.
          const order = waiting.map((id) => Number(id.slice(1)));
          expect(order).to.deep.equal([...order].sort((a, b) => a - b));
        }
      }),
    );
  });
});
