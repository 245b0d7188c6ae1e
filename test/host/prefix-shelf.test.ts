/** Prefixes from one engine to the next over a real folder, with everything that may be wrong with it. */
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../src/base/log.js';
import { createFakeDriver } from '../../src/engine/fake-driver.js';
import type { Engine, EngineDriver } from '../../src/engine/engine.js';
import { PrefixShelf } from '../../src/host/prefix-shelf.js';
import { HOST_LIMITS } from '../../src/schema/config.js';
import type { LoadOptions } from '../../src/schema/load.js';
import { FakeClock, seededRandom } from '../support/fake-clock.js';

const LOAD: LoadOptions = { file: '/models/a.gguf', purpose: 'generate' };
const PROMPT = { kind: 'text', text: 'x'.repeat(300) } as const;
/** Whole blocks of the prompt. */
const KEPT_TOKENS = 256;

describe('prefix-shelf', () => {
  let folder: string;
  let clock: FakeClock;
  let driver: EngineDriver;

  beforeEach(async () => {
    folder = join(await mkdtemp(join(tmpdir(), 'llamaestro-shelf-')), 'prefixes');
    clock = new FakeClock();
    driver = createFakeDriver({ clock, random: seededRandom(1) });
  });
  afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }));

  const shelf = (maxBytes = 2 ** 30, build = 'one'): PrefixShelf =>
    new PrefixShelf({ folder, maxBytes, build, clock, log: silentLogger });

  async function engineOf(load = LOAD): Promise<Engine> {
    let engine: Engine | undefined;
    void driver.load(load).then((loaded) => (engine = loaded));
    await clock.runUntil(() => engine !== undefined);
    if (engine === undefined) throw new Error('no engine');
    return engine;
  }

  /** An engine that has read a prompt. */
  async function used(load = LOAD): Promise<Engine> {
    const engine = await engineOf(load);
    let isOver = false;
    engine.submit({ prompt: PROMPT, maxTokens: 1 }, ({ type }) => (isOver ||= type === 'finished'));
    await clock.runUntil(() => isOver);
    return engine;
  }

  async function theFile(): Promise<string> {
    const names = await readdir(folder);
    expect(names).to.have.length(1);
    return join(folder, names[0] ?? '');
  }

  it('carries prefixes from one host of a configuration to the next, and to the one after', async () => {
    await shelf().save(await used(), LOAD);
    const stepLock = { ...LOAD, stepLock: '/run/lock' };
    for (let life = 0; life < 2; life++)
      expect(await shelf().restore(await engineOf(), stepLock)).to.equal(KEPT_TOKENS);
    expect((await stat(folder)).mode & 0o077, 'prompts are nobody else’s business').to.equal(0);
  });

  it('has the next load take the prefill grid of what it kept, whatever it would measure', async () => {
    const measured = { ...LOAD, measuredChunkTokens: 64 };
    await shelf().save(await used(measured), measured);
    const prepared = await shelf().prepare(LOAD);
    expect(prepared).to.deep.equal(measured);
    expect(await shelf().restore(await engineOf(prepared), LOAD)).to.equal(KEPT_TOKENS);
    const named = { ...LOAD, chunkTokens: 32 };
    for (const load of [named, { ...LOAD, measuredChunkTokens: 128 }, { ...LOAD, slots: 2 }]) {
      expect(await shelf().prepare(load)).to.equal(load);
    }
    const kept = await theFile();
    await writeFile(kept.replace('.64.', '.5.'), '');
    await writeFile(kept.replace('.64.', '.x.'), '');
    expect(await shelf().prepare(LOAD), 'what somebody else put there').to.deep.equal(measured);
    for (const name of ['.5.', '.x.']) await rm(kept.replace('.64.', name));
    const other = { ...LOAD, measuredChunkTokens: 128 };
    expect(await shelf().restore(await engineOf(other), other), 'another grid').to.equal(0);
    await shelf().save(await used(other), other);
    expect((await theFile()).endsWith('.128.prefixes'), 'it takes the place of the former').to.equal(true);
  });

  it('keeps configurations, files and builds apart', async () => {
    await shelf().save(await used(), LOAD);
    const others: LoadOptions[] = [
      { ...LOAD, contextTokens: 128 },
      { ...LOAD, file: '/models/b.gguf' },
      { ...LOAD, adapters: [{ name: 'a', file: '/models/lora.gguf' }] },
    ];
    for (const other of others) expect(await shelf().restore(await engineOf(), other)).to.equal(0);
    expect(await shelf(2 ** 30, 'two').restore(await engineOf(), LOAD)).to.equal(0);
    expect(await shelf().restore(await engineOf(), LOAD)).to.equal(KEPT_TOKENS);
  });

  it('notices that a file was replaced by another of the same name', async () => {
    const file = join(folder, '..', 'model.gguf');
    await writeFile(file, 'one');
    const load = { ...LOAD, file };
    await shelf().save(await used(load), load);
    expect(await shelf().restore(await engineOf(load), load)).to.equal(KEPT_TOKENS);
    await writeFile(file, 'other');
    expect(await shelf().restore(await engineOf(load), load)).to.equal(0);
  });

  it('refuses a damaged file, deletes it, and goes on', async () => {
    await shelf().save(await used(), LOAD);
    await writeFile(await theFile(), 'garbage');
    expect(await shelf().restore(await engineOf(), LOAD)).to.equal(0);
    expect(await readdir(folder)).to.deep.equal([]);
  });

  it('does not try again what ended the process the first time', async () => {
    await shelf().save(await used(), LOAD);
    const engine = await engineOf();
    const stuck = {
      ...engine,
      stats: () => engine.stats(),
      restorePrefixes: () => new Promise<never>(() => undefined),
    };
    void shelf().restore(stuck as unknown as Engine, LOAD);
    while (!(await readdir(folder)).some((name) => name.endsWith('.tried'))) await new Promise(setImmediate);
    expect(await shelf().restore(await engineOf(), LOAD)).to.equal(0);
  });

  it('waits no longer than it may', async () => {
    const engine = await used();
    const asked: AbortSignal[] = [];
    const never = (signal: AbortSignal | undefined): Promise<never> => {
      if (signal !== undefined) asked.push(signal);
      return new Promise(() => undefined);
    };
    const stuck = {
      ...{ info: engine.info, stats: () => engine.stats() },
      savePrefixes: (_file: string, _only: undefined, signal?: AbortSignal) => never(signal),
    };
    let isOver = false;
    void shelf()
      .save(stuck as unknown as Engine, LOAD)
      .then(() => (isOver = true));
    while (asked.length === 0) await new Promise(setImmediate);
    clock.advance(HOST_LIMITS.prefixSaveMs - 1);
    await new Promise(setImmediate);
    expect(isOver).to.equal(false);
    clock.advance(1);
    while (!isOver) await new Promise(setImmediate);
    expect(asked[0]?.aborted).to.equal(true);
  });

  it('saves neither nothing nor too much, and lets the least used go', async () => {
    await shelf().save(await engineOf(), LOAD);
    const engine = await used();
    await shelf(engine.stats().prefixBytes).save(engine, LOAD);
    expect(await readdir(folder).catch(() => [])).to.deep.equal([]);
    await shelf().save(engine, LOAD);
    const first = await theFile();
    await utimes(first, 1, 1);
    const bytes = (await readFile(first)).byteLength;
    const other = { ...LOAD, contextTokens: 2048 };
    await shelf(Math.max(bytes, 3 * engine.stats().prefixBytes)).save(await used(other), other);
    expect(await theFile()).to.not.equal(first);
  });

  it('is never in the way', async () => {
    await writeFile(folder, 'a file where the folder should be');
    await shelf().save(await used(), LOAD);
    expect(await shelf().restore(await engineOf(), LOAD)).to.equal(0);
    await rm(folder);
    const without = { ...LOAD, prefixCacheBytes: 0 };
    await shelf().save(await used(without), without);
    expect(await shelf().restore(await engineOf(without), without)).to.equal(0);
  });
});
