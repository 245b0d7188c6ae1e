/** Several models in one host: one load, one word about all of them, and each by its name. */
import { expect } from 'chai';
import type { GroupMember, HostEvent } from '../../src/schema/bus-messages.js';
import { World } from './world.js';

describe('host: groups', () => {
  const [A, B, V] = ['/models/a.gguf', '/models/b.gguf', '/models/v.gguf'];
  const models = {
    [A]: { answer: 'I am a', loadMs: 900 },
    [B]: { answer: 'I am b', loadMs: 900 },
    [V]: { loadMs: 900 },
    '/models/none.gguf': { unusable: 'it is damaged' },
  };
  const members: readonly GroupMember[] = [
    { model: 'a', load: { file: A, purpose: 'generate', contextTokens: 512 } },
    { model: 'b', load: { file: B, purpose: 'generate', contextTokens: 512, slots: 2 } },
    { model: 'v', load: { file: V, purpose: 'embed', contextTokens: 512 } },
  ];

  async function loaded(world = new World({ models })): Promise<World> {
    expect(await world.command({ op: 'load-group', members })).to.deep.equal({ ok: true, body: {} });
    await world.clock.runUntil(() => world.lastEvent.state === 'ready');
    return world;
  }

  it('comes as a whole: progress goes over all loads, and each model is told of by itself', async () => {
    const world = await loaded();
    const fractions = world.events.flatMap(({ loadFraction }) => loadFraction ?? []);
    expect(fractions).to.deep.equal([...fractions].sort((one, other) => one - other));
    expect(fractions.some((fraction) => fraction > 0.1 && fraction < 0.34)).to.equal(true);
    const { members: told = [], planned, info } = world.lastEvent;
    expect(info).to.equal(undefined);
    expect(told.map(({ model, info: { file, slots } }) => [model, file, slots])).to.deep.equal([
      ['a', A, 1],
      ['b', B, 2],
      ['v', V, 1],
    ]);
    expect(planned?.totalBytes).to.equal(told.reduce((sum, one) => sum + one.planned.totalBytes, 0));
  });

  it('gives each attempt to the model that it names, at the same time', async () => {
    const world = await loaded();
    await world.gen({ rid: 'run_a', model: 'a' });
    await world.gen({ rid: 'run_b', model: 'b' });
    expect(world.lastEvent.attempts).to.have.length.lessThan(3);
    for (const rid of ['run_a', 'run_b']) expect(await world.terminal(rid)).to.include({ type: 'final' });
    expect([world.text('run_a'), world.text('run_b')]).to.deep.equal(['I am a', 'I am b']);
    await world.clock.run(3000);
    expect(world.lastEvent.steps).to.be.greaterThan(0);
    const tokens = (world.lastEvent.members ?? []).map(({ generatedTokens = 0 }) => generatedTokens > 0);
    expect(tokens).to.deep.equal([true, true, false]);
  });

  it('answers the other verbs by name too, and refuses a name that it has not', async () => {
    const world = await loaded();
    expect(await world.ask('embed', { inputs: ['x'], model: 'v' })).to.have.nested.property('body.vectors.length', 1);
    expect(await world.ask('tokenize', { prompt: { kind: 'text', text: 'abc' }, model: 'b' })).to.include({ ok: true });
    for (const model of ['c', undefined]) {
      const reply = await world.gen({ rid: `run_${String(model)}`, ...(model === undefined ? {} : { model }) });
      expect(reply).to.have.nested.property('error.code', 'invalid_request');
      expect(reply).to.have.nested.property('error.message').that.contains('name one of: a, b, v');
    }
  });

  it('takes no notice of a name where it has one model', async () => {
    const world = new World();
    await world.load();
    await world.gen({ model: 'whatever' });
    expect(await world.terminal()).to.include({ type: 'final' });
  });

  it('has no model when one cannot be loaded, and says which', async () => {
    const world = new World({ models });
    const broken: GroupMember = { model: 'broken', load: { file: '/models/none.gguf', purpose: 'generate' } };
    await world.command({ op: 'load-group', members: [...members, broken] });
    await world.clock.runUntil(() => world.exits.length > 0);
    const failed: HostEvent | undefined = world.events.find(({ state }) => state === 'failed');
    expect(failed?.error?.message).to.contain("model 'broken': ");
    expect(failed).to.not.have.property('members');
    expect(world.exits).to.deep.equal([1]);
  });

  it('loads once in its life, and nothing where nothing is named', async () => {
    const world = new World({ models });
    const nothing = await world.command({ op: 'load-group', members: [] });
    expect(nothing).to.have.nested.property('error.code', 'invalid_request');
    await loaded(world);
    const again = await world.command({ op: 'load-group', members });
    expect(again).to.have.nested.property('error.code', 'invalid_request');
  });

  it('saves and restores the prefixes of each', async () => {
    const saved: string[] = [];
    const world = await loaded(
      new World(
        { models },
        {
          prepare: (load) => Promise.resolve(load),
          restore: () => Promise.resolve(5),
          save: (_engine, { file }) => Promise.resolve(void saved.push(file)),
        },
      ),
    );
    expect(world.lastEvent.restoredPrefixTokens).to.equal(15);
    await world.command({ op: 'leave' });
    await world.clock.run(100);
    expect([saved.sort(), world.exits]).to.deep.equal([[A, B, V], [0]]);
    expect(world.clock.pendingTimers).to.equal(0);
  });

  it('leaves nothing behind when it is told to end in the middle of its loads', async () => {
    const world = new World({ models });
    await world.command({ op: 'load-group', members });
    await world.clock.runUntil(() => (world.lastEvent.loadFraction ?? 0) > 0.4);
    await world.command({ op: 'exit' });
    await world.clock.run(5000);
    expect([world.exits, world.clock.pendingTimers]).to.deep.equal([[0], 0]);
  });
});
