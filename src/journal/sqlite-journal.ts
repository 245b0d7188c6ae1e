/**
 * The journal on SQLite: each method is one statement whose row count decides compare-and-set and fence. Waiting, grouping
 * and durability are the queue's, opening and damage the opener's.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError, type WireError } from '../base/errors.js';
import type { Usage } from '../schema/bus-messages.js';
import type { RouteDecision } from '../schema/run.js';
import { boundedError } from './bounded-error.js';
import { KEPT_NOTES } from './journal.js';
import type {
  AcceptRecord,
  Journal,
  MemoryNote,
  OpenReport,
  RunRecord,
  TerminalRecord,
  TerminalStatus,
} from './journal.js';
import { noteOf, type NoteRow } from './memory-rows.js';
import { literal, sql } from './sql-literal.js';
import { markClosed, openDatabase, type OpenDatabaseOptions } from './sqlite-open.js';
import { SqliteQueue } from './sqlite-queue.js';

/** Runs deleted by one statement, so that a large clean-up does not hold up the requests of the moment. */
export const PRUNE_BATCH = 1000;

interface RunRow {
  readonly id: string;
  readonly gid: string;
  readonly profile: string;
  readonly model: string;
  readonly door: string;
  readonly prompt_hash: string;
  readonly accepted_at_ms: number;
  readonly route: string | null;
  readonly attempt: number;
  readonly hid: string | null;
  readonly delivered: number;
  readonly status: TerminalStatus | null;
  readonly finished_at_ms: number | null;
  readonly usage: string | null;
  readonly error: string | null;
}

function json(value: unknown): string | undefined {
  return value === undefined ? undefined : JSON.stringify(value);
}

function whole(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value);
}

/** The columns hold what this file wrote under a schema version, so their JSON is taken at its word. */
function recordOf(row: RunRow): RunRecord {
  return {
    id: row.id,
    gid: row.gid,
    profile: row.profile,
    model: row.model,
    door: row.door,
    promptHash: row.prompt_hash,
    acceptedAtMs: row.accepted_at_ms,
    attempt: row.attempt,
    delivered: row.delivered === 1,
    ...(row.route === null ? {} : { route: JSON.parse(row.route) as RouteDecision }),
    ...(row.hid === null ? {} : { hid: row.hid }),
    ...(row.status === null ? {} : { terminal: terminalOf(row, row.status) }),
  };
}

function terminalOf(row: RunRow, status: TerminalStatus): TerminalRecord {
  return {
    status,
    atMs: row.finished_at_ms ?? 0,
    ...(row.usage === null ? {} : { usage: JSON.parse(row.usage) as Usage }),
    ...(row.error === null ? {} : { error: JSON.parse(row.error) as WireError }),
  };
}

/** Lives from `open` to `close`; calls outside are `journal_unavailable`. Times are whole milliseconds. */
export class SqliteJournal implements Journal {
  readonly #options: OpenDatabaseOptions;
  #opening: Promise<OpenReport> | undefined;
  #closing: Promise<void> | undefined;
  #queue: SqliteQueue | undefined;
  #damaged = false;

  constructor(options: OpenDatabaseOptions) {
    this.#options = options;
  }

  open(): Promise<OpenReport> {
    assert(this.#opening === undefined, 'a journal is opened once');
    this.#opening = this.#openNow();
    return this.#opening;
  }

  async accept(record: AcceptRecord): Promise<void> {
    const { id, gid, profile, model, door, promptHash, acceptedAtMs } = record;
    const changed = await this.#write(
      sql`INSERT INTO runs (id, gid, profile, model, door, prompt_hash, accepted_at_ms)
          VALUES (${id}, ${gid}, ${profile}, ${model}, ${door}, ${promptHash}, ${Math.round(acceptedAtMs)})
          ON CONFLICT (id) DO NOTHING`,
    );
    if (changed === 0) throw new LlamaestroError('internal', `the run ${id} was accepted before`);
  }

  async route(id: string, route: RouteDecision): Promise<void> {
    await this.#write(sql`UPDATE runs SET route = ${json(route)} WHERE id = ${id} AND status IS NULL`);
  }

