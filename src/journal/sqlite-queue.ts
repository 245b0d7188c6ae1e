/**
 * The one queue in front of the one connection. Jobs run in the order they came; writes that stand next to each other are
 * committed together in a single call (group commit), so that a burst costs one sync of the disk. Within a call nothing is
 * awaited, so no transaction is ever open while JavaScript runs. Knows no table of the journal.
 */
import { LlamaestroError } from '../base/errors.js';
import { sqliteFailure, type SqliteConnection } from './sqlite-connection.js';

/** Jobs waiting for the disk; more are refused, since a disk that slow cannot carry the load. */
export const MAX_QUEUED_JOBS = 16_384;
/** Writes of one transaction. */
export const MAX_BATCH_WRITES = 512;

interface Write {
  readonly kind: 'write';
  readonly sql: string;
  readonly resolve: (changed: number) => void;
  readonly reject: (error: unknown) => void;
}

interface Read {
  readonly kind: 'read';
  readonly sql: string;
  readonly resolve: (rows: readonly unknown[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Makes the table in which a batch notes how many rows each of its statements changed. Run once per connection. */
export const OUTCOME_TABLE_SQL = 'CREATE TEMP TABLE outcome (position INTEGER PRIMARY KEY, changed INTEGER NOT NULL)';

function batchSql(statements: readonly string[]): string {
  const noted = statements.map((sql, index) => `${sql};INSERT INTO temp.outcome VALUES(${index},changes());`);
  return `BEGIN IMMEDIATE;DELETE FROM temp.outcome;${noted.join('')}COMMIT;`;
}

/** Owns the connection from its construction to `close`. Failures are `journal_unavailable`. */
export class SqliteQueue {
  readonly #connection: SqliteConnection;
  readonly #onDamage: () => void;
  readonly #jobs: (Write | Read)[] = [];
  #pumping = false;
  #closing: Promise<void> | undefined;
  #idle: () => void = () => undefined;

  /** `onDamage` is called when SQLite says that the file is damaged, perhaps several times. */
  constructor(connection: SqliteConnection, onDamage: () => void) {
    this.#connection = connection;
    this.#onDamage = onDamage;
  }

  /** Runs one INSERT, UPDATE or DELETE; resolves when it is on disk, to the number of rows it changed. */
  write(sql: string): Promise<number> {
    return new Promise((resolve, reject) => this.#add({ kind: 'write', sql, resolve, reject }));
  }

  /** Rows of one SELECT, which sees every write queued before it. */
  read<Row>(sql: string): Promise<readonly Row[]> {
    return new Promise((resolve, reject) => {
      this.#add({ kind: 'read', sql, resolve: (rows) => resolve(rows as readonly Row[]), reject });
    });
  }

  /** Refuses new jobs, runs those queued, closes the connection. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#drained().then(() => this.#connection.close());
    return this.#closing;
  }

  #add(job: Write | Read): void {
    if (this.#closing !== undefined) {
      return job.reject(new LlamaestroError('journal_unavailable', 'the journal is closed'));
    }
    if (this.#jobs.length >= MAX_QUEUED_JOBS) {
      const message = `${MAX_QUEUED_JOBS} journal entries are waiting for the disk`;
      return job.reject(new LlamaestroError('journal_unavailable', message));
    }
    this.#jobs.push(job);
    if (this.#pumping) return;
    this.#pumping = true;
    // After this turn of the event loop, so that everything written in it shares one commit.
    setImmediate(() => void this.#pump());
  }

  #drained(): Promise<void> {
    return this.#pumping ? new Promise((resolve) => (this.#idle = resolve)) : Promise.resolve();
  }

  async #pump(): Promise<void> {
    for (let job = this.#jobs[0]; job !== undefined; job = this.#jobs[0]) {
      if (job.kind === 'read') {
        this.#jobs.shift();
        await this.#runRead(job);
      } else {
        const firstOther = this.#jobs.findIndex((other, index) => other.kind === 'read' || index === MAX_BATCH_WRITES);
        const batch = this.#jobs.splice(0, firstOther === -1 ? this.#jobs.length : firstOther) as Write[];
        await this.#runBatch(batch);
      }
    }
    this.#pumping = false;
    this.#idle();
  }

  async #runRead(job: Read): Promise<void> {
    try {
      job.resolve(await this.#connection.all(job.sql));
    } catch (error) {
      job.reject(this.#failure(error));
    }
  }

  async #runBatch(batch: readonly Write[]): Promise<void> {
    try {
      await this.#connection.exec(batchSql(batch.map((write) => write.sql)));
    } catch (error) {
      // SQLite has often rolled back by itself; then this says that no transaction is open.
      await this.#connection.exec('ROLLBACK').catch(() => undefined);
      const failure = this.#failure(error);
      for (const write of batch) write.reject(failure);
      return;
    }
    await this.#settle(batch);
  }

  async #settle(batch: readonly Write[]): Promise<void> {
    try {
      const sql = 'SELECT changed FROM temp.outcome ORDER BY position';
      const rows = await this.#connection.all<{ readonly changed: number }>(sql);
      batch.forEach((write, index) => write.resolve(rows[index]?.changed ?? 0));
    } catch (error) {
      const failure = this.#failure(error);
      for (const write of batch) write.reject(failure);
    }
  }

  #failure(error: unknown): LlamaestroError {
    if (sqliteFailure(error) === 'damaged') this.#onDamage();
    const reason = error instanceof Error ? error.message : String(error);
    return new LlamaestroError('journal_unavailable', `the database refused: ${reason}`, { cause: error });
  }
}
