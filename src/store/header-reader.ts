/**
 * Little-endian values from the start of a file, read in chunks and never past a named limit. It knows lengths and
 * strings, not what they mean. A file that ends too early, or a length that cannot be, is `model_unusable`.
 */
import type { FileHandle } from 'node:fs/promises';
import { LlamaestroError } from '../base/errors.js';

/** A header larger than this is not one; the largest vocabularies take about 30 MB. */
export const MAX_HEADER_BYTES = 512 * 1024 * 1024;
/** Longest string that is read rather than skipped. */
export const MAX_READ_STRING_BYTES = 64 * 1024;
const CHUNK_BYTES = 1024 * 1024;
/** Of the length that stands before a string. */
const LENGTH_BYTES = 8;

/** The one error of this room: `path` cannot be used as a model, and why. */
export function unusable(path: string, reason: string, details?: Readonly<Record<string, unknown>>): LlamaestroError {
  return new LlamaestroError('model_unusable', `${path}: ${reason}`, { details: { path, ...details } });
}

/** Reads forward only. The handle stays the caller's. */
export class HeaderReader {
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #fileBytes: number;
  #chunk = Buffer.alloc(0);
  /** Place of the chunk's first byte in the file, and of the next byte in the chunk. */
  #chunkStart = 0;
  #at = 0;

  constructor(handle: FileHandle, path: string, fileBytes: number) {
    this.#handle = handle;
    this.#path = path;
    this.#fileBytes = fileBytes;
  }

  /** Bytes read or skipped so far. */
  get position(): number {
    return this.#chunkStart + this.#at;
  }

  /** The next `count` bytes, `count` <= MAX_READ_STRING_BYTES; valid until the next call. */
  async bytes(count: number): Promise<Buffer> {
    if (this.#chunk.length - this.#at < count) await this.#fill(count);
    const view = this.#chunk.subarray(this.#at, this.#at + count);
    this.#at += count;
    return view;
  }

  async uint32(): Promise<number> {
    return (await this.bytes(4)).readUInt32LE();
  }

  /** A 64-bit count or size; one that does not fit a safe integer is no size of anything. */
  async size(): Promise<number> {
    const value = (await this.bytes(8)).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.damaged(`a size of ${value} is impossible`);
    return Number(value);
  }

  /** A string with its length before it; one longer than is worth reading is skipped and answers undefined. */
  async string(): Promise<string | undefined> {
    const length = await this.size();
    if (length > MAX_READ_STRING_BYTES) {
      await this.skip(length);
      return undefined;
    }
    return (await this.bytes(length)).toString('utf8');
  }

  async skip(count: number): Promise<void> {
    const end = this.position + count;
    if (end > this.#fileBytes) throw this.#truncated(end);
    if (end > MAX_HEADER_BYTES) throw this.damaged(`its header is longer than ${MAX_HEADER_BYTES} bytes`);
    if (end <= this.#chunkStart + this.#chunk.length) {
      this.#at += count;
      return;
    }
    this.#chunk = Buffer.alloc(0);
    this.#chunkStart = end;
    this.#at = 0;
  }

  /** Vocabularies have hundreds of thousands of strings, so those already in the chunk are stepped over without waiting. */
  async skipStrings(count: number): Promise<void> {
    this.expectRoom(count, LENGTH_BYTES);
    for (let left = count; left > 0; left--) {
      left -= this.#stepOverStrings(left);
      if (left > 0) await this.skip(await this.size());
    }
  }

  /** Refuses a count of things of at least `bytesEach` that the rest of the file cannot hold. */
  expectRoom(count: number, bytesEach: number): void {
    const end = this.position + count * bytesEach;
    if (end > this.#fileBytes) throw this.#truncated(end);
  }

  damaged(reason: string): LlamaestroError {
    return unusable(this.#path, `not a usable GGUF file: ${reason}`);
  }

  #truncated(neededBytes: number): LlamaestroError {
    const reason = `the file is cut off: its header needs at least ${neededBytes} bytes, it has ${this.#fileBytes}`;
    return unusable(this.#path, reason, { neededBytes, fileBytes: this.#fileBytes });
  }

  /** How many of the next `count` strings lay whole in the chunk; it now stands behind them. */
  #stepOverStrings(count: number): number {
    let done = 0;
    while (done < count && this.#at + LENGTH_BYTES <= this.#chunk.length) {
      const length = this.#chunk.readUInt32LE(this.#at) + this.#chunk.readUInt32LE(this.#at + 4) * 2 ** 32;
      const next = this.#at + LENGTH_BYTES + length;
      if (next > this.#chunk.length) break;
      this.#at = next;
      done++;
    }
    return done;
  }

  async #fill(count: number): Promise<void> {
    const start = this.position;
    if (start + count > this.#fileBytes) throw this.#truncated(start + count);
    if (start + count > MAX_HEADER_BYTES) throw this.damaged(`its header is longer than ${MAX_HEADER_BYTES} bytes`);
    const wanted = Math.min(Math.max(count, CHUNK_BYTES), this.#fileBytes - start);
    const chunk = Buffer.alloc(wanted);
    let filled = 0;
    while (filled < wanted) {
      const { bytesRead } = await this.#handle.read(chunk, filled, wanted - filled, start + filled);
      if (bytesRead === 0) throw this.#truncated(start + count);
      filled += bytesRead;
    }
    this.#chunk = chunk;
    this.#chunkStart = start;
    this.#at = 0;
  }
}
