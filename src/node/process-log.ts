/**
 * The log file of one child process: the child writes to it directly, so its last words survive even when nobody reads,
 * and a slow reader never holds it up. This side bounds the file and reads its end. Knows no process.
 */
import {
  closeSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { NODE_LIMITS } from '../schema/config.js';

export class ProcessLog {
  /** Hand it to the child as stdout and stderr. Opened for appending: writes of child and parent never overlap. */
  readonly fd: number;
  private isClosed = false;

  private path: string;

  /** Makes `folder`/`name`.log; an earlier file of that name is kept as `name`.1.log, the one before that is lost. */
  constructor(
    private readonly folder: string,
    name: string,
  ) {
    mkdirSync(folder, { recursive: true });
    this.path = this.makeWayFor(name);
    this.fd = openSync(this.path, 'a+', 0o600);
  }

  /** The same file under another name, as in the constructor; the child goes on writing to it. */
  rename(name: string): void {
    if (this.isClosed || join(this.folder, `${name}.log`) === this.path) return;
    // A later log may have taken the name: then this file has stepped aside and keeps the name it got.
    if (statSync(this.path).ino !== fstatSync(this.fd).ino) return;
    const path = this.makeWayFor(name);
    renameSync(this.path, path);
    this.path = path;
  }

  /** Cuts a file that grew too long down to its tail. What the child writes in that instant may be lost. */
  trim(): void {
    if (this.isClosed || fstatSync(this.fd).size <= NODE_LIMITS.logFileBytes) return;
    const tail = this.tail(NODE_LIMITS.logTailBytes);
    ftruncateSync(this.fd, 0);
    writeSync(this.fd, tail);
  }

  /** The last bytes as text; a character or a line that was cut at the front is left out. */
  lastWords(): string {
    const bytes = this.tail(NODE_LIMITS.lastWordsBytes);
    const isCut = bytes.length === NODE_LIMITS.lastWordsBytes;
    const lineEnd = isCut ? bytes.indexOf('\n') : -1;
    const text = bytes.subarray(lineEnd === bytes.length - 1 ? 0 : lineEnd + 1).toString('utf8');
    return text.replace(/^\uFFFD+/, '');
  }

  /** Idempotent. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    closeSync(this.fd);
  }

  /** Path of the file; an earlier one of that name steps aside. */
  private makeWayFor(name: string): string {
    const path = join(this.folder, `${name}.log`);
    try {
      renameSync(path, join(this.folder, `${name}.1.log`));
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
    }
    return path;
  }

  private tail(maxBytes: number): Buffer {
    if (this.isClosed) return Buffer.alloc(0);
    const { size } = fstatSync(this.fd);
    const bytes = Buffer.alloc(Math.min(size, maxBytes));
    const count = readSync(this.fd, bytes, 0, bytes.length, size - bytes.length);
    return bytes.subarray(0, count);
  }
}
