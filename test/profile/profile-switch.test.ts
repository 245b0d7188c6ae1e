import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { deferred } from '../../src/base/signals.js';
import { SWITCH_KEY, type SwitchRecord } from '../../src/profile/switch-record.js';
import { settle } from '../support/fake-clock.js';
import { modelSpec } from '../support/profiles.js';
import { codeOf, FIRST, scene, SECOND, started, type Scene } from './switch-scene.js';

const LOAD_FIRST = ['load both', 'load both', 'load new', 'load new'];
const FULL_WAY = [
  ...['stage second', 'pause'],
  ...['drain both 30000', 'dismiss both', 'proof both', ...LOAD_FIRST.slice(0, 2)],
  ...['drain old 30000', 'dismiss old', 'proof old', ...LOAD_FIRST.slice(2)],
  ...['flip 30000', 'cleared'],
];
/** Every call that can fail or take long, before the flip. */
const STEPS = [...new Set(FULL_WAY.slice(2, -2))].filter((call) => !call.startsWith('proof'));

async function record({ journal }: Scene): Promise<SwitchRecord> {
  return JSON.parse((await journal.getState(SWITCH_KEY)) ?? '{}') as SwitchRecord;
}

/** A switch that stands still at `call`; `go` lets it go on. */
async function heldAt(call: string, roomBytes = 30): Promise<{ world: Scene; go: () => void; end: Promise<unknown> }> {
  const world = await started();
  world.roomBytes = roomBytes;
  const hold = deferred<undefined>();
  world.stage.script = { [call]: () => hold.promise };
  const { over } = await world.manager.activate('second');
  await settle();
  return { world, go: () => hold.resolve(undefined), end: over };
}

