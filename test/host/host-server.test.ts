import { expect } from 'chai';
import type { HostCommand } from '../../src/schema/bus-messages.js';
import { HOST_LIMITS } from '../../src/schema/config.js';
import type { PrefixKeeper } from '../../src/host/engines.js';
import { ANSWER, MODEL, World, longPrompt } from './world.js';

const LOAD = { file: MODEL, purpose: 'generate' } as const;

describe('HostServer', () => {
  describe('without a model', () => {
    it('says that it is idle, at once and each second, and answers', async () => {
      const world = new World();
      await world.clock.run(5);
      expect(world.lastEvent).to.include({ state: 'idle', hid: 'h1', nid: 'n1', running: 0, waiting: 0, steps: 0 });
      await world.clock.run(5000);
      expect(world.events.length).to.be.within(5, 7);
      expect(await world.command({ op: 'renew', gid: 'g1', attempts: [] })).to.deep.equal({ ok: true, body: {} });
    });

    it('refuses to generate, and says why', async () => {
      const { error } = await new World().gen();
      expect(error).to.include({ code: 'no_host', message: 'the model host is idle' });
    });

    it('plans a load without loading', async () => {
      const world = new World();
      const { body } = await world.ask('plan', { load: { ...LOAD, slots: 2, contextTokens: 128 } });
      expect(body).to.include({ slots: 2, contextTokensPerSlot: 64 });
      expect(world.lastEvent.state).to.equal('idle');
    });

    it('says what the driver says about a file that cannot be planned', async () => {
      const world = new World({ models: { '/m/bad.gguf': { unusable: 'truncated' } } });
      const { error } = await world.ask('plan', { load: { ...LOAD, file: '/m/bad.gguf' } });
      expect(error).to.include({ code: 'model_unusable', param: 'file' });
    });

    it('counts tokens by the vocabulary of a file', async () => {
      const world = new World();
      const prompt = { kind: 'text', text: 'héllo' };
      expect((await world.ask('tokenize', { prompt, file: MODEL })).body).to.deep.equal({ count: 6 });
      const { ids } = (await world.ask('tokenize', { prompt, file: MODEL, wantIds: true })).body;
      expect(ids).to.deep.equal([...Buffer.from('héllo')]);
    });

    it('needs a file to count', async () => {
      const { error } = await new World().ask('tokenize', { prompt: { kind: 'text', text: 'x' } });
      expect(error.code).to.equal('invalid_request');
    });

    it('lists the devices', async () => {
      const world = new World();
      expect((await world.command({ op: 'devices' })).body).to.deep.equal({ devices: world.driver.devices() });
    });

    it('names the first wrong field of a request', async () => {
      const world = new World();
      expect((await world.ask('gen', { rid: 'run_a' })).error).to.include({ code: 'invalid_request' });
      expect((await world.ask('plan', { load: { ...LOAD, slots: 0 } })).error.param).to.equal('load.slots');
    });
  });

  describe('load', () => {
    it('answers at once, tells its progress now and then, and says what it loaded and what that took', async () => {
      const world = new World({ faults: [{ kind: 'slow_load', loadMs: 2000 }] });
      await world.load({ slots: 2, contextTokens: 256 });
      const fractions = world.events.filter((event) => event.state === 'loading').map((event) => event.loadFraction);
      expect(fractions[0]).to.equal(0);
      expect(fractions).to.deep.equal([...fractions].sort((a, b) => (a ?? 0) - (b ?? 0)));
      expect(fractions.length).to.be.within(4, 2000 / HOST_LIMITS.progressMs + 4);
      expect(world.lastEvent.info).to.include({ file: MODEL, slots: 2, contextTokensPerSlot: 128 });
      expect({ ...world.lastEvent.planned, observed: [] }).to.deep.equal(world.lastEvent.allocated);
    });

    it('tells everything again with each beat, for whoever missed it', async () => {
      const world = new World();
      await world.load();
      world.events.length = 0;
      await world.clock.run(1500);
      expect(world.lastEvent).to.include({ state: 'ready' });
      expect(world.lastEvent.info).to.include({ file: MODEL });
    });

    it('says why it failed, and then ends', async () => {
      const world = new World({ faults: [{ kind: 'load_error', code: 'out_of_memory', atFraction: 0.5 }] });
      await world.command({ op: 'load', load: LOAD });
      await world.clock.runUntil(() => world.exits.length > 0);
      expect(world.lastEvent).to.deep.include({ state: 'failed' });
      expect(world.lastEvent.error?.code).to.equal('out_of_memory');
      expect(world.exits).to.deep.equal([1]);
    });

    it('is refused a second time, while the first goes on', async () => {
      const world = new World();
      await world.command({ op: 'load', load: LOAD });
      const { error } = await world.command({ op: 'load', load: { ...LOAD, file: '/other.gguf' } });
      expect(error).to.include({ code: 'invalid_request' });
      await world.clock.runUntil(() => world.lastEvent.state === 'ready');
      expect(world.lastEvent.info?.file).to.equal(MODEL);
    });

    it('is cancelled by exit', async () => {
      const world = new World({ faults: [{ kind: 'slow_load', loadMs: 100_000 }] });
      await world.command({ op: 'load', load: LOAD });
      await world.clock.run(1000);
      expect(await world.command({ op: 'exit' })).to.deep.equal({ ok: true, body: {} });
      await world.clock.run(100);
      expect(world.exits).to.deep.equal([0]);
      expect(world.clock.pendingTimers).to.equal(0);
    });

    it('refuses work that belongs to a host without a model', async () => {
      const world = new World();
      await world.load();
      expect((await world.ask('plan', { load: LOAD })).error.code).to.equal('invalid_request');
      expect((await world.command({ op: 'devices' })).error.code).to.equal('invalid_request');
      const prompt = { kind: 'text', text: 'x' };
      expect((await world.ask('tokenize', { prompt, file: '/other.gguf' })).error.code).to.equal('invalid_request');
    });
  });

  describe('with a model', () => {
    it('speaks every two seconds while it has no work, and each second while it has', async () => {
      const world = new World();
      await world.load();
      const heardIn = async (ms: number): Promise<number> => {
        world.events.length = 0;
        await world.clock.run(ms);
        return world.events.length;
      };
      await heardIn(2500);
      expect(await heardIn(10_000)).to.equal(5);
      await world.gen({ ignoreEos: true });
      await heardIn(2000);
      expect(await heardIn(10_000)).to.equal(10);
      await world.command({ op: 'cancel', rid: 'run_a', att: 1 });
      await world.terminal();
      await heardIn(2000);
      expect(await heardIn(10_000)).to.equal(5);
    });

    it('counts with the model itself', async () => {
      const world = new World();
      await world.load();
      const prompt = { kind: 'text', text: 'four' };
      expect((await world.ask('tokenize', { prompt })).body).to.deep.equal({ count: 4 });
      expect((await world.ask('tokenize', { prompt, file: MODEL })).body).to.deep.equal({ count: 4 });
    });

    it('embeds and ranks with a model that can', async () => {
      const embedder = new World();
      await embedder.load({ purpose: 'embed' });
      const { vectors } = (await embedder.ask('embed', { inputs: ['red fox', 'blue'] })).body;
      expect(vectors.map((vector) => vector.length)).to.deep.equal([32, 32]);
      const reranker = new World();
      await reranker.load({ purpose: 'rerank' });
      const { scores } = (await reranker.ask('rerank', { query: 'red fox', documents: ['blue', 'a red fox'] })).body;
      expect(scores[1]).to.be.greaterThan(scores[0]);
    });

    it('passes on the refusal of a model that cannot', async () => {
      const world = new World();
      await world.load();
      expect((await world.ask('embed', { inputs: ['x'] })).error.code).to.equal('invalid_request');
      expect((await world.ask('rerank', { query: 'x', documents: ['y'] })).error.code).to.equal('invalid_request');
    });

    it('counts what it does in its events', async () => {
      const world = new World();
      await world.load();
      await world.gen();
      await world.terminal();
      await world.clock.run(1000);
      expect(world.lastEvent).to.include({ running: 0, promptTokens: 5 });
      expect(world.lastEvent.attempts).to.deep.equal([]);
      expect(world.lastEvent.steps).to.be.greaterThan(ANSWER.length);
      expect(world.lastEvent.generatedTokens).to.be.at.least(ANSWER.length);
    });
  });

  describe('drain', () => {
    it('refuses new work and lets what runs come to its end', async () => {
      const world = new World();
      await world.load({ slots: 2 });
      await world.gen();
      await world.command({ op: 'drain' });
      expect(world.lastEvent).to.include({ state: 'draining' });
      expect((await world.gen({ rid: 'run_b' })).error.code).to.equal('draining');
      expect((await world.ask('embed', { inputs: ['x'] })).error.code).to.equal('draining');
      expect(await world.terminal()).to.include({ type: 'final' });
      expect(world.text()).to.equal(ANSWER);
      expect(world.exits).to.deep.equal([]);
    });

    it('waits for the last one when the process is told to go', async () => {
      const world = new World();
      await world.load();
      await world.gen();
      let isDrained = false;
      void world.server.drain().then(() => (isDrained = true));
      await world.clock.run(1);
      expect(isDrained).to.equal(false);
      await world.terminal();
      await world.clock.run(200);
      expect(isDrained).to.equal(true);
    });

    it('gives up the load under way', async () => {
      const world = new World({ faults: [{ kind: 'slow_load', loadMs: 5000 }] });
      await world.command({ op: 'load', load: LOAD });
      await world.command({ op: 'drain' });
      await world.clock.run(10_000);
      expect(world.lastEvent).to.include({ state: 'draining' });
      expect(world.lastEvent.info).to.equal(undefined);
    });
  });

  describe('exit', () => {
    it('ends what runs with an error, then the process, and leaves nothing behind', async () => {
      const world = new World();
      await world.load({ slots: 1 });
      await world.gen({ ignoreEos: true });
      await world.gen({ rid: 'run_b' });
      await world.clock.run(50);
      await world.command({ op: 'exit' });
      await world.clock.run(HOST_LIMITS.exitMs);
      expect(world.exits).to.deep.equal([0]);
      for (const rid of ['run_a', 'run_b']) {
        expect(world.frames(rid).at(-1)).to.have.nested.property('error.code', 'draining');
      }
      expect(world.clock.pendingTimers).to.equal(0);
      expect((await world.ask('ctl', { op: 'drain' } satisfies HostCommand)).error.code).to.equal('no_host');
    });

    it('does not wait for an engine that is stuck', async () => {
      const world = new World({ faults: [{ kind: 'stall', atToken: 3 }] });
      await world.load();
      await world.gen();
      await world.clock.run(500);
      await world.command({ op: 'exit' });
      await world.clock.run(HOST_LIMITS.exitMs + 10);
      expect(world.exits).to.deep.equal([0]);
    });

    it('counts once, however often it is asked for', async () => {
      const world = new World();
      void world.command({ op: 'exit' });
      world.server.end();
      world.server.end();
      await world.clock.run(HOST_LIMITS.exitMs + 100);
      expect(world.exits).to.deep.equal([0]);
    });
  });

  describe('leave', () => {
    /** Keeps prefixes in no time, or never comes to an end. */
    function keeper(restored: number, save: () => Promise<void> = () => Promise.resolve()) {
      const saved: string[] = [];
      const keeps: PrefixKeeper = {
        prepare: (load) => Promise.resolve(load),
        restore: () => Promise.resolve(restored),
        save: (_engine, { file }) => (saved.push(file), save()),
      };
      return { saved, keeps };
    }

    it('saves what the model has kept, then ends, and exit saves nothing', async () => {
      for (const [op, files] of [
        ['leave', [MODEL]],
        ['exit', []],
      ] as const) {
        const { saved, keeps } = keeper(0);
        const world = new World({}, keeps);
        await world.load();
        await world.command({ op });
        await world.clock.run(100);
        expect([world.exits, saved]).to.deep.equal([[0], files]);
        expect(world.clock.pendingTimers).to.equal(0);
      }
    });

    it('saves nothing where no model is', async () => {
      const { saved, keeps } = keeper(0);
      const world = new World({}, keeps);
      await world.command({ op: 'leave' });
      await world.clock.run(100);
      expect([world.exits, saved]).to.deep.equal([[0], []]);
    });

    it('says how much of former prompts a new host has', async () => {
      const world = new World({}, keeper(192).keeps);
      await world.load();
      expect(world.lastEvent.restoredPrefixTokens).to.equal(192);
    });
  });

  describe('halt', () => {
    it('says nothing more and leaves no timer, whatever was under way', async () => {
      const world = new World();
      await world.load();
      await world.gen({ prompt: longPrompt(1000), ignoreEos: true });
      await world.clock.run(20);
      world.server.halt();
      await world.clock.run(20);
      const [events, bundles] = [world.events.length, world.bundles.length];
      await world.clock.run(60_000);
      expect([world.events.length, world.bundles.length]).to.deep.equal([events, bundles]);
      expect(world.exits).to.deep.equal([]);
      expect(world.clock.pendingTimers).to.equal(0);
    });
  });

  it('says how it is as soon as a lost bus is back', async () => {
    const world = new World();
    await world.load();
    world.network.partition('host');
    await world.clock.run(20_000);
    world.events.length = 0;
    world.network.heal('host');
    await world.clock.run(5);
    expect(world.events.map((event) => event.state)).to.deep.equal(['ready']);
  });
});
