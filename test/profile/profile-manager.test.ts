import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { MemoryJournal } from '../../src/journal/memory-journal.js';
import type { Catalog } from '../../src/profile/catalog.js';
import { createProfileManager, type ProfileManager } from '../../src/profile/profile-manager.js';
import type { FitProblem, ProfilePlan } from '../../src/schema/profile-plan.js';
import type { Profile } from '../../src/schema/profile.js';
import { modelSpec, profileOf } from '../support/profiles.js';

const [first, second] = ['first', 'second'].map((name) =>
  profileOf([modelSpec('m')], { name, origin: `/p/${name}.yaml` }),
) as [Profile, Profile];

const PLAN: ProfilePlan = {
  ...{ profile: '', origin: '', fits: true },
  ...{ models: [], devices: [], problems: [], warnings: [] },
};

interface Scene {
  readonly manager: ProfileManager;
  readonly journal: MemoryJournal;
  readonly applied: string[];
  running: number;
  problems: FitProblem[];
  /** Called while the catalog reads. */
  onLoad: () => void;
}

async function scene(journal = new MemoryJournal()): Promise<Scene> {
  await journal.open();
  const applied: string[] = [];
  const state = { running: 0, problems: [] as FitProblem[], onLoad: (): void => undefined };
  const named = (name: string): Promise<Profile> => {
    state.onLoad();
    const found = [first, second].find((profile) => profile.name === name);
    if (found !== undefined) return Promise.resolve(structuredClone(found));
    return Promise.reject(new LlamaestroError('profile_not_found', name));
  };
  const inspect = (name: string): Promise<never> => Promise.reject(new Error(`nobody inspects ${name}`));
  const catalog: Catalog = { inspect, named, load: named, forFile: named, list: () => Promise.resolve([]) };
  const manager = createProfileManager({
    catalog,
    plan: ({ name, origin }) => Promise.resolve({ ...PLAN, profile: name, origin, problems: state.problems }),
    journal,
    pool: { apply: (profile) => void applied.push(profile.name) },
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
    expect((await world.manager.plan('second')).problems).to.deep.equal(world.problems);
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