describe('a switch of profiles', () => {
  it('loads what fits beside what runs, then flips, then lets the rest go', async () => {
    const world = await started();
    const ending = await (await world.manager.activate('second')).over;
    expect(world.stage.calls).to.deep.equal(['stage second', 'pause', ...LOAD_FIRST, 'flip 30000', 'cleared']);
    expect(ending).to.deep.include({ from: 'first', to: 'second', result: 'done' });
    expect(world.manager.current()).to.deep.equal(SECOND);
    expect((await world.manager.remembered())?.name).to.equal('second');
    expect(world.manager.progress()).to.deep.include({ state: 'stable', active: 'second', cancellable: false });
  });

  it('makes room first where there is none', async () => {
    const world = await started();
    world.roomBytes = 30;
    await (
      await world.manager.activate('second', 30_000)
    ).over;
    expect(world.stage.calls).to.deep.equal(FULL_WAY);
  });

  for (const isFailing of [false, true]) {
    it(`unloads a model on demand that stays, where room is needed${isFailing ? ', and brings it back' : ''}`, async () => {
      const world = await started();
      world.roomBytes = 20;
      const [, ...others] = SECOND.models;
      world.second = { ...SECOND, models: [modelSpec('same', { residency: 'on-demand' }), ...others] };
      if (isFailing)
        world.stage.script = { 'load new': () => Promise.reject(new LlamaestroError('load_failed', 'no')) };
      const { over } = await world.manager.activate('second');
      expect(world.manager.progress().stays).to.deep.equal([]);
      expect((await over).result).to.equal(isFailing ? 'failed' : 'done');
      const { calls } = world.stage;
      const room = calls.indexOf('drain same 30000');
      expect(room).to.be.above(calls.indexOf('proof old'));
      expect(calls.slice(room, room + 4)).to.deep.equal([
        ...['drain same 30000', 'dismiss same', 'proof same', 'load new'],
      ]);
      const back = ['abandon', 'restore both', 'restore old', 'restore same'];
      expect(calls.slice(isFailing ? -4 : -2)).to.deep.equal(isFailing ? back : ['flip 30000', 'cleared']);
    });
  }

  it('takes the drain time of the request, else of the profile', async () => {
    const world = await started();
    await (
      await world.manager.activate('second', 7)
    ).over;
    expect(world.stage.calls).to.include('flip 7');
  });

  it('changes nothing when what is to come is what runs', async () => {
    const world = await started();
    await (
      await world.manager.activate('first')
    ).over;
    expect(world.stage.calls).to.deep.equal([]);
    expect(world.manager.progress()).to.not.have.property('last');
  });

  for (const call of STEPS) {
    it(`writes '${call}' down before it takes it; a sudden end there leaves the old profile`, async () => {
      const { world } = await heldAt(call);
      const written = await record(world);
      expect([written.model, call.includes(written.model ?? '?')]).to.deep.equal([written.model, true]);
      expect(written).to.deep.include({ from: 'first', to: 'second' });
      expect((await world.manager.remembered())?.name).to.equal('first');
      const after = await scene(world.journal.clone());
      await after.manager.start(FIRST);
      expect(after.manager.progress().last).to.deep.include({ from: 'first', to: 'second', result: 'failed' });
      expect(after.manager.progress().last?.error?.code).to.equal('interrupted');
      const again = await scene(after.journal.clone());
      await again.manager.start(FIRST);
      expect(again.manager.progress()).to.not.have.property('last');
    });

    it(`goes back when '${call}' fails`, async () => {
      const world = await started();
      world.roomBytes = 30;
      world.stage.script = { [call]: () => Promise.reject(new LlamaestroError('load_failed', 'broken')) };
      const ending = await (await world.manager.activate('second')).over;
      expect(ending).to.deep.include({ result: 'failed' });
      expect(ending.error).to.include({ code: 'load_failed', message: 'broken' });
      expect(world.stage.calls.slice(-3)).to.deep.equal(['abandon', 'restore both', 'restore old']);
      expect(world.manager.current()).to.equal(FIRST);
      expect((await record(world)).ending?.result).to.equal('failed');
      expect(world.manager.progress()).to.deep.include({ state: 'stable', active: 'first' });
    });

    it(`goes back when it is cancelled at '${call}'`, async () => {
      const { world, end } = await heldAt(call);
      expect(world.manager.progress().cancellable).to.equal(true);
      world.manager.cancel();
      world.manager.cancel();
      expect(await end).to.deep.include({ result: 'cancelled' });
      expect(world.stage.calls.slice(-3)).to.deep.equal(['abandon', 'restore both', 'restore old']);
      expect(world.stage.calls).to.not.include('flip 30000');
      expect(world.manager.crossing()).to.equal(undefined);
    });
  }

  it('goes only forward from the flip on', async () => {
    const { world, go, end } = await heldAt('cleared');
    expect((await record(world)).step).to.equal('clearing');
    expect(world.manager.current()).to.deep.equal(SECOND);
    expect(() => world.manager.cancel()).to.throw('served already');
    const after = await scene(world.journal.clone());
    expect((await after.manager.remembered())?.name).to.equal('second');
    await after.manager.start(SECOND);
    expect(after.manager.progress().last).to.deep.include({ to: 'second', result: 'done' });
    go();
    expect(await end).to.deep.include({ result: 'done' });
  });

  it('goes back when the flip cannot be written, and names the old profile again', async () => {
    const world = await started();
    const { setStates } = world.journal;
    world.journal.setStates = function (values) {
      const isFlip = (values[SWITCH_KEY] ?? '').includes('"flip"');
      const written = setStates.call(world.journal, values);
      return isFlip ? Promise.reject(new LlamaestroError('journal_unavailable', 'full')) : written;
    };
    const ending = await (await world.manager.activate('second')).over;
    expect(ending.error?.code).to.equal('journal_unavailable');
    expect((await world.manager.remembered())?.name).to.equal('first');
    expect(world.manager.current()).to.equal(FIRST);
  });

  it('takes no step that it cannot write down, and still finds its way back', async () => {
    const world = await started();
    world.journal.failing = true;
    const ending = await (await world.manager.activate('second')).over;
    expect(ending.error?.code).to.equal('journal_unavailable');
    expect(world.stage.calls).to.deep.equal(['stage second', 'abandon', 'restore both', 'restore old']);
  });

  it('loads once more what was lost before the flip', async () => {
    const { world, go, end } = await heldAt('load new', 50);
    world.stage.ready = [];
    go();
    await end;
    expect(world.stage.calls.filter((call) => call === 'load both')).to.have.length(3);
    expect(world.stage.calls.indexOf('flip 30000')).to.be.above(world.stage.calls.lastIndexOf('load both'));
  });

  it('lets another model go when the load finds no room after all', async () => {
    const world = await started();
    let tries = 0;
    const full = (): Promise<unknown> =>
      tries++ === 0 ? Promise.reject(new LlamaestroError('out_of_memory', 'full')) : Promise.resolve();
    world.stage.script = { 'load both': full };
    expect(await (await world.manager.activate('second')).over).to.deep.include({ result: 'done' });
    expect(world.stage.calls.slice(2, 7)).to.deep.equal([
      ...['load both', 'drain both 30000', 'dismiss both', 'proof both', 'load both'],
    ]);
  });

  it('is declared degraded when a model does not come back, until it does', async () => {
    const world = await started();
    const refuse = (): Promise<unknown> => Promise.reject(new LlamaestroError('load_failed', 'broken'));
    world.stage.script = { 'load new': refuse, 'restore gone': refuse };
    world.stage.restore = (model) => (model === 'old' ? Promise.reject(new Error('gone')) : Promise.resolve());
    await (
      await world.manager.activate('second')
    ).over;
    // The pool of this scene says that it is ready again.
    expect(world.manager.progress()).to.deep.include({ state: 'stable', missing: [] });
    expect((await record(world)).step).to.equal('degraded');
  });

  it('misses a model until it was ready once, not again whenever it is unloaded', async () => {
    const world = await started();
    world.stage.script = { 'load new': () => Promise.reject(new LlamaestroError('load_failed', 'broken')) };
    world.stage.restore = (model) => {
      world.unloaded = ['old'];
      return model === 'old' ? Promise.reject(new Error('gone')) : Promise.resolve();
    };
    await (
      await world.manager.activate('second')
    ).over;
    expect(world.manager.progress()).to.deep.include({ state: 'degraded', missing: ['old'] });
    world.loads = 2;
    expect(world.manager.progress()).to.deep.include({ state: 'stable', missing: [] });
  });

  it('is joined by one to the same profile; any other is refused', async () => {
    const { world, go, end } = await heldAt('load new', 50);
    const joined = await world.manager.activate('second');
    expect(await codeOf(world.manager.activate('first'))).to.equal('switch_conflict');
    expect(await codeOf(world.manager.reload())).to.equal('switch_conflict');
    go();
    expect(await joined.over).to.equal(await end);
    expect(world.stage.calls.filter((call) => call.startsWith('stage'))).to.have.length(1);
  });

  it('can be followed at once by another one', async () => {
    const world = await started();
    await (
      await world.manager.activate('second')
    ).over;
    expect(await (await world.manager.activate('first')).over).to.deep.include({ from: 'second', result: 'done' });
  });

  it('is nobody else’s business when it cannot even be planned', async () => {
    const world = await started();
    world.problems = [{ device: 'cpu', models: ['m'], message: 'too much', remedy: 'Less.' }];
    expect(await codeOf(world.manager.activate('second'))).to.equal('does_not_fit');
    expect(await codeOf(world.manager.activate('third'))).to.equal('profile_not_found');
    expect([world.stage.calls, world.manager.crossing()]).to.deep.equal([[], undefined]);
    expect(await record(world)).to.deep.equal({});
  });

  it('can be cancelled while it is planned: nothing is touched', async () => {
    const world = await started();
    world.onLoad = () => world.manager.cancel();
    expect(await codeOf(world.manager.activate('second'))).to.equal('cancelled');
    await settle();
    expect(world.stage.calls).to.deep.equal([]);
    world.onLoad = () => undefined;
    expect(await (await world.manager.activate('second')).over).to.deep.include({ result: 'done' });
  });

  it('tells requests from which profile to which, and until when', async () => {
    const { world, go } = await heldAt('load new', 50);
    const crossing = world.manager.crossing();
    expect([crossing?.from.name, crossing?.next.name]).to.deep.equal(['first', 'second']);
    go();
    await crossing?.over;
    expect(world.manager.crossing()).to.equal(undefined);
  });

  for (const [what, result] of [
    ['cleared', 'done'],
    ['restore old', 'cancelled'],
  ] as const) {
    it(`lets requests go on before '${what}' is over`, async () => {
      const { world, go, end } = await heldAt('load new', 50);
      const rest = deferred<undefined>();
      world.stage.script = { ...world.stage.script, [what]: () => rest.promise };
      const crossing = world.manager.crossing();
      if (result === 'cancelled') world.manager.cancel();
      go();
      const over = crossing?.over.then(() => 'over');
      await settle();
      expect(world.stage.calls).to.include(what);
      expect(await Promise.race([over, settle().then(() => 'waits')])).to.equal('over');
      const seen: unknown[] = [];
      world.manager.onSwitch(() => seen.push(world.manager.crossing()));
      expect(world.manager.crossing()).to.equal(undefined);
      rest.resolve(undefined);
      expect(await end).to.deep.include({ result });
      expect(seen).to.deep.equal([undefined, undefined]);
    });
  }

  it('tells how far it is, and each change to whoever listens', async () => {
    const { world, go, end } = await heldAt('load new', 50);
    const progress = world.manager.progress();
    expect(progress).to.deep.include({ state: 'loading', from: 'first', to: 'second', model: 'new', stays: ['same'] });
    expect(progress.steps.map(({ action, model, state }) => `${action} ${model} ${state}`)).to.deep.equal([
      ...['load both done', 'load new running', 'unload both waiting', 'unload old waiting'],
    ]);
    const seen: string[] = [];
    const forget = world.manager.onSwitch(() => seen.push(world.manager.progress().state));
    go();
    await end;
    forget();
    expect(seen).to.deep.equal(['warming', 'flip', 'clearing', 'clearing', 'stable']);
  });

  it('stays where it is when the process ends, and does nothing more', async () => {
    const { world, go } = await heldAt('load new', 50);
    world.manager.close();
    go();
    await settle();
    expect(world.stage.calls).to.not.include('flip 30000');
    expect(world.stage.calls).to.not.include('abandon');
    expect(await codeOf(world.manager.activate('second'))).to.equal('draining');
  });
});
