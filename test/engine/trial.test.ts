/** What a trial says about good, bad and deadly files, and that none of them touches this process. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { systemClock } from '../../src/base/system-ports.js';
import { loadModel, tryModel as tryPublic } from '../../src/engine/index.js';
import { tryModel } from '../../src/engine/trial.js';
import { mapHeader } from '../fuzz/header-map.js';
import { embedderModel, rerankerModel, tinyModel } from '../support/models.js';
import { hasAddon } from './native-subject.js';
import { expectError } from './run-sequence.js';

const CHILD = fileURLToPath(new URL('./trial-child.ts', import.meta.url));

describe('trial of a model file', function () {
  this.timeout(60_000);
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), 'llamaestro-trial-'))));
  after(() => rmSync(folder, { recursive: true }));

  const bad: readonly [file: string, says: string][] = [
    ['aborts', 'SIGABRT): ops.c:1: GGML_ASSERT(x) failed'],
    ['crashes', 'SIGSEGV'],
    ['exits', 'status 3'],
  ];
  for (const [way, says] of bad) {
    it(`says how the process ended that the file ended: it ${way}`, async () => {
      const parts = { entry: CHILD, clock: systemClock };
      const error = await expectError('model_unusable', () =>
        tryModel({ file: `/models/${way}`, purpose: 'generate' }, {}, parts),
      );
      expect(error.message).to.include(`/models/${way}`).and.include(says).and.not.include('/a/folder');
    });
  }

  it('ends one that takes too long, and one that is cancelled', async () => {
    const parts = { entry: CHILD, clock: systemClock };
    const options = { file: '/models/hangs', purpose: 'generate' } as const;
    const error = await expectError('model_unusable', () => tryModel(options, { timeoutMs: 1500 }, parts));
    expect(error.message).to.include('1500 ms');
    const abort = new AbortController();
    const trial = tryModel(options, { signal: abort.signal }, parts);
    setTimeout(() => abort.abort(), 500);
    await expectError('cancelled', () => trial);
    await expectError('cancelled', () => tryModel(options, { signal: AbortSignal.abort() }, parts));
  });

  it('says so when no process starts', async () => {
    const parts = { entry: join(folder, 'nowhere.js'), clock: systemClock };
    await expectError('load_failed', () => tryModel({ file: '/models/any', purpose: 'generate' }, {}, parts));
  });

  it('checks what it is asked', async () => {
    const options = { file: '/models/any', purpose: 'generate' } as const;
    expect((await expectError('invalid_request', () => tryModel(options, { timeoutMs: 1 }))).param).to.equal(
      'timeoutMs',
    );
    expect((await expectError('invalid_request', () => tryModel({ ...options, slots: 0 }))).param).to.equal('slots');
  });

  describe('with the addon', () => {
    before(function () {
      if (!hasAddon) this.skip();
    });

    it('passes good files of every purpose', async () => {
      await tryPublic({ file: await tinyModel(), purpose: 'generate' }, { memoryBytes: 2 ** 30 });
      await tryPublic({ file: await tinyModel(), purpose: 'vocab' });
      await tryPublic({ file: await embedderModel(), purpose: 'embed' });
      await tryPublic({ file: await rerankerModel(), purpose: 'rerank' });
      const engine = await loadModel(
        { file: await tinyModel(), purpose: 'generate', contextTokens: 256 },
        { untrusted: true },
      );
      await engine.close();
    });

    it('refuses weights that compute no numbers, before they are loaded here', async () => {
      const whole = readFileSync(await tinyModel());
      whole.fill(0xff, mapHeader(whole).dataAt);
      const file = join(folder, 'nan.gguf');
      writeFileSync(file, whole);
      const error = await expectError('model_unusable', () =>
        loadModel({ file, purpose: 'generate' }, { untrusted: { timeoutMs: 60_000 } }),
      );
      expect(error.message).to.include('not a finite number');
    });

    it('refuses what is no model and what takes more than it may, in the same words as a load', async () => {
      const file = join(folder, 'broken.gguf');
      writeFileSync(file, 'GGUF and nothing else');
      await expectError('model_unusable', () => tryPublic({ file, purpose: 'generate' }));
      const tiny = await tinyModel();
      await expectError('does_not_fit', () => tryPublic({ file: tiny, purpose: 'generate' }, { memoryBytes: 1000 }));
    });
  });
});
