import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { Engine, EngineDriver } from '../../src/engine/engine.js';
import { VocabularyCache } from '../../src/host/vocabulary-cache.js';

/** A driver that only remembers which files were loaded and closed. */
function recordingDriver(): { driver: EngineDriver; story: string[] } {
  const story: string[] = [];
  const load = async ({ file, purpose }: { file: string; purpose: string }): Promise<Engine> => {
    story.push(`load ${file} ${purpose}`);
    if (file === 'broken') throw new LlamaestroError('model_unusable', 'broken');
    return { info: { file }, close: async () => void story.push(`close ${file}`) } as unknown as Engine;
  };
  return { driver: { load } as unknown as EngineDriver, story };
}

const nothing = async (): Promise<void> => undefined;

describe('VocabularyCache', () => {
  it('loads a file once and keeps it', async () => {
    const { driver, story } = recordingDriver();
    const cache = new VocabularyCache(driver, 2);
    expect(await cache.use('a', async (engine) => engine.info.file)).to.equal('a');
    await Promise.all([cache.use('a', nothing), cache.use('a', nothing)]);
    expect(story).to.deep.equal(['load a vocab']);
  });

  it('closes the one that was not used longest', async () => {
    const { driver, story } = recordingDriver();
    const cache = new VocabularyCache(driver, 2);
    for (const file of ['a', 'b', 'a', 'c', 'a']) await cache.use(file, nothing);
    expect(story).to.deep.equal(['load a vocab', 'load b vocab', 'load c vocab', 'close b']);
  });

  it('never closes one in use, however many there are', async () => {
    const { driver, story } = recordingDriver();
    const cache = new VocabularyCache(driver, 1);
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const long = cache.use('a', () => held);
    await cache.use('b', nothing);
    await cache.use('c', nothing);
    expect(story.filter((line) => line.startsWith('close'))).to.deep.equal(['close b', 'close c']);
    release();
    await long;
    expect(story).not.to.contain('close a');
  });

  it('gives the error of the load to everyone who waits and tries again for the next', async () => {
    const { driver, story } = recordingDriver();
    const cache = new VocabularyCache(driver, 2);
    const outcomes = await Promise.allSettled([cache.use('broken', nothing), cache.use('broken', nothing)]);
    expect(outcomes.map(({ status }) => status)).to.deep.equal(['rejected', 'rejected']);
    await cache.use('broken', nothing).catch(() => undefined);
    expect(story).to.deep.equal(['load broken vocab', 'load broken vocab']);
  });

  it('closes everything at the end', async () => {
    const { driver, story } = recordingDriver();
    const cache = new VocabularyCache(driver, 4);
    await cache.use('a', nothing);
    await cache.use('b', nothing);
    await cache.close();
    expect(story.slice(2)).to.have.members(['close a', 'close b']);
  });
});
