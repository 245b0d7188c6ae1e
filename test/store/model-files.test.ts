import { mkdir, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { createModelLookUp, MAX_REMEMBERED_HEADERS } from '../../src/store/model-facts.js';
import { findModelFile, indexModels, lookAt, MAX_FOLDER_DEPTH } from '../../src/store/model-files.js';
import { withFolder } from '../support/temporary-folder.js';
import { ggufBytes, LLAMA } from './gguf-bytes.js';

const MODEL = ggufBytes({ metadata: LLAMA });

describe('the index of a models folder', () => {
  it('finds GGUF files at any depth, in order, and nothing else', () =>
    withFolder(async (folder) => {
      await mkdir(join(folder, 'b', 'deep'), { recursive: true });
      for (const file of ['z.gguf', 'a.GGUF', 'b/deep/m.gguf', 'readme.md', 'b/x.gguf.part']) {
        await writeFile(join(folder, file), 'x');
      }
      await mkdir(join(folder, 'folder.gguf'));
      await symlink(join(folder, 'z.gguf'), join(folder, 'b', 'link.gguf'));
      await symlink(join(folder, 'gone.gguf'), join(folder, 'dangling.gguf'));
      await symlink(folder, join(folder, 'b', 'loop'));
      const { files, complete } = await indexModels(folder);
      expect(files.map(({ file }) => file)).to.deep.equal(['a.GGUF', 'b/deep/m.gguf', 'b/link.gguf', 'z.gguf']);
      expect(files[0]).to.include({ path: join(folder, 'a.GGUF'), bytes: 1 });
      expect(complete).to.equal(true);
    }));

  it('says when it did not look everywhere', () =>
    withFolder(async (folder) => {
      const deep = join(folder, ...Array.from({ length: MAX_FOLDER_DEPTH + 1 }, (_, index) => `d${index}`));
      await mkdir(deep, { recursive: true });
      await writeFile(join(deep, 'too-deep.gguf'), 'x');
      expect(await indexModels(folder)).to.deep.equal({ files: [], complete: false });
    }));

  it('is empty where there is no folder', async () => {
    expect(await indexModels('/no/such/folder')).to.deep.equal({ files: [], complete: true });
  });
});

describe('finding a model file', () => {
  it('takes the first root that has it, and lists where it looked', () =>
    withFolder(async (folder) => {
      const roots = [join(folder, 'one'), join(folder, 'two')];
      for (const root of roots) await mkdir(join(root, 'demo'), { recursive: true });
      await writeFile(join(folder, 'two', 'demo', 'm.gguf'), 'x');
      const second = await findModelFile('demo/m.gguf', roots);
      expect(second.found?.path).to.equal(join(folder, 'two', 'demo', 'm.gguf'));
      await writeFile(join(folder, 'one', 'demo', 'm.gguf'), 'x');
      const first = await findModelFile('demo/m.gguf', roots);
      expect(first.found?.path).to.equal(join(folder, 'one', 'demo', 'm.gguf'));
      const none = await findModelFile('demo/n.gguf', roots);
      expect(none.found).to.equal(undefined);
      expect(none.tried).to.deep.equal(roots.map((root) => join(root, 'demo', 'n.gguf')));
    }));

  it('takes an absolute path as it is', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'm.gguf');
      await writeFile(path, 'x');
      expect((await findModelFile(path, ['/elsewhere'])).found?.path).to.equal(path);
      expect(await lookAt(folder)).to.equal(undefined);
    }));
});

describe('looking a model up', () => {
  it('tells missing, damaged and good apart', () =>
    withFolder(async (folder) => {
      await writeFile(join(folder, 'good.gguf'), MODEL);
      await writeFile(join(folder, 'damaged.gguf'), MODEL.subarray(0, 50));
      const lookUp = createModelLookUp();
      const states = await Promise.all(['good', 'damaged', 'none'].map((name) => lookUp(`${name}.gguf`, [folder])));
      expect(states.map(({ state }) => state)).to.deep.equal(['good', 'damaged', 'missing']);
      expect(states[1]).to.have.nested.property('error.code', 'model_unusable');
      expect(states[2]).to.include({ path: join(folder, 'none.gguf') });
    }));

  it('notices that a file changed under the same name', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'm.gguf');
      const lookUp = createModelLookUp();
      await writeFile(path, MODEL);
      expect((await lookUp(path, [])).state).to.equal('good');
      await writeFile(path, Buffer.alloc(MODEL.length));
      await utimes(path, 1, 1);
      expect((await lookUp(path, [])).state).to.equal('damaged');
      await rm(path);
      expect((await lookUp(path, [])).state).to.equal('missing');
    }));

  it('remembers a header as long as size and time are the same', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'm.gguf');
      const lookUp = createModelLookUp();
      await writeFile(path, MODEL);
      await utimes(path, 5, 5);
      await lookUp(path, []);
      await writeFile(path, Buffer.alloc(MODEL.length));
      await utimes(path, 5, 5);
      expect((await lookUp(path, [])).state).to.equal('good');
    }));

  it('forgets the one unused the longest when there are too many', () =>
    withFolder(async (folder) => {
      const lookUp = createModelLookUp();
      const path = (index: number): string => join(folder, `m${index}.gguf`);
      await writeFile(path(0), MODEL);
      await utimes(path(0), 5, 5);
      await lookUp(path(0), []);
      for (let index = 1; index <= MAX_REMEMBERED_HEADERS; index++) {
        await rename(path(index - 1), path(index));
        await lookUp(path(index), []);
      }
      await writeFile(path(0), Buffer.alloc(MODEL.length));
      await utimes(path(0), 5, 5);
      expect((await lookUp(path(0), [])).state).to.equal('damaged');
    }));
});
