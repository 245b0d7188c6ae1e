import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { npmPack } from '../../scripts/packaging/pack.mjs';
import { withFolder } from '../support/temporary-folder.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const hasDist = existsSync(join(root, 'dist', 'engine', 'native.js'));

const FIRST_IMPORT = `import('llamaestro/native').catch(({ code, remedy }) => console.log(JSON.stringify({ code, remedy })))`;

describe('the npm package', function () {
  this.timeout(30_000);

  it('carries what its build needs, and neither tests nor what a build made', () => {
    const files = npmPack(['--dry-run'])[0]?.files.map(({ path }) => path) ?? [];
    const wanted = [
      'LICENSE',
      'README.md',
      'CHANGELOG.md',
      'CMakeLists.txt',
      'binding.gyp',
      'native/cmake/exports.map',
      'native/core/engine.cpp',
      'native/binding/module.cpp',
      'scripts/install.mjs',
      'scripts/setup/addon.mjs',
      'vendor/llama.cpp.json',
      'examples/stream.mjs',
    ];
    expect(wanted.filter((file) => !files.includes(file))).to.deep.equal([]);
    expect(files.filter((file) => /^vendor\/patches\/.*\.patch$/.test(file))).to.not.deep.equal([]);
    const unwanted =
      /^(test|build|node_modules|coverage|src|native\/(test|bench)|vendor\/(cache|llama\.cpp)\/)|^dist\/.*\.map$|\.log$|\.tgz$/;
    expect(files.filter((file) => unwanted.test(file))).to.deep.equal([]);
  });

  it('carries every script that its install script imports', () => {
    const files = new Set(npmPack(['--dry-run'])[0]?.files.map(({ path }) => path));
    const seen = new Set<string>();
    const visit = (file: string): void => {
      if (seen.has(file)) return;
      seen.add(file);
      for (const [, to = ''] of readFileSync(join(root, file), 'utf8').matchAll(/ from '(\.[^']+)'/g)) {
        visit(join(file, '..', to));
      }
    };
    visit('scripts/install.mjs');
    visit('scripts/node-gyp-build.mjs');
    expect([...seen].filter((file) => !files.has(file))).to.deep.equal([]);
    expect(seen.size).to.be.greaterThan(5);
  });

  it('builds nothing in a checkout', async () => {
    const { stdout } = await run(process.execPath, [join(root, 'scripts', 'install.mjs')]);
    expect(stdout).to.include('npm run setup');
  });

  it('says at the first import that its addon is not built, with a command that is there', async function () {
    if (!hasDist) this.skip();
    await withFolder(async (app) => {
      const home = join(app, 'node_modules', 'llamaestro');
      mkdirSync(home, { recursive: true });
      for (const name of ['package.json', 'dist', 'scripts']) {
        cpSync(join(root, name), join(home, name), { recursive: true });
      }
      const { stdout } = await run(process.execPath, ['-e', FIRST_IMPORT], { cwd: app });
      const { code, remedy } = JSON.parse(stdout) as { code: string; remedy: string };
      expect(code).to.equal('addon_missing');
      const [, script = ''] = /node "([^"]+)"/.exec(remedy) ?? [];
      expect(script).to.match(/llamaestro.scripts.install\.mjs$/);
      expect(existsSync(script)).to.equal(true);
    });
  });
});
