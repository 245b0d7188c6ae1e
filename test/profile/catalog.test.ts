import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { createCatalog } from '../../src/profile/catalog.js';
import { ROLES } from '../../src/schema/profile.js';
import { demoModels, tinyModel } from '../support/models.js';
import { withFolder } from '../support/temporary-folder.js';

const SHIPPED = fileURLToPath(new URL('../../profiles', import.meta.url));
const yaml = (name: string, more = ''): string =>
  `version: 1\nname: ${name}\nmodels:\n  fast: { file: fast.gguf }\nflow: { default: fast }\n${more}`;

async function failureOf(promise: Promise<unknown>): Promise<LlamaestroError> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome instanceof LlamaestroError) return outcome;
  throw new Error(`it did not fail as it should: ${String(outcome)}`);
}

describe('the shipped profiles', () => {
  it('demo: ten roles, every file there once the demo models are made', async () => {
    const catalog = createCatalog({ folders: [SHIPPED], modelRoots: [await demoModels()] });
    const demo = await catalog.load('demo');
    expect(demo.models.map((model) => model.role)).to.have.members([...ROLES]);
    expect(demo.models.filter((model) => !model.available)).to.deep.equal([]);
    expect(demo.warnings).to.deep.equal([]);
  });

  it('dev: ten roles, listed although its files are not there', async () => {
    const dev = await createCatalog({ folders: [SHIPPED], modelRoots: ['/no/models'] }).load('dev');
    expect(dev.models.map((model) => model.role)).to.have.members([...ROLES]);
    expect(dev.models.every((model) => !model.available)).to.equal(true);
    expect(dev.warnings).to.have.length(10);
    expect(dev.models.filter((model) => model.residency === 'resident').map((model) => model.name)).to.have.members([
      'router',
      'fast',
      'embedder',
    ]);
  });
});

