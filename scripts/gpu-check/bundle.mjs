// @ts-check
/**
 * The bundle for a machine without Node.js and network: the Node binary, the unpacked source, what llama-server needs
 * beside it, the packages that run and test the server, and the compiled server itself. Everything in one folder, a
 * file for each part.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { capture, run } from '../lib/exec.mjs';
import { rootDir, vendoredLlamaDir } from '../lib/paths.mjs';
import { stdoutReporter } from '../lib/reporter.mjs';
import { ScriptError } from '../lib/script-error.mjs';
import { readPin } from '../setup/vendor.mjs';

/** Where the bundle lies, here and there; git ignores it. */
export const bundleDir = path.join(rootDir, '.gpu-bundle');

const mostBytes = 64 * 2 ** 20;
/** Packages that run no test and no server: they stay here. */
const leftOut = ['openai', 'prettier', 'typescript', 'eslint', 'typescript-eslint', 'typedoc', 'c8'];
/** The correction without which llama-server dies on CPUs with AMX when GCC 12 built it. */
const peerPatch = path.join(rootDir, 'vendor', 'patches', 'amx-tile-config.patch');
/** What llama-server is built from beside our own tree; the second one makes the pages that it shows, here none. */
const peerFiles = ['tools', 'scripts/ui-assets.cmake'];

/** @returns {Promise<void>} */
export async function makeBundle() {
  const reporter = stdoutReporter();
  for (const needed of [path.join(vendoredLlamaDir, 'include', 'llama.h'), path.join(rootDir, 'dist', 'main.js')]) {
    if (!existsSync(needed)) throw new ScriptError(`${needed} is missing`, { remedy: 'npm run setup' });
  }
  rmSync(bundleDir, { recursive: true, force: true });
  mkdirSync(bundleDir);
  const work = mkdtempSync(path.join(tmpdir(), 'llamaestro-bundle-'));
  try {
    cpSync(process.execPath, path.join(work, 'node'));
    capture('strip', ['--strip-unneeded', path.join(work, 'node')]);
    await pack('node', work, ['node']);
    await pack('source', path.dirname(vendoredLlamaDir), [path.basename(vendoredLlamaDir)]);
    await unpackPeer(work);
    await pack('peer', work, ['peer']);
    await pack('packages', rootDir, ['node_modules', ...leftOut.map((name) => `--exclude=node_modules/${name}`)]);
    await pack('dist', rootDir, ['dist']);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  const sizes = partNames.map((name) => statSync(partFile(name)).size);
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  partNames.forEach((name, index) => reporter.line(`${name}: ${((sizes[index] ?? 0) / 2 ** 20).toFixed(1)} MiB`));
  if (bytes > mostBytes) throw new ScriptError(`the bundle has ${bytes} bytes, more than ${mostBytes}`);
  reporter.line(`bundle of ${(bytes / 2 ** 20).toFixed(1)} MiB in ${path.relative(rootDir, bundleDir)}`);
}

const partNames = ['node', 'source', 'peer', 'packages', 'dist'];

/** @param {string} name */
export function partFile(name) {
  return path.join(bundleDir, `${name}.tar.xz`);
}

/**
 * @param {string} name
 * @param {string} folder
 * @param {readonly string[]} members
 */
function pack(name, folder, members) {
  const excludes = members.filter((member) => member.startsWith('--'));
  const files = members.filter((member) => !member.startsWith('--'));
  const args = ['-C', folder, ...excludes, '-cJf', partFile(name), ...files];
  return run('tar', args, { env: { ...process.env, XZ_OPT: '-6 -T0' }, what: `packing ${name}` });
}

/**
 * Beside our own tree: the tools, and the files that our patches change, as upstream has them.
 * @param {string} work
 */
async function unpackPeer(work) {
  const pin = readPin();
  const archive = path.join(rootDir, 'vendor', 'cache', `${pin.package}-${pin.version}.tgz`);
  const bare = path.join(work, 'source.git');
  const step = { cwd: work, what: 'unpacking the sources of llama-server' };
  await run('tar', ['-xzf', archive, pin.bundle], step);
  await run('git', ['clone', '-q', '--bare', path.join(work, pin.bundle), bare], step);
  const patched = readFileSync(path.join(vendoredLlamaDir, '.patched-files'), 'utf8').split('\n').filter(Boolean);
  const tar = path.join(work, 'peer.tar');
  await run('git', [`--git-dir=${bare}`, 'archive', `--output=${tar}`, 'HEAD', ...peerFiles, ...patched], step);
  const peer = path.join(work, 'peer');
  mkdirSync(peer);
  await run('tar', ['-xf', tar, '-C', peer], step);
  await run('git', ['apply', '--whitespace=nowarn', '-p1', peerPatch], {
    ...step,
    cwd: peer,
    env: { ...process.env, GIT_CEILING_DIRECTORIES: work },
  });
}
