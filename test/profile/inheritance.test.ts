import { basename, dirname, join } from 'node:path';
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { MAX_CHAIN, readMerged, type MergedProfile } from '../../src/profile/inheritance.js';

/** Profiles as texts by path; a name is looked up in every folder, in the order of the paths. */
function merge(texts: Readonly<Record<string, string>>, path = '/p/child.yaml'): Promise<MergedProfile> {
  return readMerged(path, {
    readText: (file) =>
      texts[file] === undefined
        ? Promise.reject(new LlamaestroError('profile_not_found', file))
        : Promise.resolve(texts[file]),
    named: (name) => Promise.resolve(Object.keys(texts).filter((file) => basename(file, '.yaml') === name)),
  });
}

async function faultOf(texts: Readonly<Record<string, string>>): Promise<LlamaestroError> {
  const outcome = await merge(texts).catch((thrown: unknown) => thrown);
  if (outcome instanceof LlamaestroError) return outcome;
  throw new Error('it was merged');
}

describe('profiles that extend others', () => {
  const base =
    'version: 1\nname: base\ndescription: d\nmodels:\n  a: { file: a, slots: 2 }\n  b: { file: b }\nlist: [1, 2]\n';

  it('merge mappings, replace the rest, and lose what null takes away', async () => {
    const child =
      'version: 1\nname: child\nextends: base\nmodels:\n  a: { slots: 4 }\n  b: ~\n  c: { file: c }\nlist: [3]\n';
    const { data, files } = await merge({ '/p/child.yaml': child, '/q/base.yaml': base });
    expect(data).to.deep.equal({
      version: 1,
      name: 'child',
      extends: 'base',
      models: { a: { file: 'a', slots: 4 }, c: { file: 'c' } },
      list: [3],
    });
    expect(files).to.deep.equal(['/p/child.yaml', '/q/base.yaml']);
    expect(Object.keys((data as { models: object }).models), 'in the order of the base').to.deep.equal(['a', 'c']);
  });

  it('inherit neither name nor version nor description', async () => {
    const { data } = await merge({ '/p/child.yaml': 'extends: base\n', '/p/base.yaml': base });
    expect(data).to.have.all.keys('extends', 'models', 'list');
  });

  it('keep a null that takes nothing away, so that it is found', async () => {
    const { data } = await merge({ '/p/child.yaml': 'extends: base\nmodels: { z: ~ }\n', '/p/base.yaml': base });
    expect((data as { models: { z: unknown } }).models.z).to.equal(null);
  });

  it('may name a path beside them, and a namesake further down the line', async () => {
    const beside = { '/p/child.yaml': 'extends: ../q/base.yaml\n', '/q/base.yaml': base };
    expect((await merge(beside)).files[1]).to.equal(join(dirname('/p'), 'q/base.yaml'));
    const namesakes = { '/p/child.yaml': 'extends: child\n', '/q/child.yaml': base };
    expect((await merge(namesakes)).files).to.deep.equal(['/p/child.yaml', '/q/child.yaml']);
  });

  it('know in which file a thing is written', async () => {
    const child = 'name: child\nextends: base\nmodels:\n  a:\n    slots: 4\n';
    const { locate } = await merge({ '/p/child.yaml': child, '/q/base.yaml': base });
    const at = (path: string): unknown => {
      const { file, position } = locate({ path, message: '', remedy: '' });
      return [file, position?.line, position?.column];
    };
    expect(at('models.a.slots')).to.deep.equal([undefined, 5, 12]);
    expect(at('models.a.file')).to.deep.equal(['/q/base.yaml', 5, 14]);
    expect(at('models.b.context')).to.deep.equal(['/q/base.yaml', 6, 3]);
    expect(at('list[1]')).to.deep.equal(['/q/base.yaml', 7, 11]);
    expect(at('flow')).to.deep.equal([undefined, 1, 1]);
  });

  it('refuse a circle, with the way around it', async () => {
    const error = await faultOf({
      '/p/child.yaml': 'name: child\nextends: one\n',
      '/p/one.yaml': 'extends: two\n',
      '/p/two.yaml': 'name: two\nextends: one\n',
    });
    expect(error.code).to.equal('profile_invalid');
    expect(error.message).to.equal(
      "/p/two.yaml:2:10: 'extends' leads in a circle: /p/one.yaml, /p/two.yaml, /p/one.yaml",
    );
    const self = await faultOf({ '/p/child.yaml': 'extends: child\n' });
    expect(self.message).to.contain('circle: /p/child.yaml, /p/child.yaml');
  });

  it('refuse a parent that does not exist, and a line without end', async () => {
    const error = await faultOf({ '/p/child.yaml': 'name: child\nextends: nobody\n' });
    expect(error.message).to.equal("/p/child.yaml:2:10: there is no profile 'nobody' to extend");
    const names = Array.from({ length: MAX_CHAIN + 1 }, (_, index) => (index === 0 ? 'child' : `p${index}`));
    const line = names.map((name, index) => [`/p/${name}.yaml`, `extends: p${index + 1}\n`] as const);
    expect((await faultOf(Object.fromEntries(line))).message).to.contain(`more than ${MAX_CHAIN} profiles`);
  });
});
