import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { loadAddon } from '../../src/engine/addon-loader.js';
import { ENGINE_METHODS, EXPORTED_FUNCTIONS, FACE, addonFault } from '../../src/engine/addon-types.js';
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
    const functions = Object.fromEntries(Object.keys(EXPORTED_FUNCTIONS).map((name) => [name, nothing]));
    const engineMethods = Object.keys(ENGINE_METHODS);
    const complete = { version: '1.2.3', build: 'x', face: FACE, engineMethods, ...functions };
    expect(addonFault(complete, '1.2.3')).to.equal(undefined);
    expect(addonFault({ ...complete, load: undefined }, '1.2.3')).to.include('load()');
    expect(addonFault({ ...complete, face: FACE - 1 }, '1.2.3')).to.include(`expects ${FACE}`);
    expect(addonFault({ ...complete, face: undefined }, '1.2.3')).to.include('face');
    expect(addonFault({ ...complete, engineMethods: ['memory'] }, '1.2.3')).to.include('stats()');
    expect(addonFault({ ...complete, engineMethods: undefined }, '1.2.3')).to.include('memory()');
    expect(addonFault(complete, '1.2.4')).to.include('1.2.3');
    expect(addonFault(undefined, '1.2.3')).to.be.a('string');
  });
});
