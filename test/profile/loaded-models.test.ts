import { expect } from 'chai';
import { silentLogger } from '../../src/base/log.js';
import { MemoryJournal } from '../../src/journal/memory-journal.js';
import type { Pool } from '../../src/pool/pool.js';
import { LOADED_KEY, LoadedModels, LOOK_MS } from '../../src/profile/loaded-models.js';
import { FakeClock, settle } from '../support/fake-clock.js';
import { modelSpec, profileOf } from '../support/profiles.js';

const PROFILE = profileOf(
  [modelSpec('a'), modelSpec('b'), modelSpec('r', { residency: 'resident' }), modelSpec('gone', { available: false })],
  { name: 'p' },
);

interface World {
  readonly clock: FakeClock;
  readonly journal: MemoryJournal;
  readonly loaded: LoadedModels;
  readonly warmed: string[];
  ready: string[];
  failed: string[];
}

async function world(journal = new MemoryJournal(), name = 'p'): Promise<World> {
  await journal.open();
  const own = {
    clock: new FakeClock(),
    journal,
    warmed: [] as string[],
    ready: [] as string[],
    failed: [] as string[],
  };
  const pool = {
    status: () => ({
      models: [
        ...own.ready.map((name) => ({ name, state: 'ready' })),
        ...own.failed.map((name) => ({ name, state: 'failed' })),
      ],
    }),
    warm: (model: string) => {
      own.warmed.push(model);
      return model === 'a' ? Promise.reject(new Error('no room')) : Promise.resolve();
    },
  } as unknown as Pick<Pool, 'status' | 'warm'>;
  const current = (): typeof PROFILE => ({ ...PROFILE, name });
  return Object.assign(own, { loaded: new LoadedModels({ ...own, pool, current, log: silentLogger }) });
}

describe('the models that were loaded', () => {
  it('are loaded again after a restart, resident ones and those whose file is gone left out, whatever one of them says', async () => {
    const before = await world();
    await before.loaded.restore();
    before.ready = ['a', 'b', 'r', 'gone'];
    await before.clock.run(LOOK_MS + 10);
    const after = await world(before.journal.clone());
    await after.loaded.restore();
    expect(after.warmed).to.deep.equal(['a', 'b']);
  });

  it('are forgotten when they leave, and nobody else’s business', async () => {
    const before = await world();
    await before.loaded.restore();
    before.ready = ['a', 'b'];
    await before.clock.run(LOOK_MS + 10);
    const other = await world(before.journal.clone(), 'another profile');
    await other.loaded.restore();
    expect(other.warmed).to.deep.equal([]);
    before.ready = ['b'];
    await before.clock.run(LOOK_MS + 10);
    const after = await world(before.journal.clone());
    await after.loaded.restore();
    expect(after.warmed).to.deep.equal(['b']);
  });

  it('are left alone where their last load failed: how often is not forgotten', async () => {
    const before = await world();
    await before.loaded.restore();
    before.ready = ['a', 'b'];
    await before.clock.run(LOOK_MS + 10);
    const after = await world(before.journal.clone());
    after.failed = ['a'];
    await after.loaded.restore();
    expect(after.warmed).to.deep.equal(['b']);
  });

  for (const text of ['{"profile":"p","mod', 'null', '{"profile":"p","models":7}']) {
    it(`are nobody’s worry when what is stored is ${text}, and are noted again`, async () => {
      const own = await world();
      await own.journal.setStates({ [LOADED_KEY]: text });
      await own.loaded.restore();
      expect(own.warmed).to.deep.equal([]);
      own.ready = ['b'];
      await own.clock.run(LOOK_MS + 10);
      const after = await world(own.journal.clone());
      await after.loaded.restore();
      expect(after.warmed).to.deep.equal(['b']);
    });
  }

  it('are written down once the disk takes it again, and no timer is left at the end', async () => {
    const own = await world();
    await own.loaded.restore();
    own.journal.failing = true;
    own.ready = ['b'];
    await own.clock.run(LOOK_MS + 10);
    own.journal.failing = false;
    await own.clock.run(LOOK_MS + 10);
    await settle();
    own.loaded.close();
    expect(own.clock.pendingTimers).to.equal(0);
    const after = await world(own.journal.clone());
    await after.loaded.restore();
    expect(after.warmed).to.deep.equal(['b']);
  });
});
