// @ts-check
/**
 * Formats the C++ of native/ by .clang-format; with --check it only looks. Other versions of clang-format than the one
 * named here lay some lines out differently, so they are told about and not used for the check.
 */
import path from 'node:path';
import { capture, findOnPath, run } from './lib/exec.mjs';
import { rootDir } from './lib/paths.mjs';
import { ScriptError, runMain } from './lib/script-error.mjs';
import { filesUnder } from './lib/stamps.mjs';

const wantedVersion = 14;

/** @returns {{ program: string, version: number } | undefined} the wanted version where it is there, else any */
export function findClangFormat() {
  for (const name of [`clang-format-${wantedVersion}`, 'clang-format']) {
    const program = findOnPath(name);
    const version = program && /version (\d+)/.exec(capture(program, ['--version'])?.output ?? '')?.[1];
    if (program && version) return { program, version: Number(version) };
  }
  return undefined;
}

/** Whether the C++ can be checked here. */
export function canCheckCpp() {
  return findClangFormat()?.version === wantedVersion;
}

if (process.argv[1] === import.meta.filename) await runMain(main);

async function main() {
  const found = findClangFormat();
  const install = `sudo apt-get install -y clang-format (version ${wantedVersion})`;
  if (!found) throw new ScriptError('clang-format is missing', { remedy: install });
  if (found.version !== wantedVersion) {
    process.stdout.write(`clang-format is version ${found.version}; the code is laid out by ${wantedVersion}\n`);
  }
  const files = filesUnder(path.join(rootDir, 'native'), (file) => /\.(cpp|h)$/.test(file));
  const check = process.argv.includes('--check');
  await run(found.program, [...(check ? ['--dry-run', '--Werror'] : ['-i']), ...files], {
    cwd: rootDir,
    what: check ? 'checking the layout of native/' : 'formatting native/',
    remedy: 'npm run format',
  });
}
