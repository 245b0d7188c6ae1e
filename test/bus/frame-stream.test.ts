import { expect } from 'chai';
import { subjects } from '../../src/bus/subjects.js';
import { KEEP_END_MS } from '../../src/bus/frame-sender.js';
import type { Bundle } from '../../src/schema/bus-messages.js';
import { seededRandom } from '../support/fake-clock.js';
import { CANCELLED, delta, FINAL, FrameWorld, textOf } from './frame-world.js';

const HEALTHY = { malformed: 0, duplicates: 0, late: 0, foreign: 0, gaps: 0, asks: 0, broken: 0 };

describe('frame streams', () => {
  it('carry all attempts of a flush in one message, and ask for nothing on a healthy bus', async () => {
    const world = new FrameWorld(1);
    const readings = ['run_a', 'run_b', 'run_c'].map((rid) => world.open(rid));
    await world.clock.run(10);
    expect(world.sender.live()).to.deep.equal(['run_a', 'run_b', 'run_c'].map((rid) => ({ rid, att: 1 })));
    for (let step = 0; step < 400; step++) {
      for (const rid of ['run_a', 'run_b', 'run_c']) world.sender.send(rid, 1, delta(step));
      world.sender.flush();
      await world.clock.run(5);
    }
    for (const rid of ['run_a', 'run_b', 'run_c']) world.sender.send(rid, 1, FINAL);
    world.sender.flush();
    await world.clock.run(10);
    for (const reading of readings) {
      expect(reading.text()).to.equal(textOf(0, 400));
      expect(reading.state()).to.equal('final');
    }
    expect(world.sender.counts).to.include({ bundles: 401, frames: 1203, repeated: 0, overflows: 0 });
    expect(world.receiver.counts).to.deep.equal({ bundles: 401, delivered: 1203, ...HEALTHY });
    expect([world.receiver.size, world.sender.live()]).to.deep.equal([0, []]);
  });

  it('cost nothing after their end: no timer of the receiver, none of the sender after a minute', async () => {
    const world = new FrameWorld(1);
    world.open('run_a');
    world.deltas('run_a', 0, 300);
    world.finish('run_a');
    await world.clock.run(1000);
    expect(world.clock.pendingTimers).to.equal(1);
    await world.clock.run(KEEP_END_MS);
    expect(world.clock.pendingTimers).to.equal(0);
    expect(world.sender.resend('run_a', 1, 0)).to.equal(false);
  });

  it('split what is too large for one message', async () => {
    const world = new FrameWorld(1, {}, 40_000);
    const reading = world.open('run_a');
    const random = seededRandom(3);
    const texts = Array.from({ length: 40 }, () => '\u0001😀é'.repeat(Math.floor(random.next() * 9000)));
    texts.forEach((text, n) => world.sender.send('run_a', 1, delta(n, text)));
    world.sender.flush();
    world.finish('run_a');
    await world.clock.run(100);
    expect(reading.text()).to.equal(texts.join(''));
    expect(reading.state()).to.equal('final');
    expect(world.receiver.counts.asks).to.equal(0);
  });

  it('drop what is superseded, foreign, late or malformed, and count it', async () => {
    const world = new FrameWorld(1);
    const reading = world.open('run_a', { att: 2 });
    const frame = { rid: 'run_a', seq: 0, ...delta(0) };
    const say = (body: unknown): void => world.hostBus.publish(subjects.out('g1'), body);
    say({ v: 1, hid: 'h1', frames: [{ ...frame, att: 1 }] });
    say({ v: 1, hid: 'h9', frames: [{ ...frame, att: 2 }] });
    say({ v: 1, hid: 'h1', frames: [{ ...frame, att: 2, text: 5 }] });
    say({ v: 2, hid: 'h1', frames: [] });
    say(null);
    await world.clock.run(10);
    expect(reading.frames).to.deep.equal([]);
    expect(world.receiver.counts).to.include({ late: 1, foreign: 1, malformed: 3 });
    reading.handle.close();
    reading.handle.close();
    say({ v: 1, hid: 'h1', frames: [{ ...frame, att: 2 }] });
    await world.clock.run(10);
    expect(world.receiver.counts.late).to.equal(2);
  });

  it('let one end through and nothing after it', async () => {
    const world = new FrameWorld(1);
    const reading = world.open('run_a');
    world.finish('run_a');
    world.finish('run_a', CANCELLED);
    world.deltas('run_a', 0, 2);
    await world.clock.run(10);
    expect(reading.frames.map(({ type }) => type)).to.deep.equal(['final']);
    expect(world.sender.counts.droppedAfterEnd).to.equal(3);
    expect(world.sender.open({ rid: 'run_a', att: 1, gid: 'g1', creditFrames: 9 }), 'a request twice').to.equal(false);
  });

  it('stop at the credit and go on as the reader goes on', async () => {
    const world = new FrameWorld(1);
    const reading = world.open('run_a', { creditFrames: 10, patient: true });
    world.deltas('run_a', 0, 25);
    world.finish('run_a');
    await world.clock.run(100);
    expect(reading.frames).to.have.length(10);
    reading.handle.consumed(4);
    await world.clock.run(100);
    expect(reading.frames, 'less than half is not worth a message').to.have.length(10);
    reading.handle.consumed(6);
    await world.clock.run(100);
    expect(reading.frames).to.have.length(20);
    reading.handle.consumed(10);
    await world.clock.run(100);
    expect(reading.text()).to.equal(textOf(0, 25));
    expect(reading.state()).to.equal('final');
    expect(world.overflows).to.deep.equal([]);
  });

  it('report a reader that never goes on: by time, and by what piles up', async () => {
    const world = new FrameWorld(1);
    const idle = world.open('run_a', { creditFrames: 10, patient: true });
    world.open('run_b', { creditFrames: 10, patient: true });
    world.open('run_c', { creditFrames: 10, patient: true });
    world.deltas('run_a', 0, 12);
    for (let n = 0; n < 600; n++) {
      world.sender.send('run_b', 1, { type: 'progress', doneTokens: n, totalTokens: 600 });
    }
    world.deltas('run_c', 0, 11);
    world.finish('run_c');
    await world.clock.run(100);
    expect(world.overflows).to.deep.equal(['run_b/1']);
    await world.clock.run(30_000);
    expect(world.overflows).to.deep.equal(['run_b/1', 'run_a/1']);
    expect(world.sender.live(), 'run_c ended; nobody waits for it').to.deep.equal([
      { rid: 'run_a', att: 1 },
      { rid: 'run_b', att: 1 },
    ]);
    world.finish('run_a', CANCELLED);
    await world.clock.run(100);
    expect(idle.state()).to.equal('cancelled');
  });

  it('ask for what was lost, and break with stream_gap when it is gone for good', async () => {
    const world = new FrameWorld(1);
    const [healed, lost] = [world.open('run_a'), world.open('run_b')];
    world.network.setLinkFaults('host', 'gateway', { drop: 1 });
    world.deltas('run_a', 0, 5);
    world.sender.flush();
    await world.clock.run(100);
    world.network.setLinkFaults('host', 'gateway', undefined);
    world.deltas('run_a', 5, 6);
    const bundle: Bundle = { v: 1, hid: 'h1', frames: [{ rid: 'run_b', att: 1, seq: 3, ...delta(3) }] };
    world.hostBus.publish(subjects.out('g1'), bundle); // a number the sender never gave
    await world.clock.run(100);
    expect(healed.text()).to.equal(textOf(0, 6));
    expect(world.receiver.counts).to.include({ gaps: 2, broken: 0 });
    await world.clock.run(10_000);
    expect(lost.state()).to.equal('stream_gap');
    world.finish('run_b');
    await world.clock.run(100);
    expect(
      lost.frames.map((frame) => [frame.type, frame.type === 'error' && frame.error.code]),
      'no success',
    ).to.deep.equal([['error', 'stream_gap']]);
  });

  it('find a lost end by themselves, and at once when told to look', async () => {
    const world = new FrameWorld(1);
    const [waits, looks] = [world.open('run_a'), world.open('run_b')];
    world.network.setLinkFaults('host', 'gateway', { drop: 1 });
    world.finish('run_a');
    world.finish('run_b');
    await world.clock.run(10);
    world.network.setLinkFaults('host', 'gateway', undefined);
    looks.handle.askAgain();
    await world.clock.run(10);
    expect([waits.state(), looks.state()]).to.deep.equal(['open', 'final']);
    await world.clock.run(5000);
    expect(waits.state()).to.equal('final');
  });

  it('wait as long as the host answers, and break with host_lost when it does not', async () => {
    const world = new FrameWorld(1);
    const reading = world.open('run_a');
    world.deltas('run_a', 0, 3);
    await world.clock.run(600_000);
    expect(reading.state()).to.equal('open');
    world.network.kill('host');
    await world.clock.run(70_000);
    expect(reading.state()).to.equal('host_lost');
    expect(reading.text()).to.equal(textOf(0, 3));
    expect(world.clock.pendingTimers, 'nobody keeps asking').to.equal(0);
  });

  for (const side of ['host', 'gateway'] as const) {
    it(`heal a connection of the ${side} that was away for long`, async () => {
      const world = new FrameWorld(1);
      const readings = ['run_a', 'run_b'].map((rid) => world.open(rid));
      world.deltas('run_a', 0, 40);
      world.deltas('run_b', 0, 40);
      await world.clock.run(10);
      world.network.partition(side);
      world.deltas('run_a', 40, 60);
      await world.clock.run(15_000);
      world.deltas('run_b', 40, 60);
      world.finish('run_a');
      world.finish('run_b');
      await world.clock.run(1000);
      expect(readings.map((reading) => reading.state())).to.deep.equal(['open', 'open']);
      world.network.heal(side);
      await world.clock.run(100);
      expect(readings.map((reading) => reading.state())).to.deep.equal(['final', 'final']);
      expect(readings.map((reading) => reading.text())).to.deep.equal([textOf(0, 60), textOf(0, 60)]);
    });
  }

  it('deliver the exact text or a typed error, whatever the bus does (60 seeds)', async () => {
    const ends: Record<string, number> = {};
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed);
      const chance = (most: number): number => (random.next() < 0.5 ? 0 : random.next() * most);
      const faults = { drop: chance(0.4), duplicate: chance(0.4), reorder: chance(0.5), maxDelayMs: 30 };
      const world = new FrameWorld(seed, faults);
      const credit = 1 + Math.floor(random.next() * 60);
      const runs = ['run_a', 'run_b', 'run_c'].map((rid) => ({
        rid,
        reading: world.open(rid, { creditFrames: credit }),
      }));
      const frames = 200;
      for (let n = 0; n < frames; n++) {
        for (const { rid } of runs) world.sender.send(rid, 1, delta(n));
        if (random.next() < 0.7) world.sender.flush();
        if (random.next() < 0.02) world.network.partition(random.next() < 0.5 ? 'host' : 'gateway');
        await world.clock.run(random.next() * 50);
        if (random.next() < 0.05) for (const side of ['host', 'gateway']) world.network.heal(side);
      }
      for (const side of ['host', 'gateway']) world.network.heal(side);
      for (const { rid } of runs) world.finish(rid);
      await world.clock.run(300_000);
      for (const { reading } of runs) {
        const state = reading.state();
        ends[state] = (ends[state] ?? 0) + 1;
        expect(state, `seed ${String(seed)}`).to.be.oneOf(['final', 'stream_gap', 'host_lost', 'error']);
        const text = reading.text();
        if (state === 'final') expect(text, `seed ${String(seed)}`).to.equal(textOf(0, frames));
        else expect(textOf(0, frames).startsWith(text), `seed ${String(seed)}`).to.equal(true);
        expect(reading.frames.every((frame, n) => frame.seq === n || frame.type === 'error')).to.equal(true);
      }
    }
    expect(ends['final'] ?? 0, JSON.stringify(ends)).to.be.greaterThan(150);
  });
});
