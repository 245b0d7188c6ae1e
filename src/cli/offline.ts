/**
 * Commands that need no server run as a child of their own: this room reads no profile and knows no engine. The child
 * prints one line of JSON.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { LlamaestroError, type WireError } from '../base/errors.js';

/** The answer to an offline command; its error thrown. */
export async function offline(words: readonly string[]): Promise<unknown> {
  const isSource = import.meta.url.endsWith('.ts');
  const entry = fileURLToPath(new URL(`../profile-main.${isSource ? 'ts' : 'js'}`, import.meta.url));
  // TypeScript sources need the loader that tests run under; production runs compiled files.
  const loader = isSource ? ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href] : [];
  const child = spawn(process.execPath, [...loader, entry, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [output] = await Promise.all([text(child.stdout), once(child, 'close')]);
  try {
    const answer = JSON.parse(output) as { readonly error?: WireError };
    if (answer.error !== undefined) throw LlamaestroError.fromWire(answer.error);
    return answer;
  } catch (cause) {
    if (cause instanceof LlamaestroError) throw cause;
    throw new LlamaestroError('internal', 'the command ended without an answer', { cause });
  }
}
