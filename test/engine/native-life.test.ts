import { execFile } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { defaultAddonPath } from '../../src/engine/addon-loader.js';
import { scriptedModel, scriptedSentence, tinyModel } from '../support/models.js';
import { withFolder } from '../support/temporary-folder.js';
import { hasAddon } from './native-subject.js';

// Only a hang reaches it.
const HANG_MS = 50_000;
const CHILD = fileURLToPath(new URL('./life-child.ts', import.meta.url));

interface Outcome {
  readonly status: number | string | null;
  readonly said: Readonly<Record<string, unknown>>;
}

/** Runs one try in a process of its own; what it said last, as JSON. */
function attempt(...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const words = ['--expose-gc', '--import', 'tsx', CHILD, ...args];
    execFile(process.execPath, words, { timeout: HANG_MS }, (error, stdout, stderr) => {
      const status = error === null ? 0 : (error.signal ?? error.code ?? null);
      const line = stdout.trimEnd().split('\n').at(-1) ?? '';
      if (line === '') reject(new Error(`nothing was said (${String(status)}): ${stderr}`));
      else resolve({ status, said: JSON.parse(line) as Outcome['said'] });
    });
  });
}

describe('native engine: life in its process', function () {
  this.timeout(60_000);
  before(function () {
    if (!hasAddon) this.skip();
  });

  it('frees an engine that was forgotten', async function () {
    if (process.platform !== 'linux') this.skip();
    const { status, said } = await attempt('forget-engine', await tinyModel());
    expect(said).to.deep.equal({ grown: true, freed: true });
    expect(status).to.equal(0);
  });

  it('cancels a stream that was forgotten, and not one that somebody reads', async () => {
    const forgotten = await attempt('forget-stream', await tinyModel());
    expect(forgotten.said).to.deep.equal({ ended: true, early: true });
    const read = await attempt('read-stream', await tinyModel());
    expect(read.said).to.deep.equal({ generated: 200, pieces: true });
  });

  it('frees an engine that was forgotten together with its running stream', async function () {
    if (process.platform !== 'linux') this.skip();
    const { said } = await attempt('forget-both', await tinyModel());
    expect(said).to.deep.equal({ grown: true, freed: true });
  });

  it('keeps the process alive until the last of several answers', async () => {
    const { status, said } = await attempt('await-answers', await tinyModel());
    expect(said).to.deep.equal({ answers: 4 });
    expect(status).to.equal(0);
  });

  it('lives beside another copy of the addon, and both end with the process', async () => {
    await withFolder(async (folder) => {
      const other = join(folder, 'other.node');
      copyFileSync(defaultAddonPath, other);
      const { status, said } = await attempt('two-addons', await scriptedModel(), other);
      const sentence = scriptedSentence();
      expect(said).to.deep.equal({ different: true, texts: [sentence, sentence], lines: [true, true] });
      expect(status).to.equal(7);
    });
  });

  it('shares weights with a worker, and each keeps them when the other goes', async () => {
    const { said } = await attempt('share-weights', await tinyModel());
    const text = said['text'];
    expect(said['inWorker']).to.deep.equal({ shared: true, text });
    expect(said['alone']).to.deep.equal({ shared: false, text });
    expect(said).to.include({ shared: true, counted: true, same: true });
  });

  it('sends the log to every environment that asked, from its level upwards', async () => {
    const { status, said } = await attempt('logs', await tinyModel());
    const { debug, info, error } = said['first'] as { debug: number; info: number; error: number };
    expect(info).to.be.greaterThan(10);
    expect(debug).to.be.at.least(info);
    expect(error).to.equal(0);
    expect(said['infoAfter']).to.equal(0);
    expect(said['debugAfter']).to.be.greaterThan(0);
    expect(said['inWorker']).to.be.greaterThan(10);
    expect(status).to.equal(0);
  });

  it('counts the lines of the log that a busy event loop lost', async () => {
    const { said } = await attempt('lost-logs', await tinyModel());
    expect(said['heard']).to.equal(true);
    expect(said['lost']).to.be.a('number').that.is.greaterThan(0);
  });
});
