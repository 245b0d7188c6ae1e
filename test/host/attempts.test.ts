import { expect } from 'chai';
import type { Gen } from '../../src/schema/bus-messages.js';
import { HOST_LIMITS } from '../../src/schema/config.js';
import type { LooseReply } from '../support/loose-reply.js';
import { ANSWER, World, longPrompt, wordOf } from './world.js';

/** From now on tokenising ends when `go` is called, and not before; `asked` counts. Call it before the load. */
function slowTokenizer({ driver }: World): { go: () => void; asked: number } {
  let go: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (go = resolve));
  const told = { go: () => go(), asked: 0 };
  const load = driver.load.bind(driver);
  driver.load = async (...options) => {
    const engine = await load(...options);
    const tokenize = engine.tokenize.bind(engine);
    engine.tokenize = async (prompt) => {
      told.asked++;
      await gate;
      return tokenize(prompt);
    };
    return engine;
  };
  return told;
}

const LONG = longPrompt(HOST_LIMITS.inlinePromptUnits + 1);

/** A world with a model, and a `gen` with a long prompt under way in it. */
async function preparing(fields: Partial<Gen> = {}): Promise<{
  world: World;
  tokenizer: { go: () => void; asked: number };
  answer: Promise<LooseReply>;
}> {
  const world = new World();
  const tokenizer = slowTokenizer(world);
  await world.load({ contextTokens: 8192, slots: 2 });
  const answer = world.gen({ prompt: LONG, ...fields });
  await world.clock.run(10);
  return { world, tokenizer, answer };
}

