// @ts-check
/**
 * What a compiler cache has to know besides the command line: llama.cpp is compiled for the CPU at hand, so objects of
 * another CPU with the same command line must not be taken.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { buildDir } from '../lib/paths.mjs';

/**
 * The environment for a build; harmless where there is no cache.
 * @returns {Record<string, string | undefined>}
 */
export function compilerCacheEnv() {
  const file = path.join(buildDir, 'cpu.txt');
  mkdirSync(buildDir, { recursive: true });
  writeFileSync(file, describeCpu());
  const extra = [process.env.CCACHE_EXTRAFILES, file].filter(Boolean).join(path.delimiter);
  return { ...process.env, CCACHE_EXTRAFILES: extra };
}

function describeCpu() {
  const lines = [process.arch, cpus()[0]?.model ?? ''];
  try {
    const [first = ''] = readFileSync('/proc/cpuinfo', 'utf8').split('\n\n');
    lines.push(...first.split('\n').filter((line) => /^(flags|Features|CPU part)/.test(line)));
  } catch {
    // Only Linux has this file; elsewhere the model's name has to do.
  }
  return lines.join('\n') + '\n';
}
