import { mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { createModelLookUp, MAX_REMEMBERED_HEADERS } from '../../src/store/model-facts.js';
import { findModelFile, lookAt } from '../../src/store/model-files.js';
import { withFolder } from '../support/temporary-folder.js';
import { ggufBytes, LLAMA } from './gguf-bytes.js';

const MODEL = ggufBytes({ metadata: LLAMA });

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
