import { expect } from 'chai';
import { deferred } from '../../src/base/signals.js';
import { RETRY_MS, SETTLE_MS } from '../../src/profile/edit-watch.js';
import type { Profile } from '../../src/schema/profile.js';
import { codeOf, FIRST as first, PLAN, scene, SECOND, type Scene } from './switch-scene.js';

/** To the end of the switch. */
async function changed(world: Scene, name: string): Promise<string> {
  const { result } = await (await world.manager.activate(name)).over;
  return result;
}

describe('the profile manager', () => {
  it('starts a profile, hands it to the pool and remembers it over a restart', async () => {
    const { manager, applied, journal } = await scene();
    expect(await manager.remembered()).to.equal(undefined);
    await manager.start(first);
    expect(manager.current()).to.equal(first);
    expect(applied).to.deep.equal(['first']);
    const restarted = await scene(journal.clone());
    expect(await restarted.manager.remembered()).to.deep.equal({ name: 'first', origin: '/p/first.yaml' });
  });

  it('has no profile before the start', async () => {
    const { manager } = await scene();
    expect(() => manager.current()).to.throw('assertion failed');
  });

  it('applies nothing that it cannot remember', async () => {
    const { manager, journal, applied } = await scene();
    journal.failing = true;
    expect(await codeOf(manager.start(first))).to.equal('journal_unavailable');
    expect(applied).to.deep.equal([]);
  });

  it('changes by name, under load or not', async () => {
    const world = await scene();
    await world.manager.start(first);
    expect(await changed(world, 'second')).to.equal('done');
    expect(world.manager.current()).to.deep.equal(SECOND);
    expect((await world.manager.remembered())?.name).to.equal('second');
  });

  it('leaves everything alone when the same profile is asked for again', async () => {
    const world = await scene();
    await world.manager.start(first);
    expect(await changed(world, 'first')).to.equal('done');
    expect([world.applied, world.stage.calls]).to.deep.equal([['first'], []]);
  });

  it('refuses what does not fit, with the sum, and shows the same as a plan', async () => {
    const world = await scene();
    await world.manager.start(first);
    world.problems = [{ device: 'cpu', models: ['m'], message: 'm 2 MiB: cpu has room for 1 MiB', remedy: 'Less.' }];
    const error: unknown = await world.manager.activate('second').catch((thrown: unknown) => thrown);
    expect(error).to.include({ code: 'does_not_fit', remedy: 'Less.' });
    expect((error as Error).message).to.equal("profile 'second': m 2 MiB: cpu has room for 1 MiB");
    expect(world.manager.current()).to.equal(first);
    const planned = await world.manager.plan('second');
    expect(planned.problems).to.deep.equal(world.problems);
    expect(planned.switch).to.deep.include({ stays: ['same'], leaves: ['both', 'old'], comes: ['both', 'new'] });
  });

  it('keeps the old profile when the new one does not exist, and can change afterwards', async () => {
    const world = await scene();
    await world.manager.start(first);
    expect(await codeOf(world.manager.activate('third'))).to.equal('profile_not_found');
    expect(world.manager.current()).to.equal(first);
    expect(await changed(world, 'second')).to.equal('done');
  });
});

describe('the profile manager: edits of the active file', () => {
  const other = (more: Partial<Profile> = {}): Profile => ({ ...first, description: 'edited', ...more });
  async function edited(text: Profile | undefined, before: (world: Scene) => void = () => undefined): Promise<Scene> {
    const world = await scene();
    await world.manager.start(first);
    before(world);
    world.text = text;
    world.edit();
    await world.clock.run(SETTLE_MS + 10);
    return world;
  }

  it('tells a broken one and changes nothing, until it is mended', async () => {
    const world = await edited(undefined);
    expect(world.manager.edit()).to.deep.include({ state: 'broken' });
    expect(world.manager.current()).to.equal(first);
    expect(await codeOf(world.manager.reload())).to.equal('profile_invalid');
    world.text = first;
    world.edit();
    await world.clock.run(SETTLE_MS + 10);
    expect(world.manager.edit()).to.equal(undefined);
    expect(world.applied).to.deep.equal(['first']);
  });

  it('plans a valid one, and applies it by command', async () => {
    const world = await edited(other());
    const edit = world.manager.edit();
    expect(edit?.state === 'waiting' && edit.plan).to.deep.include({
      profile: 'first',
      origin: first.origin,
      fits: PLAN.fits,
    });
    expect(world.manager.current()).to.equal(first);
    expect((await (await world.manager.reload()).over).result).to.equal('done');
    expect(world.manager.current().description).to.equal('edited');
    expect(world.manager.edit()).to.equal(undefined);
    expect(world.stage.calls).to.deep.equal(['stage first', 'pause', 'flip 30000', 'cleared']);
  });

  it('reads a file only once it is quiet', async () => {
    const world = await edited(undefined, ({ edit }) => edit());
    world.text = other();
    for (let step = 0; step < 5; step++) {
      world.edit();
      await world.clock.run(SETTLE_MS / 2);
    }
    expect(world.manager.edit()).to.deep.include({ state: 'broken' });
    await world.clock.run(SETTLE_MS);
    expect(world.manager.edit()).to.deep.include({ state: 'waiting' });
  });

  it('applies one by itself where the profile says so', async () => {
    const world = await edited(other({ reload: 'auto' }));
    expect(world.manager.current().description).to.equal('edited');
    expect([world.manager.edit(), world.clock.pendingTimers]).to.deep.equal([undefined, 0]);
  });

  it('waits with that for a switch that is under way, and lets go when it leads elsewhere', async () => {
    const hold = deferred<undefined>();
    const world = await edited(other({ reload: 'auto' }), (before) => {
      before.stage.script = { 'load new': () => hold.promise };
      void before.manager.activate('second');
    });
    const edit = world.manager.edit();
    expect(edit?.state === 'waiting' && edit.error?.code).to.equal('switch_conflict');
    world.manager.cancel();
    await world.clock.run(RETRY_MS + 10);
    expect(world.manager.current().description).to.equal('edited');
    expect([world.manager.edit(), world.clock.pendingTimers]).to.deep.equal([undefined, 0]);
  });

  it('does not try again what cannot fit', async () => {
    const problem = { device: 'cpu', models: ['m'], message: 'too much', remedy: 'Less.' };
    const world = await edited(other({ reload: 'auto' }), (scene) => (scene.problems = [problem]));
    const edit = world.manager.edit();
    expect(edit?.state === 'waiting' && edit.error?.code).to.equal('does_not_fit');
    expect([world.manager.current(), world.clock.pendingTimers]).to.deep.equal([first, 0]);
  });

  it('ends with the manager', async () => {
    const world = await scene();
    await world.manager.start(first);
    world.edit();
    world.manager.close();
    expect(world.clock.pendingTimers).to.equal(0);
    world.edit();
    expect(world.clock.pendingTimers).to.equal(0);
  });

  it('has nothing to read again for a made-up profile', async () => {
    const { manager } = await scene();
    await manager.start({ ...first, files: [] });
    expect(await codeOf(manager.reload())).to.equal('invalid_request');
  });
});
