/** The SHA-256 of a file, read in pieces. Knows no model; large files take as long as the disk does. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** Hexadecimal, lower case. Rejects with the error of the file system. */
export async function sha256Of(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(path, { highWaterMark: 2 ** 20, ...(signal ? { signal } : {}) })) {
    hash.update(piece as Buffer);
  }
  return hash.digest('hex');
}
