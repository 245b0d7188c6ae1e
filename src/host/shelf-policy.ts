/** Which of the saved files go: those too old, then the least recently used until the rest is small enough. Pure. */

export interface ShelfFile {
  readonly name: string;
  readonly bytes: number;
  /** Wall clock, milliseconds: written or read last. */
  readonly usedAtMs: number;
}

export interface ShelfLimits {
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  readonly nowMs: number;
}

/** Files to delete. */
export function tooMany(files: readonly ShelfFile[], { maxBytes, maxAgeMs, nowMs }: ShelfLimits): readonly ShelfFile[] {
  const latestFirst = [...files].sort((one, other) => other.usedAtMs - one.usedAtMs);
  let keptBytes = 0;
  return latestFirst.filter(({ bytes, usedAtMs }) => {
    if (usedAtMs >= nowMs - maxAgeMs && keptBytes + bytes <= maxBytes) {
      keptBytes += bytes;
      return false;
    }
    return true;
  });
}
