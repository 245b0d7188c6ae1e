/**
 * One SQLite connection with promises: the only file that imports sqlite3. It knows no table; it says of an error whether
 * the file is damaged or in use, so that nobody else reads SQLite's codes.
 */
import sqlite3 from 'sqlite3';

/** How long SQLite itself waits for another process to let go of the file. */
export const BUSY_TIMEOUT_MS = 5000;

/** Calls run one after the other only if the caller waits for each. */
export interface SqliteConnection {
  /** Runs all statements of `sql` in one call; stops at the first that fails. */
  exec(sql: string): Promise<void>;
  all<Row>(sql: string): Promise<readonly Row[]>;
  /** Checkpoints, deletes the write-ahead log and lets go of the file. */
  close(): Promise<void>;
}

/** Why a call failed, as far as the journal acts on it. */
export type SqliteFailure = 'damaged' | 'in-use' | 'other';

const DAMAGED: ReadonlySet<unknown> = new Set(['SQLITE_CORRUPT', 'SQLITE_NOTADB']);
const IN_USE: ReadonlySet<unknown> = new Set(['SQLITE_BUSY', 'SQLITE_LOCKED']);

/** Classifies an error that a call of a connection rejected with. */
export function sqliteFailure(error: unknown): SqliteFailure {
  const code = error instanceof Error ? (error as Error & { readonly code?: unknown }).code : undefined;
  if (DAMAGED.has(code)) return 'damaged';
  return IN_USE.has(code) ? 'in-use' : 'other';
}

/** Opens or creates the file at `path`. Rejects with SQLite's error. */
export function connect(path: string, busyTimeoutMs = BUSY_TIMEOUT_MS): Promise<SqliteConnection> {
  return new Promise((resolve, reject) => {
    const database = new sqlite3.Database(path, (error) => {
      if (error !== null) return reject(error);
      database.configure('busyTimeout', busyTimeoutMs);
      resolve(wrapped(database));
    });
  });
}

function wrapped(database: sqlite3.Database): SqliteConnection {
  return {
    exec: (sql) =>
      new Promise((resolve, reject) => {
        database.exec(sql, (error) => (error === null ? resolve() : reject(error)));
      }),
    all: <Row>(sql: string) =>
      new Promise<readonly Row[]>((resolve, reject) => {
        database.all<Row>(sql, (error, rows) => (error === null ? resolve(rows) : reject(error)));
      }),
    close: () =>
      new Promise((resolve, reject) => {
        database.close((error) => (error === null ? resolve() : reject(error)));
      }),
  };
}
