/** The queue's promises, first by example, then over random histories against what a plain model says. */
import { expect } from 'chai';
import fc from 'fast-check';
import * as queues from '../../src/pool/lease-queue.js';
import { PRIORITIES, type Priority } from '../../src/schema/run.js';

const MAX_WAITING = 4;

type Step =
  | { readonly do: 'take' | 'shut' | 'lose' | 'dismiss' }
  | { readonly do: 'ask'; readonly priority: Priority; readonly tenant: string }
  | { readonly do: 'leave' | 'giveBack'; readonly pick: number }
  | { readonly do: 'open'; readonly slots: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        ...{ do: fc.constant('ask' as const), priority: fc.constantFrom(...PRIORITIES) },
        tenant: fc.constantFrom('', 'ann', '__proto__'),
      }),
    },
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
      const asked = queues.ask(queue, { id, priority: step.priority, tenant: step.tenant });
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
      const id = picked(step.do === 'leave' ? idsOf(queue) : queue.leases, step.pick);
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
      book.ended.push(...idsOf(queue));
      book.queue = queues.dismiss(queue);
  }
}

function idsOf({ waiting }: queues.LeaseQueue): readonly string[] {
  return waiting.map(({ id }) => id);
}

/** Each two of those who wait, in the order of the queue. */
function pairs(queue: queues.LeaseQueue): (readonly [queues.Waiting, queues.Waiting])[] {
  const ordered = queues.order(queue).flatMap((id) => queue.waiting.filter((waiter) => waiter.id === id));
  return ordered.flatMap((one, index) => ordered.slice(index + 1).map((later) => [one, later] as const));
}

/** A queue in which these came one after the other: '<id>', or '<id> <class>', or '<id> <class> <tenant>'. */
function queueOf(names: readonly string[], maxWaiting = 100): queues.LeaseQueue {
  return names.reduce((queue, name) => asked(queue, name) ?? queue, queues.emptyQueue(maxWaiting));
}

function asked(queue: queues.LeaseQueue, name: string): queues.LeaseQueue | undefined {
  const [id = '', priority = 'normal', tenant = ''] = name.split(' ');
  return queues.ask(queue, { id, priority: priority as Priority, tenant });
}

/** Who is granted one after the other by a host of one slot; `comes` asks again after each grant. */
function grants(queue: queues.LeaseQueue, most: number, comes: (id: string) => string[] = () => []): string[] {
  let current = queues.open(queue, 1);
  const granted: string[] = [];
  for (let id = queues.nextGrant(current); id !== undefined; id = queues.nextGrant(current)) {
    if (granted.push(id) === most) break;
    current = queues.giveBack(queues.take(current, id), id);
    for (const name of comes(id)) current = asked(current, name) ?? current;
  }
  return granted;
}

function several(count: number, letter: string, rest = ''): string[] {
  return Array.from({ length: count }, (_, index) => `${letter}${index + 1} ${rest}`.trim());
}

