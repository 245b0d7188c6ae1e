/** That the dev profile fits its 24 GB card, by the engine's own simulation on sparse files with the true headers and shapes. */
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { planMemory } from '../../src/engine/index.js';
import { createCatalog } from '../../src/profile/catalog.js';
import { ROLES, type ModelSpec, type Profile } from '../../src/schema/profile.js';
import { devSparseModels } from '../support/models.js';

const PROFILES = fileURLToPath(new URL('../../profiles', import.meta.url));
const CARD_BYTES = 24e9; // cards sold as 24 GB hold 24 GiB; the smaller reading leaves room

describe('e2e: the dev profile', function () {
  this.timeout(180_000);
  let root: string;
  let profile: Profile;
  const bytes = new Map<string, number>();

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'llamaestro-dev-'));
    const folder = await devSparseModels();
    await mkdir(join(root, 'models'));
    await symlink(folder, join(root, 'models', 'dev'));
    profile = await createCatalog({ folders: [PROFILES], modelRoots: [join(root, 'models')] }).load('dev');
    for (const { name, load } of profile.models) {
      const plan = await planMemory({ ...load, gpuLayers: 0, flashAttention: 'on', chunkTokens: 512 });
      const sums = plan.devices.map((device) => device.weightsBytes + device.kvBytes + device.computeBytes);
      bytes.set(
        name,
        sums.reduce((sum, each) => sum + each, 0),
      );
    }
  });
  after(() => rm(root, { recursive: true, force: true }));

  const planned = (model: ModelSpec): number => bytes.get(model.name) ?? Number.NaN;

  it('names a model for each of the ten roles, all files found', () => {
    expect(profile.models.map((model) => model.role).sort()).to.deep.equal([...ROLES].sort());
    expect(profile.models.filter((model) => !model.available).map((model) => dirname(model.load.file))).to.deep.equal(
      [],
    );
  });

  it('keeps router, fast and embedder resident and fits whichever other model comes', () => {
    const residents = profile.models.filter((model) => model.residency === 'resident');
    expect(residents.map((model) => model.role).sort()).to.deep.equal(['embedder', 'fast', 'router']);
    const resident = residents.reduce((sum, model) => sum + planned(model), 0);
    for (const model of profile.models.filter((each) => each.residency === 'on-demand')) {
      expect(resident + planned(model), model.name).to.be.lessThan(CARD_BYTES);
      expect(resident + planned(model), model.name).to.be.at.most(profile.budgets['cuda0'] ?? 0);
    }
  });

  it('plans bytes that match weights of such models, not of toys', () => {
    for (const model of profile.models.filter((each) => each.role === 'coder' || each.role === 'reasoner')) {
      expect(planned(model), model.name).to.be.greaterThan(8e9);
    }
  });
});
