/**
 * What every bus must do, as tests over a world of connections: the embedded broker, a real nats-server and the
 * simulated network run the same ones.
 */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { Bus, BusMessage } from '../../src/bus/bus.js';

export interface BusWorld {
  /** A connection that the world closes at its end. */
  connect(name: string): Promise<Bus>;
  /** Resolves when all that was published and subscribed so far has taken effect everywhere. */
  settle(): Promise<void>;
  /** Lets time pass until `promise` settles. */
  until<T>(promise: Promise<T>): Promise<T>;
  /** Closes what is open and checks that nothing is left. */
  close(): Promise<void>;
}

/** The error a promise rejects with; fails when it resolves. */
export async function rejection(promise: Promise<unknown>): Promise<LlamaestroError> {
  try {
    await promise;
  } catch (error) {
    return error as LlamaestroError;
  }
  throw new Error('it did not reject');
}

export function busConformance(open: () => Promise<BusWorld>): void {
  let world: BusWorld;
  let left: Bus;
  let right: Bus;

  beforeEach(async () => {
    world = await open();
    left = await world.connect('left');
    right = await world.connect('right');
  });
  afterEach(() => world.close());

  /** Bodies that `bus` receives on `pattern`, from the moment this resolves. */
  async function listen(bus: Bus, pattern: string, queue?: string): Promise<unknown[]> {
    const bodies: unknown[] = [];
    bus.subscribe(pattern, (message) => bodies.push(message.body), queue);
    await world.settle();
    return bodies;
  }

  async function answering(bus: Bus, subject: string, answer: (message: BusMessage) => void): Promise<void> {
    bus.subscribe(subject, answer);
    await world.settle();
  }

  it('delivers to every subscriber, the sender included, and to nobody else', async () => {
    const own = await listen(left, 'news');
    const theirs = await listen(right, 'news');
    const others = await listen(right, 'new');
    left.publish('news', { a: 1 });
    await world.settle();
    expect([own, theirs, others]).to.deep.equal([[{ a: 1 }], [{ a: 1 }], []]);
  });

  it('hands each subscriber a body of its own', async () => {
    const first = await listen(left, 'news');
    const second = await listen(left, 'news');
    const body = { list: [1] };
    right.publish('news', body);
    body.list.push(2);
    await world.settle();
    expect(first[0]).to.deep.equal({ list: [1] });
    expect(first[0]).to.not.equal(second[0]);
  });

  it('matches one token with * and the rest with >', async () => {
    const star = await listen(right, 'a.*.c');
    const rest = await listen(right, 'a.>');
    const all = await listen(right, '>');
    for (const subject of ['a.b.c', 'a.b', 'a', 'a.b.c.d', 'b.b.c']) left.publish(subject, subject);
    await world.settle();
    expect(star).to.deep.equal(['a.b.c']);
    expect(rest).to.deep.equal(['a.b.c', 'a.b', 'a.b.c.d']);
    expect(all.filter((body) => typeof body === 'string' && /^[ab]/.test(body))).to.have.length(5);
  });

  it('gives each message to one member of a queue group, beside plain subscribers', async () => {
    const members = [await listen(left, 'work', 'q'), await listen(right, 'work', 'q'), await listen(right, '*', 'q')];
    const watcher = await listen(right, 'work');
    for (let task = 0; task < 60; task++) left.publish('work', task);
    await world.settle();
    expect(watcher).to.have.length(60);
    expect(members.flat().sort((a, b) => Number(a) - Number(b))).to.deep.equal(watcher);
    expect(members.filter((taken) => taken.length > 0).length).to.be.greaterThan(1);
  });

  it('answers a request', async () => {
    await answering(right, 'double', ({ body, respond }) => respond({ twice: 2 * (body as number) }));
    expect(await world.until(left.request('double', 21, { timeoutMs: 5000 }))).to.deep.equal({ twice: 42 });
  });

  it('takes the first answer and ignores the others', async () => {
    await answering(right, 'ask', ({ respond }) => [1, 2, 3].forEach((body) => respond(body)));
    expect(await world.until(left.request('ask', null, { timeoutMs: 5000 }))).to.equal(1);
    await world.settle();
  });

  it('keeps apart many requests that are answered out of order', async () => {
    const waiting: BusMessage[] = [];
    await answering(right, 'ask', (message) => waiting.push(message));
    const answers = Array.from({ length: 50 }, (_, n) => left.request('ask', n, { timeoutMs: 5000 }));
    await world.settle();
    for (const { body, respond } of waiting.reverse()) respond(`${String(body)}!`);
    expect(await world.until(Promise.all(answers))).to.deep.equal(answers.map((_, n) => `${String(n)}!`));
  });

  it('says at once that nobody listens', async () => {
    const error = await rejection(world.until(left.request('nobody.home', {}, { timeoutMs: 60_000 })));
    expect(error).to.include({ name: 'LlamaestroError', code: 'no_host' });
    expect(error.message).to.include('nobody.home');
  });

  it('says nobody listens after the last one has gone', async () => {
    const subscription = right.subscribe('here', ({ respond }) => respond('yes'));
    await world.settle();
    expect(await world.until(left.request('here', {}, { timeoutMs: 5000 }))).to.equal('yes');
    subscription.unsubscribe();
    await world.settle();
    expect((await rejection(world.until(left.request('here', {}, { timeoutMs: 5000 })))).code).to.equal('no_host');
  });

  it('gives up on a request that is not answered in time', async () => {
    await answering(right, 'silence', () => undefined);
    const error = await rejection(world.until(left.request('silence', {}, { timeoutMs: 40 })));
    expect(error.code).to.equal('ack_timeout');
    expect(error.details).to.deep.equal({ subject: 'silence', timeoutMs: 40 });
  });

  it('ends a request with the reason of its signal, before and after it was sent', async () => {
    await answering(right, 'silence', () => undefined);
    const stop = new AbortController();
    const reason = new LlamaestroError('cancelled', 'the client left');
    const failed = rejection(left.request('silence', {}, { timeoutMs: 60_000 }, stop.signal));
    await world.settle();
    stop.abort(reason);
    expect(await failed).to.equal(reason);
    expect(await rejection(left.request('silence', {}, { timeoutMs: 60_000 }, stop.signal))).to.equal(reason);
  });

  it('takes a body of exactly the limit and refuses one byte more, before anything is sent', async () => {
    const limitBytes = left.maxPayloadBytes;
    expect(limitBytes).to.equal(1024 * 1024);
    const seen = await listen(right, 'large');
    left.publish('large', 'x'.repeat(limitBytes - 2)); // two quotes
    await world.settle();
    expect((seen[0] as string).length).to.equal(limitBytes - 2);
    const tooLarge = 'x'.repeat(limitBytes - 1);
    expect(() => left.publish('large', tooLarge))
      .to.throw(LlamaestroError)
      .that.deep.includes({ code: 'payload_too_large', details: { bytes: limitBytes + 1, limitBytes } });
    const failed = await rejection(left.request('large', tooLarge, { timeoutMs: 1000 }));
    expect(failed.code).to.equal('payload_too_large');
    await world.settle();
    expect(seen).to.have.length(1);
  });

  it('counts bytes, not characters', () => {
    expect(() => left.publish('large', '€'.repeat(400_000))).to.throw(LlamaestroError, '1200002 bytes');
  });

  it('keeps order over 5000 messages on two subjects', async () => {
    const seen = await listen(right, 'count.*');
    for (let n = 0; n < 5000; n++) left.publish(n % 2 === 0 ? 'count.even' : 'count.odd', n);
    await world.settle();
    expect(seen).to.deep.equal(Array.from({ length: 5000 }, (_, n) => n));
  });

  it('carries any JSON value and any text', async () => {
    const seen = await listen(right, 'values');
    const values = [
      'ä€😀\u0000\ud800"\\\r\n',
      '',
      0,
      -1.5e-9,
      null,
      true,
      [],
      {},
      [[{ a: [null] }]],
      'x'.repeat(70_000),
    ];
    for (const value of values) left.publish('values', value);
    await world.settle();
    expect(seen).to.deep.equal(values);
  });

  it('carries subjects beyond ASCII', async () => {
    const seen = await listen(right, 'grüße.à.*');
    left.publish('grüße.à.€', 'ok');
    await world.settle();
    expect(seen).to.deep.equal(['ok']);
  });

  it('stops delivery at once on unsubscribe, even in the middle of a burst', async () => {
    const seen: unknown[] = [];
    const subscription = right.subscribe('burst', ({ body }) => {
      seen.push(body);
      if (seen.length === 3) subscription.unsubscribe();
    });
    await world.settle();
    for (let n = 0; n < 10; n++) left.publish('burst', n);
    await world.settle();
    subscription.unsubscribe();
    expect(seen).to.deep.equal([0, 1, 2]);
  });

  it('goes on after a handler that throws', async () => {
    const seen: unknown[] = [];
    right.subscribe('fragile', ({ body }) => {
      seen.push(body);
      throw new Error('a fault of the handler');
    });
    await world.settle();
    left.publish('fragile', 1);
    left.publish('fragile', 2);
    await world.settle();
    expect(seen).to.deep.equal([1, 2]);
  });

  it('does nothing when a message is answered that asked for no answer', async () => {
    await answering(right, 'statement', ({ respond }) => respond('well'));
    const seen = await listen(left, '>');
    left.publish('statement', 'so');
    await world.settle();
    expect(seen).to.deep.equal(['so']);
  });

  it('delivers what has arrived when it closes, then nothing, and tells waiting requests', async () => {
    const seen = await listen(right, 'last');
    await answering(right, 'silence', () => undefined);
    const failed = rejection(right.request('silence', {}, { timeoutMs: 60_000 }));
    for (let n = 0; n < 100; n++) left.publish('last', n);
    await world.until(left.flush());
    await world.until(Promise.all([right.close(), right.close()]));
    expect(seen).to.have.length(100);
    expect((await failed).code).to.equal('draining');
    left.publish('last', 100);
    right.publish('last', 101);
    await world.until(left.flush());
    expect(seen).to.have.length(100);
    expect((await rejection(right.request('last', {}, { timeoutMs: 1000 }))).code).to.equal('draining');
    expect(() => right.subscribe('last', () => undefined)).to.throw(LlamaestroError, 'closed');
  });

  it('sends what was published before it closed', async () => {
    const seen = await listen(right, 'bye');
    left.publish('bye', 'so long');
    await world.until(left.close());
    await world.settle();
    expect(seen).to.deep.equal(['so long']);
  });

  it('refuses what is no subject', () => {
    for (const subject of ['', 'a..b', 'a b', 'a\r\nPUB x 0', '.a', 'a.']) {
      expect(() => left.publish(subject, {}), subject).to.throw('is not a subject');
      expect(() => left.subscribe(subject, () => undefined), subject).to.throw('is not a subject pattern');
    }
    expect(() => left.publish('a.*', {})).to.throw('is not a subject');
    expect(() => left.subscribe('a.>.b', () => undefined)).to.throw('is not a subject pattern');
  });
}