describe('the catalog of profiles', () => {
  it('finds a profile by name in the first folder that has it, and by path anywhere', () =>
    withFolder(async (folder) => {
      const [mine, shipped] = [join(folder, 'mine'), join(folder, 'shipped')];
      for (const path of [mine, shipped]) await mkdir(path);
      await writeFile(join(mine, 'demo.yaml'), yaml('demo', 'description: mine\n'));
      await writeFile(join(shipped, 'demo.yaml'), yaml('demo', 'description: shipped\n'));
      await writeFile(join(shipped, 'other.yml'), yaml('other'));
      await writeFile(join(folder, 'outside.yaml'), yaml('any-name'));
      const catalog = createCatalog({ folders: [mine, shipped, join(folder, 'none')], modelRoots: [] });
      expect((await catalog.load('demo')).description).to.equal('mine');
      expect((await catalog.load('other')).origin).to.equal(join(shipped, 'other.yml'));
      expect((await catalog.load(join(folder, 'outside.yaml'))).name).to.equal('any-name');
      expect((await catalog.list()).map(({ name, description }) => [name, description])).to.deep.equal([
        ['demo', 'mine'],
        ['other', ''],
      ]);
    }));

  it('lists the names there are when one is unknown', () =>
    withFolder(async (folder) => {
      for (const name of ['demo', 'dev']) await writeFile(join(folder, `${name}.yaml`), yaml(name));
      const catalog = createCatalog({ folders: [folder], modelRoots: [] });
      const error = await failureOf(catalog.load('demoo'));
      expect(error).to.include({
        code: 'profile_not_found',
        remedy: 'Use one of: demo, dev; or the path of a YAML file.',
      });
      expect(error.message).to.contain("did you mean 'demo'?");
      expect(error.details).to.deep.equal({ names: ['demo', 'dev'] });
      const byPath = await failureOf(catalog.load(join(folder, 'none.yaml')));
      expect(byPath).to.include({ code: 'profile_not_found' });
      expect(byPath.message).to.contain(join(folder, 'none.yaml'));
    }));

  it('opens no file outside its folders for a mere name', () =>
    withFolder(async (folder) => {
      await mkdir(join(folder, 'in'));
      await writeFile(join(folder, 'out.yaml'), yaml('out'));
      const catalog = createCatalog({ folders: [join(folder, 'in')], modelRoots: [] });
      for (const name of ['../out', join(folder, 'out.yaml'), 'out.yaml', '']) {
        expect((await failureOf(catalog.named(name))).code, name).to.equal('profile_not_found');
      }
    }));

  it('names file, line and column of every problem, in the order of the file', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'bad.yaml');
      const text = [
        'version: 1',
        'name: bad',
        'models:',
        '  fast:',
        '    file: f.gguf',
        '    slot: 2',
        '    threads: many',
        'flow:',
        '  default: fats',
      ].join('\n');
      await writeFile(path, text);
      const error = await failureOf(createCatalog({ folders: [folder], modelRoots: [] }).load('bad'));
      expect(error.code).to.equal('profile_invalid');
      expect(error.param).to.equal('models.fast.slot');
      expect(error.message).to.equal(`${path}:6:5: unknown key 'slot': did you mean 'slots'? (and 1 more)`);
      expect(error.details?.['problems']).to.deep.equal([
        {
          path: 'models.fast.slot',
          line: 6,
          column: 5,
          message: "unknown key 'slot': did you mean 'slots'?",
          remedy: "Write 'slots', or remove the key.",
        },
        {
          path: 'models.fast.threads',
          line: 7,
          column: 14,
          message: 'must be a whole number from 1 to 512, got "many"',
          remedy: 'Write a whole number from 1 to 512.',
        },
      ]);
      await writeFile(path, text.replace('slot:', 'slots:').replace('many', '4'));
      const second = await failureOf(createCatalog({ folders: [folder], modelRoots: [] }).load('bad'));
      expect(second.message).to.contain(`${path}:9:12: there is no model 'fats'`);
    }));

  it('lists a broken profile with its error beside the good ones', () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, 'good.yaml'), yaml('good'));
      await writeFile(join(folder, 'broken.yaml'), 'version: 1\nname: [\n');
      await writeFile(join(folder, 'notes.txt'), 'not a profile');
      const [broken, good, ...others] = await createCatalog({ folders: [folder], modelRoots: [] }).list();
      expect(others).to.deep.equal([]);
      expect(broken)
        .to.include({ name: 'broken', valid: false })
        .and.to.have.nested.property('error.code', 'profile_invalid');
      expect(good).to.deep.include({
        name: 'good',
        valid: true,
        models: [{ name: 'fast', role: 'general', available: false }],
      });
    }));

  it('wants the name of a profile to be that of its file', () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, 'one.yaml'), yaml('two'));
      const error = await failureOf(createCatalog({ folders: [folder], modelRoots: [] }).load('one'));
      expect(error.message).to.contain("one.yaml:2:7: the name is 'two', but the file is called one.yaml");
    }));

  it('refuses what is no text and what is no file', () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, 'binary.yaml'), Buffer.from([0x6e, 0xff, 0xfe, 0x00]));
      await mkdir(join(folder, 'folder.yaml'));
      const catalog = createCatalog({ folders: [folder], modelRoots: [] });
      const binary = await failureOf(catalog.load('binary'));
      expect(binary).to.include({ code: 'profile_invalid' });
      expect(binary.message).to.contain('the file is not UTF-8 text');
      expect((await failureOf(catalog.load('folder'))).code).to.equal('profile_invalid');
    }));

  it('looks for model files in the models folder first, then beside the profile', () =>
    withFolder(async (folder) => {
      const [profiles, models] = [join(folder, 'profiles'), join(folder, 'models')];
      for (const path of [profiles, models]) await mkdir(path);
      await writeFile(join(profiles, 'p.yaml'), yaml('p'));
      const fileOf = async (): Promise<readonly [string | undefined, boolean | undefined]> => {
        const [model] = (await createCatalog({ folders: [profiles], modelRoots: [models] }).load('p')).models;
        return [model?.load.file, model?.available];
      };
      expect(await fileOf()).to.deep.equal([join(models, 'fast.gguf'), false]);
      await writeFile(join(profiles, 'fast.gguf'), 'x');
      expect(await fileOf()).to.deep.equal([join(profiles, 'fast.gguf'), true]);
      await writeFile(join(models, 'fast.gguf'), 'x');
      expect(await fileOf()).to.deep.equal([join(models, 'fast.gguf'), true]);
    }));

  it('makes a profile up for a real file, and refuses one that is no model', async () => {
    const catalog = createCatalog({ folders: [], modelRoots: [] });
    const profile = await catalog.forFile(await tinyModel(), { contextTokens: 2048, slots: 2 });
    expect(profile.models[0]).to.include({ name: 'tiny', available: true });
    expect((await failureOf(catalog.forFile(fileURLToPath(import.meta.url)))).code).to.equal('model_unusable');
    expect((await failureOf(catalog.forFile('/no/such.gguf'))).code).to.equal('model_unusable');
  });
});