describe('Attempts', () => {
  it('streams an attempt as started, progress, deltas and final, numbered without a gap', async () => {
    const world = new World();
    await world.load();
    expect(await world.gen()).to.deep.equal({ ok: true, body: { waiting: 0 } });
    const final = await world.terminal();
    const types = world.frames().map(({ type }) => type);
    expect(types.join(' ')).to.match(/^started progress (delta )+final$/);
    expect(world.frames().map(({ seq }) => seq)).to.deep.equal([...types.keys()]);
    expect(world.text()).to.equal(ANSWER);
    expect(final).to.deep.include({ reason: 'stop' });
    expect(final).to.have.property('usage').that.includes({ promptTokens: 5, completionTokens: ANSWER.length });
    expect(final).to.have.property('timings').that.has.keys('queueMs', 'prefillMs', 'decodeMs');
  });

  it('sends one bundle per step for all sequences of a gateway', async () => {
    const world = new World();
    await world.load({ slots: 4 });
    for (const rid of ['run_a', 'run_b', 'run_c', 'run_d']) await world.gen({ rid, ignoreEos: true, maxTokens: 100 });
    await world.clock.run(50);
    world.bundles.length = 0;
    const { steps } = (await world.ask('ctl', { op: 'renew', gid: 'g1', attempts: [] }), world.lastEvent);
    await world.clock.run(1000);
    const stepsMade = world.lastEvent.steps - steps;
    expect(world.bundles.length).to.be.at.most(stepsMade + 1);
    const full = world.bundles.filter(({ frames }) => new Set(frames.map(({ rid }) => rid)).size === 4);
    expect(full.length).to.be.greaterThan(50);
  });

  it('sends each gateway its own frames only', async () => {
    const world = new World();
    await world.load({ slots: 2 });
    await world.gen();
    await world.gen({ rid: 'run_b', gid: 'g2' });
    await world.terminal();
    await world.clock.run(1000);
    expect(world.frames('run_b')).to.deep.equal([]);
  });

  it('says how many wait before a new one', async () => {
    const world = new World();
    await world.load({ slots: 1 });
    await world.gen();
    await world.clock.run(10);
    expect((await world.gen({ rid: 'run_b' })).body).to.deep.equal({ waiting: 0 });
    expect((await world.gen({ rid: 'run_c' })).body).to.deep.equal({ waiting: 1 });
    expect(await world.terminal('run_c')).to.include({ type: 'final' });
  });

  it('refuses what the engine refuses, without a frame', async () => {
    const world = new World();
    await world.load({ contextTokens: 64 });
    const { error } = await world.gen({ prompt: longPrompt(64) });
    expect(error).to.deep.include({ code: 'context_length_exceeded' });
    expect(error.details).to.deep.equal({ promptTokens: 64, contextTokensPerSlot: 64 });
    expect((await world.gen({ rid: 'run_b', topP: 0 })).error).to.include({ code: 'invalid_request', param: 'topP' });
    await world.clock.run(1000);
    expect(world.bundles).to.deep.equal([]);
    expect(world.lastEvent.attempts).to.deep.equal([]);
  });

  it('passes on the error of a sequence', async () => {
    const world = new World({ faults: [{ kind: 'sequence_error', atToken: 3, code: 'out_of_memory' }] });
    await world.load();
    await world.gen();
    expect(wordOf(await world.terminal())).to.equal('out_of_memory');
    expect(world.text()).to.equal(ANSWER.slice(0, 2));
  });

  describe('a long prompt', () => {
    it('is tokenised beside the loop: others go on, and the answer is the same', async () => {
      const { world, tokenizer, answer } = await preparing();
      await world.gen({ rid: 'run_b' });
      expect(await world.terminal('run_b')).to.include({ type: 'final' });
      expect([tokenizer.asked, world.frames().length]).to.deep.equal([1, 0]);
      tokenizer.go();
      expect(await answer).to.include({ ok: true });
      expect(await world.terminal()).to.have.nested.property('usage.promptTokens', HOST_LIMITS.inlinePromptUnits + 1);
      expect(world.text()).to.equal(ANSWER);
    });

    it('is one above the limit, however many messages it is in; a shorter one starts at once', async () => {
      const world = new World();
      const tokenizer = slowTokenizer(world);
      await world.load({ contextTokens: 8192 });
      await world.gen({ prompt: longPrompt(HOST_LIMITS.inlinePromptUnits) });
      expect(tokenizer.asked).to.equal(0);
      const content = 'x'.repeat(HOST_LIMITS.inlinePromptUnits / 2 + 1);
      const turn = { role: 'user', content } as const;
      void world.gen({ rid: 'run_b', prompt: { kind: 'messages', messages: [turn, turn] } });
      await world.clock.run(10);
      expect(tokenizer.asked).to.equal(1);
    });

    it('does not start when it was cancelled meanwhile', async () => {
      const { world, tokenizer, answer } = await preparing();
      expect((await world.command({ op: 'cancel', rid: 'run_a', att: 1 })).body).to.deep.equal({ live: false });
      tokenizer.go();
      expect((await answer).error).to.include({ code: 'cancelled' });
      await world.clock.run(500);
      expect(world.frames()).to.deep.equal([]);
    });

    it('does not start when a newer attempt of its run came meanwhile', async () => {
      const { world, tokenizer, answer } = await preparing();
      await world.gen({ att: 2 });
      tokenizer.go();
      expect((await answer).error).to.include({ code: 'cancelled' });
      expect(await world.terminal('run_a', 2)).to.include({ type: 'final' });
      expect(world.frames('run_a', 1)).to.deep.equal([]);
    });

    it('is refused when it comes again meanwhile', async () => {
      const { world, tokenizer, answer } = await preparing();
      expect((await world.gen({ prompt: LONG })).error).to.include({ code: 'invalid_request', param: 'att' });
      tokenizer.go();
      expect(await answer).to.include({ ok: true });
    });

    it('counts its time from when it came', async () => {
      const { world, tokenizer, answer } = await preparing({ ttlMs: 500 });
      await world.clock.run(500);
      tokenizer.go();
      expect((await answer).error).to.include({ code: 'deadline' });
    });

    it('does not start on a host that drains meanwhile, and the drain waits for it', async () => {
      const { world, tokenizer, answer } = await preparing();
      let isDrained = false;
      void world.server.drain().then(() => (isDrained = true));
      await world.clock.run(1000);
      expect(isDrained).to.equal(false);
      tokenizer.go();
      expect((await answer).error).to.include({ code: 'draining' });
      await world.clock.run(1000);
      expect(isDrained).to.equal(true);
    });
  });

  describe('fence', () => {
    it('refuses an attempt that was taken, while it runs and after', async () => {
      const world = new World();
      await world.load();
      await world.gen();
      expect((await world.gen()).error).to.include({ code: 'invalid_request', param: 'att' });
      await world.terminal();
      expect((await world.gen()).error).to.include({ code: 'invalid_request', param: 'att' });
      await world.clock.run(500);
      expect(world.frames().filter(({ type }) => type === 'final')).to.have.length(1);
    });

    it('refuses an attempt older than one that was taken', async () => {
      const world = new World();
      await world.load();
      await world.gen({ att: 2 });
      expect((await world.gen({ att: 1 })).error).to.include({ code: 'invalid_request', param: 'att' });
    });

    it('ends the older attempt when a new one comes, and runs the new one', async () => {
      const world = new World();
      await world.load({ slots: 1 });
      await world.gen({ ignoreEos: true });
      await world.clock.run(30);
      await world.gen({ att: 2 });
      expect(await world.terminal('run_a', 1)).to.include({ type: 'cancelled' });
      expect(await world.terminal('run_a', 2)).to.include({ type: 'final' });
      expect(world.text('run_a', 2)).to.equal(ANSWER);
    });

    it('does not start an attempt that was cancelled before it came', async () => {
      const world = new World();
      await world.load();
      expect(await world.command({ op: 'cancel', rid: 'run_a', att: 1 })).to.deep.equal({
        ok: true,
        body: { live: false },
      });
      expect((await world.gen()).error).to.include({ code: 'invalid_request', param: 'att' });
      expect(await world.gen({ att: 2 })).to.include({ ok: true });
    });
  });

  describe('cancel', () => {
    it('ends a running attempt with its usage; asking again changes nothing', async () => {
      const world = new World();
      await world.load();
      await world.gen({ ignoreEos: true });
      await world.clock.run(100);
      const cancel = { op: 'cancel', rid: 'run_a', att: 1 } as const;
      expect((await world.command(cancel)).body).to.deep.equal({ live: true });
      await world.command(cancel);
      const frame = await world.terminal();
      expect(frame).to.include({ type: 'cancelled' });
      expect(frame).to.have.nested.property('usage.completionTokens').that.is.greaterThan(0);
      expect((await world.command(cancel)).body).to.deep.equal({ live: false });
      await world.clock.run(1000);
      expect(world.frames().filter(({ type }) => type === 'cancelled')).to.have.length(1);
    });

    it('stops in the middle of a long prompt and frees the slot for the next', async () => {
      const world = new World();
      await world.load({ slots: 1, contextTokens: 8192 });
      await world.gen({ prompt: longPrompt(8000) });
      await world.clock.runUntil(() => world.frames().some(({ type }) => type === 'progress'));
      await world.gen({ rid: 'run_b' });
      await world.command({ op: 'cancel', rid: 'run_a', att: 1 });
      expect(await world.terminal()).to.deep.include({ type: 'cancelled' });
      const last = world.frames().findLast(({ type }) => type === 'progress');
      expect(last).to.have.property('doneTokens').that.is.lessThan(8000);
      expect(await world.terminal('run_b')).to.include({ type: 'final' });
    });

    it('reaches one that still waits for a slot, though no step of its own flushes its end', async () => {
      const world = new World();
      await world.load({ slots: 1 });
      await world.gen({ ignoreEos: true });
      await world.gen({ rid: 'run_b' });
      await world.command({ op: 'cancel', rid: 'run_b', att: 1 });
      expect(await world.terminal('run_b')).to.include({ type: 'cancelled' });
      expect(world.frames('run_b').map(({ type }) => type)).to.deep.equal(['cancelled']);
    });

    it('touches the named attempt only', async () => {
      const world = new World();
      await world.load({ slots: 2 });
      await world.gen({ att: 2 });
      await world.gen({ rid: 'run_b' });
      await world.command({ op: 'cancel', rid: 'run_a', att: 1 });
      expect(await world.terminal('run_a', 2)).to.include({ type: 'final' });
      expect(await world.terminal('run_b')).to.include({ type: 'final' });
    });
  });

  describe('deadline', () => {
    it('ends an attempt whose time is over', async () => {
      const world = new World();
      await world.load();
      await world.gen({ ttlMs: 200, ignoreEos: true });
      const startMs = world.clock.nowMs();
      expect(wordOf(await world.terminal())).to.equal('deadline');
      expect(world.clock.nowMs() - startMs).to.be.within(190, 250);
    });

    it('ends one that still waits for a slot', async () => {
      const world = new World();
      await world.load({ slots: 1 });
      await world.gen({ ignoreEos: true });
      await world.gen({ rid: 'run_b', ttlMs: 300 });
      expect(wordOf(await world.terminal('run_b'))).to.equal('deadline');
    });

    it('refuses one that comes too late, and takes its successor', async () => {
      const world = new World();
      await world.load();
      expect((await world.gen({ ttlMs: 0 })).error.code).to.equal('deadline');
      expect(await world.gen({ att: 2 })).to.include({ ok: true });
    });
  });

  describe('lease', () => {
    it('ends what its gateway does not renew', async () => {
      const world = new World({ models: { '/m/slow.gguf': { stepMs: 1000 } } });
      await world.load({ file: '/m/slow.gguf' });
      const startMs = world.clock.nowMs();
      await world.gen({ ttlMs: 600_000, ignoreEos: true });
      expect(wordOf(await world.terminal())).to.equal('interrupted');
      expect(world.clock.nowMs() - startMs).to.be.within(HOST_LIMITS.leaseMs, HOST_LIMITS.leaseMs + 3000);
    });

    it('goes on as long as its own gateway renews it, by run and attempt', async () => {
      const world = new World({ models: { '/m/slow.gguf': { stepMs: 1000 } } });
      await world.load({ file: '/m/slow.gguf', slots: 4 });
      const fields = { ttlMs: 600_000, ignoreEos: true, maxTokens: 300 };
      await world.gen(fields);
      await world.gen({ ...fields, rid: 'run_b' });
      await world.gen({ ...fields, rid: 'run_c', gid: 'g2' });
      await world.gen({ ...fields, rid: 'run_d', att: 2 });
      const renewed = [
        { rid: 'run_a', att: 1 },
        { rid: 'run_c', att: 1 },
        { rid: 'run_d', att: 1 },
      ];
      for (let second = 0; second < 60; second += 5) {
        await world.clock.run(5000);
        await world.command({ op: 'renew', gid: 'g1', attempts: renewed });
      }
      expect(world.lastEvent.attempts).to.deep.equal([{ rid: 'run_a', att: 1 }]);
      expect(wordOf(await world.terminal('run_b'))).to.equal('interrupted');
    });

    it('does not blame the gateway for time in which this process stood still', async () => {
      const world = new World({ models: { '/m/slow.gguf': { stepMs: 1000 } } });
      await world.load({ file: '/m/slow.gguf' });
      await world.gen({ ttlMs: 600_000, ignoreEos: true });
      await world.clock.run(10_000);
      world.lostMs = 60_000;
      await world.clock.run(2000);
      expect(world.lastEvent.attempts).to.have.length(1);
      await world.clock.run(HOST_LIMITS.leaseMs);
      expect(world.lastEvent.attempts).to.have.length(0);
    });
  });

  describe('credit', () => {
    it('holds back what the gateway has no room for, and sends it when it has', async () => {
      const world = new World();
      await world.load();
      await world.gen({ creditFrames: 4, ttlMs: 20_000 });
      await world.clock.run(1000);
      expect(world.frames()).to.have.length(4);
      expect(world.lastEvent.attempts).to.deep.equal([{ rid: 'run_a', att: 1 }]);
      await world.command({ op: 'credit', rid: 'run_a', att: 1, frames: 100 });
      await world.terminal();
      expect(world.text()).to.equal(ANSWER);
    });

    it('ends a stream that is not read as client_too_slow and frees the slot', async () => {
      const world = new World();
      await world.load({ slots: 1, contextTokens: 1_000_000 });
      await world.gen({ creditFrames: 1, ignoreEos: true, ttlMs: 600_000 });
      // Its gateway lives and renews the attempt; only its credit does not come.
      for (let round = 0; round < 3; round++) {
        await world.clock.run(9_000);
        await world.command({ op: 'renew', gid: 'g1', attempts: [{ rid: 'run_a', att: 1 }] });
      }
      expect(wordOf(await world.terminal())).to.equal('client_too_slow');
      await world.gen({ rid: 'run_b' });
      expect(await world.terminal('run_b')).to.include({ type: 'final' });
    });
  });

  describe('resend', () => {
    it('repeats frames from a number on', async () => {
      const world = new World();
      await world.load();
      await world.gen();
      await world.terminal();
      const frames = world.frames();
      world.bundles.length = 0;
      expect(await world.command({ op: 'resend', rid: 'run_a', att: 1, fromSeq: 2 })).to.include({ ok: true });
      await world.clock.run(5);
      expect(world.frames()).to.deep.equal(frames.slice(2));
    });

    it('says so when it cannot', async () => {
      const world = new World();
      await world.load();
      const { error } = await world.command({ op: 'resend', rid: 'run_x', att: 1, fromSeq: 0 });
      expect(error.code).to.equal('stream_gap');
    });
  });
});
