/**
 * Opens the database file: settings, check after an unclean stop, migration, and the one answer to damage: the file is
 * set aside under a new name and an empty one is started, so that a damaged file never stops the server twice. Knows
 * nothing of runs.
 */
import { existsSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LlamaestroError } from '../base/errors.js';
import type { Clock } from '../base/ports.js';
import type { OpenReport } from './journal.js';
import { SCHEMA_VERSION, migrationsFrom } from './migrations.js';
import { connect, sqliteFailure, type SqliteConnection } from './sqlite-connection.js';
import { OUTCOME_TABLE_SQL } from './sqlite-queue.js';

/** The write-ahead log is cut back to this after a burst. */
export const JOURNAL_SIZE_LIMIT_BYTES = 64 * 1024 * 1024;

/** Exclusive: one process, one connection, no shared-memory file; a second process is refused instead of corrupting. */
const SETTINGS_SQL = `
  PRAGMA locking_mode = EXCLUSIVE;
  PRAGMA synchronous = FULL;
  PRAGMA journal_size_limit = ${JOURNAL_SIZE_LIMIT_BYTES};
  PRAGMA temp_store = MEMORY;
  PRAGMA trusted_schema = OFF;`;

/** Found by us in a check, where SQLite itself reported no error. */
class DamagedFile extends Error {}

export interface OpenedDatabase {
  readonly connection: SqliteConnection;
  readonly report: OpenReport;
}

/** Beside the database while it is open; found at the next opening it means that the last one was not closed. */
function markerOf(path: string): string {
  return `${path}-open`;
}

export interface OpenDatabaseOptions {
  /** Path of the database; its folder is made. */
  readonly path: string;
  /** Names files that are set aside. */
  readonly clock: Clock;
  /** How long another process may still hold the file, milliseconds; a restart overlaps for a moment. Default 5000. */
  readonly busyTimeoutMs?: number;
}

/** Opens, checks and migrates a database. Failures are `journal_unavailable`. */
export async function openDatabase(options: OpenDatabaseOptions): Promise<OpenedDatabase> {
  const { path } = options;
  try {
    await mkdir(dirname(path), { recursive: true });
    const uncleanStop = existsSync(markerOf(path)) || existsSync(`${path}-wal`);
    const opened = await openOrReplace(options, uncleanStop);
    await writeFile(markerOf(path), '');
    return { ...opened, report: { ...opened.report, uncleanStop } };
  } catch (error) {
    throw unavailable(error, path);
  }
}

/** Says that the database was closed whole. Not called when it was seen damaged: the next opening has to check it. */
export async function markClosed(path: string): Promise<void> {
  await rm(markerOf(path), { force: true });
}

async function openOrReplace(options: OpenDatabaseOptions, check: boolean): Promise<OpenedDatabase> {
  try {
    return await prepare(options, check);
  } catch (error) {
    if (!(error instanceof DamagedFile) && sqliteFailure(error) !== 'damaged') throw error;
    const setAside = await putAside(options.path, options.clock);
    const { connection, report } = await prepare(options, false);
    return { connection, report: { ...report, setAside } };
  }
}

async function prepare({ path, busyTimeoutMs }: OpenDatabaseOptions, check: boolean): Promise<OpenedDatabase> {
  const connection = await connect(path, busyTimeoutMs);
  try {
    await connection.exec(SETTINGS_SQL);
    const [mode] = await connection.all<{ readonly journal_mode: string }>('PRAGMA journal_mode = WAL');
    if (mode?.journal_mode !== 'wal') throw new Error('this file system does not allow a write-ahead log');
    const [row] = await connection.all<{ readonly user_version: number }>('PRAGMA user_version');
    const migratedFrom = row?.user_version ?? 0;
    const steps = migrationsFrom(migratedFrom, path);
    if (check) await quickCheck(connection);
    for (const step of steps) await connection.exec(step);
    await connection.exec(OUTCOME_TABLE_SQL);
    return { connection, report: { migratedFrom, schemaVersion: SCHEMA_VERSION } };
  } catch (error) {
    await connection.close().catch(() => undefined);
    throw error;
  }
}

async function quickCheck(connection: SqliteConnection): Promise<void> {
  const rows = await connection.all<{ readonly quick_check: string }>('PRAGMA quick_check(1)');
  const verdict = rows[0]?.quick_check;
  if (verdict !== 'ok') throw new DamagedFile(verdict ?? 'the check gave no answer');
}

/** Renames the database with its logs; the new name carries the time, and SQLite's tools can still open it. */
async function putAside(path: string, clock: Clock): Promise<string> {
  const stamp = new Date(clock.wallMs()).toISOString().replace(/[-:.]/g, '');
  const target = `${path}.damaged-${stamp}`;
  for (const suffix of ['', '-wal', '-shm', '-journal']) {
    if (existsSync(path + suffix)) await rename(path + suffix, target + suffix);
  }
  return target;
}

function unavailable(error: unknown, path: string): LlamaestroError {
  if (error instanceof LlamaestroError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  if (sqliteFailure(error) === 'in-use') {
    return new LlamaestroError('journal_unavailable', `another process uses the database ${path}`, {
      remedy: 'Stop the other server, or give this one a LLAMAESTRO_HOME of its own.',
      details: { path },
      cause: error,
    });
  }
  const message = `the database ${path} cannot be opened: ${reason}`;
  return new LlamaestroError('journal_unavailable', message, { details: { path }, cause: error });
}
