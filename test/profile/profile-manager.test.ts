import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { MemoryJournal } from '../../src/journal/memory-journal.js';
import type { Catalog } from '../../src/profile/catalog.js';
import { RETRY_MS, SETTLE_MS } from '../../src/profile/edit-watch.js';
import { createProfileManager, type ProfileManager } from '../../src/profile/profile-manager.js';
import type { FitProblem, ProfilePlan } from '../../src/schema/profile-plan.js';
import type { Profile } from '../../src/schema/profile.js';
import { FakeClock } from '../support/fake-clock.js';
import { modelSpec, profileOf } from '../support/profiles.js';

const [first, second] = ['first', 'second'].map((name) =>
  profileOf([modelSpec('m')], { name, origin: `/p/${name}.yaml`, files: [`/p/${name}.yaml`] }),
) as [Profile, Profile];

const PLAN: ProfilePlan = {
  ...{ profile: '', origin: '', fits: true },
  ...{ models: [], devices: [], problems: [], warnings: [] },
};

interface Scene {
  readonly manager: ProfileManager;
  readonly journal: MemoryJournal;
  readonly applied: string[];
  readonly clock: FakeClock;
  /** Somebody wrote into the folder of the active profile. */
  edit: () => void;
  /** What the file of the first profile holds now; undefined: nothing that can be read. */
  text: Profile | undefined;
  running: number;
  problems: FitProblem[];
  /** Called while the catalog reads. */
  onLoad: () => void;
}

async function scene(journal = new MemoryJournal()): Promise<Scene> {
  await journal.open();
  const applied: string[] = [];
  const state = {
    clock: new FakeClock(),
    edit: (): void => undefined,
    text: first as Profile | undefined,
    running: 0,
    problems: [] as FitProblem[],
    onLoad: (): void => undefined,
  };
  const named = (name: string): Promise<Profile> => {
    state.onLoad();
    const found = [first, second].find((profile) => profile.name === name);
    if (found !== undefined) return Promise.resolve(structuredClone(found));
    return Promise.reject(new LlamaestroError('profile_not_found', name));
  };
  const inspect = (name: string): Promise<never> => Promise.reject(new Error(`nobody inspects ${name}`));
  const load = (origin: string): Promise<Profile> =>
    origin === first.origin && state.text !== undefined
      ? Promise.resolve(structuredClone(state.text))
      : Promise.reject(new LlamaestroError('profile_invalid', `${origin}:1:1: wrong`));
  const catalog: Catalog = { inspect, named, load, forFile: named, list: () => Promise.resolve([]) };
  const manager = createProfileManager({
    catalog,
    clock: state.clock,
    watchFolder: (_folder, onChange) => {
      state.edit = onChange;
      return () => (state.edit = () => undefined);
    },
    plan: ({ name, origin }) => Promise.resolve({ ...PLAN, profile: name, origin, problems: state.problems }),
    journal,
    pool: {
      apply: (profile) => void applied.push(profile.name),
      status: () => ({ models: [], nodes: [], vigil: { eventLoopLagMs: 0, cpuPressure: 0, neglects: [] } }),
    },
    running: () => state.running,
  });
  return Object.assign(state, { manager, journal, applied });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'resolved',
    (error: unknown) => (error instanceof LlamaestroError ? error.code : String(error)),
  );
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

  it('changes while nothing runs', async () => {
    const { manager, applied } = await scene();
    await manager.start(first);
    expect((await manager.activate('second')).name).to.equal('second');
    expect(manager.current().name).to.equal('second');
    expect(applied).to.deep.equal(['first', 'second']);
    expect((await manager.remembered())?.name).to.equal('second');
  });

  it('leaves everything alone when the same profile is asked for again, even under load', async () => {
    const world = await scene();
    await world.manager.start(first);
    world.running = 3;
    expect((await world.manager.activate('first')).name).to.equal('first');
    expect(world.applied).to.deep.equal(['first']);
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
    expect(planned.switch).to.deep.include({ stays: [], steps: [] });
  });

  it('refuses to change under load', async () => {
    const world = await scene();
    await world.manager.start(first);
    world.running = 1;
    expect(await codeOf(world.manager.activate('second'))).to.equal('switch_conflict');
    expect(world.manager.current()).to.equal(first);
    expect((await world.manager.remembered())?.name).to.equal('first');
  });

  it('goes back when a request comes in while the change is written down', async () => {
    const world = await scene();
    await world.manager.start(first);
    const { setState } = world.journal;
    world.journal.setState = function (key, value) {
      world.running = value.includes('second') ? 1 : world.running;
      return setState.call(world.journal, key, value);
    };
    expect(await codeOf(world.manager.activate('second'))).to.equal('switch_conflict');
    expect(world.applied).to.deep.equal(['first']);
    expect((await world.manager.remembered())?.name).to.equal('first');
  });

  it('makes one change at a time', async () => {
    const world = await scene();
    await world.manager.start(first);
    const codes: Promise<string>[] = [];
    world.onLoad = () => {
      world.onLoad = () => undefined;
      codes.push(codeOf(world.manager.activate('second')));
    };
    expect((await world.manager.activate('second')).name).to.equal('second');
    expect(await Promise.all(codes)).to.deep.equal(['switch_conflict']);
    expect(await codeOf(world.manager.activate('first'))).to.equal('resolved');
  });

  it('keeps the old profile when the new one does not exist, and can change afterwards', async () => {
    const { manager } = await scene();
    await manager.start(first);
    expect(await codeOf(manager.activate('third'))).to.equal('profile_not_found');
    expect(manager.current()).to.equal(first);
    expect((await manager.activate('second')).name).to.equal('second');
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
    expect(world.manager.edit()).to.deep.include({
      state: 'waiting',
      plan: { ...PLAN, profile: 'first', origin: first.origin },
    });
    expect(world.manager.current()).to.equal(first);
    expect((await world.manager.reload()).description).to.equal('edited');
    expect(world.manager.current().description).to.equal('edited');
    expect(world.manager.edit()).to.equal(undefined);
    expect(world.applied).to.deep.equal(['first', 'first']);
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

  it('applies one by itself where the profile says so, as soon as no request runs', async () => {
    const world = await edited(other({ reload: 'auto' }), (scene) => (scene.running = 1));
    const edit = world.manager.edit();
    expect(edit?.state === 'waiting' && edit.error?.code).to.equal('switch_conflict');
    world.running = 0;
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
