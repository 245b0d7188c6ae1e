import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadAddon } from '../../src/engine/addon-loader.js';
import { addonFault } from '../../src/engine/addon-types.js';
import { expectError } from './run-sequence.js';

describe('engine/addon-loader', () => {
  it('says what to do when there is no addon', async () => {
    const error = await expectError('addon_missing', () => loadAddon(join(tmpdir(), 'nowhere', 'llamaestro.node')));
    expect(error.remedy).to.include('npm run build');
  });

  it('says so when the file is no addon', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'llamaestro-addon-'));
    const path = join(directory, 'llamaestro.node');
    writeFileSync(path, 'not a shared object');
    try {
      const error = await expectError('addon_missing', () => loadAddon(path));
      expect(error.message).to.include('does not load');
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('refuses a module that lacks an export or was built for another version', () => {
    const nothing = (): void => undefined;
    const complete = {
      version: '1.2.3',
      build: 'x',
      listen: nothing,
      devices: nothing,
      plan: nothing,
      load: nothing,
      cancel: nothing,
      startLifeline: nothing,
      stopLifeline: nothing,
      recentLogLines: nothing,
      logToStderr: nothing,
    };
    expect(addonFault(complete, '1.2.3')).to.equal(undefined);
    expect(addonFault({ ...complete, load: undefined }, '1.2.3')).to.include('load()');
    expect(addonFault(complete, '1.2.4')).to.include('1.2.3');
    expect(addonFault(undefined, '1.2.3')).to.be.a('string');
  });
});