describe('lease-queue', () => {
  const withThree = queueOf(['a', 'b', 'c'], 3);

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
    expect(asked(withThree, 'd')).to.equal(undefined);
    expect(queues.hasRoom(withThree, 'interactive')).to.equal(false);
    expect(queues.order(asked(queues.leave(withThree, 'b'), 'd') ?? withThree)).to.deep.equal(['a', 'c', 'd']);
  });

  it('leaves half of its places to others than the background', () => {
    const queue = queueOf(several(9, 'b', 'background'), 5);
    expect(idsOf(queue)).to.deep.equal(['b1', 'b2', 'b3']);
    expect([queues.hasRoom(queue, 'background'), queues.hasRoom(queue, 'normal')]).to.deep.equal([false, true]);
  });

  it('grants nothing before it opens and after it shuts', () => {
    expect(queues.nextGrant(withThree)).to.equal(undefined);
    expect(queues.nextGrant(queues.shut(queues.open(withThree, 2)))).to.equal(undefined);
  });

  it('keeps the order of those who wait when the host is lost', () => {
    const running = queues.take(queues.open(withThree, 1), 'a');
    const lost = queues.lose(running);
    expect(lost.leases).to.deep.equal([]);
    expect(idsOf(lost)).to.deep.equal(['b', 'c']);
    expect(queues.nextGrant(queues.open(lost, 1))).to.equal('b');
  });

  it('lets nobody take what is not offered', () => {
    expect(() => queues.take(queues.open(withThree, 1), 'b')).to.throw('not offered');
    expect(() => queues.take(withThree, 'a')).to.throw('not offered');
  });

  it('gives a class four times the turns of the one below, and each its share from the start', () => {
    const queue = queueOf(
      [...several(20, 'b', 'background'), ...several(20, 'n', 'normal'), ...several(60, 'i', 'interactive')],
      200,
    );
    const served = grants(queue, 63).map(([letter]) => letter);
    const count = (letter: string): number => served.filter((other) => other === letter).length;
    expect([count('i'), count('n'), count('b')]).to.deep.equal([48, 12, 3]);
    expect(served.slice(0, 6).join('')).to.equal('iiiini');
  });

  it('lets nobody starve, however many come that are more urgent', () => {
    let more = 0;
    const queue = queueOf(['b1 background', 'n1 normal', 'i0 interactive']);
    const order = grants(queue, 40, () => [`i${++more} interactive`]);
    expect(order.indexOf('n1')).to.be.below(5);
    expect(order.indexOf('b1')).to.be.below(18);
  });

  it('owes nothing for a time in which a class did not wait', () => {
    const busy = several(60, 'i', 'interactive');
    let current = queues.open(queueOf(busy, 200), 1);
    for (const id of several(40, 'i')) current = queues.giveBack(queues.take(current, id), id);
    const late = [...several(5, 'n', 'normal')].reduce((queue, name) => asked(queue, name) ?? queue, current);
    expect(queues.order(late).slice(0, 6)).to.deep.equal(['i41', 'i42', 'i43', 'i44', 'n1', 'i45']);
  });

  it('gives each client of a class the same turns, whoever asked for more', () => {
    const queue = queueOf([...several(3, 'a', 'normal ann'), ...several(3, 'b', 'normal bob'), 'x normal']);
    expect(grants(queue, 9)).to.deep.equal(['a1', 'b1', 'x', 'a2', 'b2', 'a3', 'b3']);
  });

  it('keeps a client that comes again and again from passing one that waits', () => {
    let again = 0;
    const queue = queueOf([...several(20, 'b', 'normal bob'), 'a0 normal ann']);
    const order = grants(queue, 12, (id) => (id.startsWith('a') ? [`a${++again} normal ann`] : []));
    expect(order.filter((id) => id.startsWith('b')).length).to.equal(6);
  });

  it('lets no crowd of clients that come once each keep one waiting for ever', () => {
    let more = 0;
    const queue = queueOf([...several(3, 'b', 'normal bob'), 'x0 normal x0']);
    const order = grants(queue, 60, () => [`x${++more} normal x${more}`]);
    expect(order).to.include.members(['b1', 'b2', 'b3']);
  });

  it('remembers no more clients than it must', () => {
    let queue = queues.open(queues.emptyQueue(10), 1);
    for (let number = 0; number < 500; number++) {
      queue = asked(queue, `r${number} normal t${number}`) ?? queue;
      if (number % 3 === 0) queue = queues.leave(queue, `r${number}`);
      const id = queues.nextGrant(queue);
      if (id !== undefined) queue = queues.giveBack(queues.take(queue, id), id);
    }
    expect(queue.tenants.normal.marks.size).to.be.at.most(10);
  });

  it('tells the place that one more would have', () => {
    const queue = queueOf([...several(6, 'n', 'normal ann'), 'b background']);
    const place = (priority: Priority, tenant = ''): number => queues.placeOf(queue, { priority, tenant });
    expect([place('interactive'), place('normal', 'ann'), place('background')]).to.deep.equal([1, 8, 8]);
    expect(place('normal', 'bob')).to.equal(2);
    expect(place('normal', 'ann'), 'asking changes nothing').to.equal(8);
  });

  it('foretells the order in which it grants', () => {
    fc.assert(
      fc.property(steps, (history) => {
        const book: Book = { queue: queues.emptyQueue(60), asked: 0, ended: [] };
        for (const step of history) perform(book, step);
        const ready = queues.open(queues.lose(book.queue), 1);
        expect(grants(ready, 100)).to.deep.equal(queues.order(ready));
        const place = queues.placeOf(ready, { priority: 'normal', tenant: 'ann' });
        const withOne = asked(ready, 'one normal ann');
        if (withOne !== undefined) expect(queues.order(withOne)[place - 1]).to.equal('one');
      }),
    );
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
            expect(leases.at(-1), 'the first in the order gets the slot').to.equal(queues.order(before)[0]);
          }
          if (!granting) expect(queues.nextGrant(book.queue)).to.equal(undefined);
          // Each id is in exactly one place: waiting, leased, or ended once.
          const everywhere = [...leases, ...idsOf(book.queue), ...book.ended];
          expect(new Set(everywhere).size).to.equal(everywhere.length);
          expect(everywhere.length).to.equal(book.asked);
          expect([...queues.order(book.queue)].sort()).to.deep.equal([...idsOf(book.queue)].sort());
          // Within a class and a client the order of asking survives everything.
          for (const [{ id, priority, tenant }, later] of pairs(book.queue)) {
            if (later.priority !== priority || later.tenant !== tenant) continue;
            expect(Number(later.id.slice(1))).to.be.above(Number(id.slice(1)));
          }
        }
      }),
    );
  });
});
