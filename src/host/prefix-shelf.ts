/**
 * The prompt prefixes of models that were unloaded, one file per configuration in one folder: written when a host ends as
 * told, read by the next load of the same configuration. Bounded in time, bytes and age, and never in the way: what cannot
 * be saved or restored is a line in the log. Knows engines and files, no hosts.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock } from '../base/ports.js';
import type { Engine } from '../engine/engine.js';
import { HOST_LIMITS } from '../schema/config.js';
import type { LoadOptions } from '../schema/load.js';
import { tooMany, type ShelfFile } from './shelf-policy.js';

export interface PrefixShelfOptions {
  /** Made when it is needed; only its owner may look into it, since prefixes tell prompts. */
  readonly folder: string;
  /** All files together; one may take half of it. */
  readonly maxBytes: number;
  /** Of the engine: another one computes other values. */
  readonly build: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const OWNER_ONLY = 0o700;
const KEY_DIGITS = 32;
const SUFFIX = '.prefixes';
/** What an engine takes as `measuredChunkTokens`. */
const LEAST_GRID = 16;
const LARGEST_GRID = 4096;

export class PrefixShelf {
  constructor(private readonly options: PrefixShelfOptions) {}

  /**
   * The options of a load, with the prefill grid of the prefixes that wait for it where none is given: they fit no other
   * one, and a measured one may differ from load to load. Never rejects.
   */
  async prepare(load: LoadOptions): Promise<LoadOptions> {
    if (load.chunkTokens !== undefined || load.measuredChunkTokens !== undefined) return load;
    const key = await this.keyOf(load);
    const names = await readdir(this.options.folder).catch(() => []);
    const grids = names.map((name) => gridIn(name, key)).filter((grid) => grid !== undefined);
    const [measuredChunkTokens] = grids;
    return measuredChunkTokens === undefined ? load : { ...load, measuredChunkTokens };
  }

  /** Saves what an engine that is about to close has kept. Never rejects; takes `HOST_LIMITS.prefixSaveMs` at most. */
  async save(engine: Engine, load: LoadOptions): Promise<void> {
    const { folder, maxBytes, clock, log } = this.options;
    const { prefixBytes } = engine.stats();
    if (prefixBytes === 0) return;
    if (prefixBytes > maxBytes / 2) {
      log.info('the prefixes of a model are too many to be saved', { prefixBytes, maxBytes });
      return;
    }
    const startedMs = clock.nowMs();
    try {
      await mkdir(folder, { recursive: true, mode: OWNER_ONLY });
      const file = await this.fileOf(load, engine);
      const { tokens, bytes } = await this.timed(HOST_LIMITS.prefixSaveMs, (signal) =>
        engine.savePrefixes(file, undefined, signal),
      );
      log.info('prefixes were saved', { tokens, bytes, ms: Math.round(clock.nowMs() - startedMs) });
      await this.tidy(file);
    } catch (thrown) {
      log.warn('the prefixes of a model could not be saved', { error: toLlamaestroError(thrown) });
    }
  }

  /** Gives a loaded engine what was saved for its configuration; resolves with the tokens that it took. Never rejects. */
  async restore(engine: Engine, load: LoadOptions): Promise<number> {
    const { clock, log } = this.options;
    const file = await this.fileOf(load, engine);
    // Under this name nobody looks for it: a file that ends the process while it is read does not do so again.
    const tried = `${file}.tried`;
    try {
      await rename(file, tried);
    } catch {
      return 0; // there is none
    }
    const startedMs = clock.nowMs();
    try {
      const { tokens, bytes } = await this.timed(HOST_LIMITS.prefixRestoreMs, (signal) =>
        engine.restorePrefixes(tried, signal),
      );
      await putBack(tried, file, clock.wallMs() / 1000);
      log.info('prefixes were restored', { tokens, bytes, ms: Math.round(clock.nowMs() - startedMs) });
      return tokens;
    } catch (thrown) {
      log.warn('saved prefixes were not restored and are deleted', { error: toLlamaestroError(thrown) });
      await rm(tried, { force: true }).catch(() => undefined);
      return 0;
    }
  }

  private async fileOf(load: LoadOptions, { info }: Engine): Promise<string> {
    return join(this.options.folder, nameOf(await this.keyOf(load), info.chunkTokens));
  }

  private async keyOf(load: LoadOptions): Promise<string> {
    const { file, stepLock: _stepLock, measuredChunkTokens: _chunk, ...options } = load;
    const files = [file, ...(load.adapters ?? []).map((adapter) => adapter.file)];
    const identities = await Promise.all(files.map(identityOf));
    const settings = Object.entries(options).sort(([one], [other]) => (one < other ? -1 : 1));
    const key = JSON.stringify([this.options.build, identities, settings]);
    return createHash('sha256').update(key).digest('hex').slice(0, KEY_DIGITS);
  }

  /** Ends the work after a time, and does not wait for one that goes on nevertheless. */
  private timed<T>(limitMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const controller = new AbortController();
      const timer = this.options.clock.setTimer(limitMs, () => {
        const reason = new LlamaestroError('cancelled', `it was not done in ${limitMs} ms`);
        controller.abort(reason);
        reject(reason);
      });
      work(controller.signal)
        .finally(() => timer.cancel())
        .then(resolve, reject);
    });
  }

  /** After `latest` was written: what it replaces goes, and what is too much. */
  private async tidy(latest: string): Promise<void> {
    const { folder, maxBytes, clock } = this.options;
    const key = basename(latest).slice(0, KEY_DIGITS);
    for (const name of await readdir(folder)) {
      if (name !== basename(latest) && gridIn(name, key) !== undefined) await rm(join(folder, name), { force: true });
    }
    const names = await readdir(folder);
    const files = await Promise.all(names.map((name) => shelfFile(folder, name)));
    const limits = { maxBytes, maxAgeMs: HOST_LIMITS.prefixAgeMs, nowMs: clock.wallMs() };
    for (const { name } of tooMany(
      files.filter((file) => file !== undefined),
      limits,
    )) {
      await rm(join(folder, name), { force: true });
    }
  }
}

function nameOf(key: string, grid: number): string {
  return `${key}.${grid}${SUFFIX}`;
}

/** The prefill grid of a file, if it is one of that configuration. */
function gridIn(name: string, key: string): number | undefined {
  const grid = Number(name.slice(key.length + 1, -SUFFIX.length));
  const isGrid = Number.isInteger(grid) && grid >= LEAST_GRID && grid <= LARGEST_GRID;
  return isGrid && name === nameOf(key, grid) ? grid : undefined;
}

/** It was of use: kept for the next time as one that was used just now. */
async function putBack(from: string, to: string, nowS: number): Promise<void> {
  try {
    await rename(from, to);
    await utimes(to, nowS, nowS);
  } catch {
    // Another host found it to be one too many.
  }
}

/** Another host may have deleted it meanwhile. */
async function shelfFile(folder: string, name: string): Promise<ShelfFile | undefined> {
  try {
    const { size, mtimeMs } = await stat(join(folder, name));
    return { name, bytes: size, usedAtMs: mtimeMs };
  } catch {
    return undefined;
  }
}

/** Path, size and time of the last change. */
async function identityOf(file: string): Promise<string> {
  try {
    const { size, mtimeMs } = await stat(file);
    return `${file}|${size}|${mtimeMs}`;
  } catch {
    return file;
  }
}