  async dispatch(id: string, attempt: number, hid: string): Promise<boolean> {
    const changed = await this.#write(
      sql`UPDATE runs SET attempt = ${attempt}, hid = ${hid}
          WHERE id = ${id} AND status IS NULL AND attempt < ${attempt}`,
    );
    return changed === 1;
  }

  async delivered(id: string): Promise<void> {
    await this.#write(sql`UPDATE runs SET delivered = 1 WHERE id = ${id} AND status IS NULL`);
  }

  async finish(id: string, terminal: TerminalRecord): Promise<boolean> {
    const error = terminal.error === undefined ? undefined : boundedError(terminal.error);
    const changed = await this.#write(
      sql`UPDATE runs SET status = ${terminal.status}, finished_at_ms = ${Math.round(terminal.atMs)},
          usage = ${json(terminal.usage)}, error = ${json(error)}
          WHERE id = ${id} AND status IS NULL`,
    );
    return changed === 1;
  }

  async get(id: string): Promise<RunRecord | undefined> {
    const [row] = await this.#read<RunRow>(sql`SELECT * FROM runs WHERE id = ${id}`);
    return row === undefined ? undefined : recordOf(row);
  }

  async unfinished(): Promise<readonly RunRecord[]> {
    const rows = await this.#read<RunRow>('SELECT * FROM runs WHERE status IS NULL ORDER BY seq');
    return rows.map(recordOf);
  }

  async scan(limit: number, afterId?: string): Promise<readonly RunRecord[]> {
    const rows = await this.#read<RunRow>(
      afterId === undefined
        ? sql`SELECT * FROM runs ORDER BY seq LIMIT ${limit}`
        : sql`SELECT * FROM runs WHERE seq > (SELECT seq FROM runs WHERE id = ${afterId}) ORDER BY seq LIMIT ${limit}`,
    );
    return rows.map(recordOf);
  }

  async getState(key: string): Promise<string | undefined> {
    const [row] = await this.#read<{ readonly value: string }>(sql`SELECT value FROM states WHERE key = ${key}`);
    return row?.value;
  }

  setState(key: string, value: string): Promise<void> {
    return this.setStates({ [key]: value });
  }

  async setStates(values: Readonly<Record<string, string>>): Promise<void> {
    const rows = Object.entries(values).map(([key, value]) => `(${literal(key)}, ${literal(value)})`);
    await this.#write(
      `INSERT INTO states (key, value) VALUES ${rows.join(', ')} ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    );
  }

  async noteMemory(note: MemoryNote): Promise<void> {
    const { hid, device, model, config, build, measuredBytes, peakBytes } = note;
    const [atMs, planned, allocated] = [note.atMs, note.plannedBytes, note.allocatedBytes].map(Math.round);
    const written = this.#write(
      sql`INSERT INTO memory_notes (hid, device, model, config, build, at_ms, planned, allocated, measured, peak)
          VALUES (${hid}, ${device}, ${model}, ${config}, ${build}, ${atMs}, ${planned}, ${allocated},
                  ${whole(measuredBytes)}, ${whole(peakBytes)})
          ON CONFLICT (hid, device) DO UPDATE SET model = excluded.model, config = excluded.config,
            build = excluded.build, at_ms = excluded.at_ms, planned = excluded.planned,
            allocated = excluded.allocated, measured = excluded.measured, peak = excluded.peak`,
    );
    const trimmed = this.#write(
      sql`DELETE FROM memory_notes WHERE config = ${config} AND device = ${device} AND build = ${build} AND seq NOT IN (
            SELECT seq FROM memory_notes WHERE config = ${config} AND device = ${device} AND build = ${build}
            ORDER BY seq DESC LIMIT ${KEPT_NOTES})`,
    );
    await Promise.all([written, trimmed]);
  }

  async memoryNotes(limit: number): Promise<readonly MemoryNote[]> {
    const rows = await this.#read<NoteRow>(sql`SELECT * FROM memory_notes ORDER BY seq DESC LIMIT ${limit}`);
    return rows.map(noteOf);
  }

  async prune(beforeMs: number): Promise<number> {
    await this.#write(sql`DELETE FROM memory_notes WHERE at_ms < ${Math.round(beforeMs)}`);
    const statement = sql`DELETE FROM runs WHERE seq IN (
      SELECT seq FROM runs WHERE status IS NOT NULL AND finished_at_ms < ${Math.round(beforeMs)} LIMIT ${PRUNE_BATCH})`;
    let total = 0;
    for (;;) {
      const deleted = await this.#write(statement);
      total += deleted;
      if (deleted < PRUNE_BATCH) return total;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeNow();
    return this.#closing;
  }

  async #openNow(): Promise<OpenReport> {
    const { connection, report } = await openDatabase(this.#options);
    this.#queue = new SqliteQueue(connection, () => (this.#damaged = true));
    return report;
  }

  async #closeNow(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    if (this.#queue === undefined) return;
    await this.#queue.close();
    if (!this.#damaged) await markClosed(this.#options.path);
  }

  async #write(statement: string): Promise<number> {
    return this.#openQueue().write(statement);
  }

  async #read<Row>(statement: string): Promise<readonly Row[]> {
    return this.#openQueue().read<Row>(statement);
  }

  #openQueue(): SqliteQueue {
    if (this.#queue !== undefined && this.#closing === undefined) return this.#queue;
    throw new LlamaestroError('journal_unavailable', 'the journal is not open');
  }
}
