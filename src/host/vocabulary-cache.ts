/**
 * Vocabulary-only engines of a host without a model, for counting prompts of models that are not loaded. Keeps the last
 * few; one in use is never closed. Knows no bus.
 */
import type { Engine, EngineDriver } from '../engine/engine.js';

interface Entry {
  readonly engine: Promise<Engine>;
  users: number;
}

export class VocabularyCache {
  /** Insertion order is order of use. */
  private readonly entries = new Map<string, Entry>();

  constructor(
    private readonly driver: EngineDriver,
    private readonly maxIdle: number,
  ) {}

  /** Runs `work` with the vocabulary of `file`; loads it first when it is not there. Errors: those of the load, and of `work`. */
  async use<T>(file: string, work: (engine: Engine) => Promise<T>): Promise<T> {
    const entry = this.entries.get(file) ?? this.open(file);
    entry.users += 1;
    this.entries.delete(file);
    this.entries.set(file, entry);
    try {
      return await work(await entry.engine);
    } finally {
      entry.users -= 1;
      this.closeIdle();
    }
  }

  /** Closes all of them, those in use included. */
  async close(): Promise<void> {
    const entries = [...this.entries.values()];
    this.entries.clear();
    await Promise.all(entries.map(closeEntry));
  }

  private open(file: string): Entry {
    const entry = { engine: this.driver.load({ file, purpose: 'vocab' }), users: 0 };
    // A load that failed is tried again by the next question.
    entry.engine.catch(() => {
      if (this.entries.get(file) === entry) this.entries.delete(file);
    });
    return entry;
  }

  private closeIdle(): void {
    for (const [file, entry] of this.entries) {
      if (this.entries.size <= this.maxIdle) return;
      if (entry.users > 0) continue;
      this.entries.delete(file);
      void closeEntry(entry);
    }
  }
}

async function closeEntry(entry: Entry): Promise<void> {
  try {
    await (await entry.engine).close();
  } catch {
    // It never opened: nothing to close.
  }
}
