/**
 * The fixed heartbeat records that a host's native thread writes into its lifeline pipe (the struct is in
 * `native/core/lifeline.h`), read from a byte stream in any slicing. Finds its place again after garbage; knows no process.
 */

/** One record: sums over the engines of a host process; `stalledMs` is the largest. */
export interface Heartbeat {
  /** Counts records of the process, from 0. */
  readonly number: number;
  readonly steps: number;
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly running: number;
  readonly waiting: number;
  readonly stalledMs: number;
  readonly engines: number;
}

export const HEARTBEAT_BYTES = 64;
const MAGIC = 0x42484c4c; // "LLHB", little-endian
const VERSION = 1;
/** Later versions may be longer; more than this is no record. */
const MAX_RECORD_BYTES = 1024;
const HEAD_BYTES = 8;

/** Collects bytes into records; holds less than one record between calls. */
export class HeartbeatReader {
  private held: Buffer = Buffer.alloc(0);

  /** The records that `chunk` completed, oldest first. */
  push(chunk: Uint8Array): readonly Heartbeat[] {
    const bytes = Buffer.concat([this.held, chunk]);
    const records: Heartbeat[] = [];
    let at = 0;
    while (bytes.length - at >= HEAD_BYTES) {
      const length = recordBytes(bytes, at);
      if (length === undefined) {
        at += 1;
        continue;
      }
      if (bytes.length - at < length) break;
      records.push(readRecord(bytes, at));
      at += length;
    }
    this.held = bytes.subarray(at);
    return records;
  }
}

/** Length of the record that begins at `at`; undefined when none begins there. */
function recordBytes(bytes: Buffer, at: number): number | undefined {
  if (bytes.readUInt32LE(at) !== MAGIC) return undefined;
  const version = bytes.readUInt16LE(at + 4);
  const length = bytes.readUInt16LE(at + 6);
  return version >= VERSION && length >= HEARTBEAT_BYTES && length <= MAX_RECORD_BYTES ? length : undefined;
}

function readRecord(bytes: Buffer, at: number): Heartbeat {
  return {
    number: Number(bytes.readBigUInt64LE(at + 8)),
    steps: Number(bytes.readBigUInt64LE(at + 24)),
    promptTokens: Number(bytes.readBigUInt64LE(at + 32)),
    generatedTokens: Number(bytes.readBigUInt64LE(at + 40)),
    running: bytes.readUInt32LE(at + 48),
    waiting: bytes.readUInt32LE(at + 52),
    stalledMs: bytes.readUInt32LE(at + 56),
    engines: bytes.readUInt32LE(at + 60),
  };
}
