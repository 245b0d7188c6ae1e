import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { scriptedModel, scriptedSentence } from '../support/models.js';
import { hasAddon } from './native-subject.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));

describe('examples/stream.mjs', () => {
  before(function () {
    if (!hasAddon || !existsSync(`${root}dist/engine/index.js`)) this.skip();
  });

  it('loads, streams, aborts after n tokens and closes, through the package exports', async () => {
    const file = await scriptedModel();
    const { stdout } = await run(process.execPath, ['examples/stream.mjs', file, 'Who are you?', '5'], { cwd: root });
    expect(stdout).to.match(/\ncancelled after \d+ tokens\n$/);
    expect(stdout.slice(0, 4)).to.equal(scriptedSentence().slice(0, 4));
  });

  it('says how to use it', async () => {
    const failure = await run(process.execPath, ['examples/stream.mjs'], { cwd: root }).catch(
      (thrown: unknown) => thrown,
    );
    expect(failure).to.include({ code: 1 });
    expect((failure as { stderr: string }).stderr).to.include('usage:');
  });
});
