/**
 * The database's shape, one step per version, applied in order and never edited once released. Pure: says which SQL brings
 * a database of one version to the newest; running it is the opener's.
 */
import { LlamaestroError } from '../base/errors.js';

export interface Migration {
  /** `user_version` after it. */
  readonly version: number;
  readonly sql: string;
}

export const MIGRATIONS: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE runs (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        gid TEXT NOT NULL,
        profile TEXT NOT NULL,
        model TEXT NOT NULL,
        door TEXT NOT NULL,
        prompt_hash TEXT NOT NULL,
        accepted_at_ms INTEGER NOT NULL,
        route TEXT,
        attempt INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0),
        hid TEXT,
        delivered INTEGER NOT NULL DEFAULT 0 CHECK (delivered IN (0, 1)),
        status TEXT CHECK (status IN ('completed', 'failed', 'cancelled', 'interrupted')),
        finished_at_ms INTEGER,
        usage TEXT,
        error TEXT,
        CHECK ((status IS NULL) = (finished_at_ms IS NULL))
      ) STRICT;
      CREATE INDEX runs_unfinished ON runs (seq) WHERE status IS NULL;
      CREATE INDEX runs_finished ON runs (finished_at_ms) WHERE status IS NOT NULL;
      CREATE TABLE states (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;`,
  },
  {
    version: 2,
    sql: `
      CREATE TABLE memory_notes (
        seq INTEGER PRIMARY KEY,
        hid TEXT NOT NULL,
        device TEXT NOT NULL,
        model TEXT NOT NULL,
        config TEXT NOT NULL,
        build TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        planned INTEGER NOT NULL,
        allocated INTEGER NOT NULL,
        measured INTEGER,
        peak INTEGER,
        UNIQUE (hid, device)
      ) STRICT;
      CREATE INDEX memory_notes_of ON memory_notes (config, device, build, seq);`,
  },
];

/** The version this program writes. */
export const SCHEMA_VERSION = MIGRATIONS.at(-1)?.version ?? 0;

/**
 * SQL for each step from `version` to the newest, each a transaction of its own. A newer database than ours is
 * `journal_unavailable`: it is left as it is, since an older program cannot know what it would break.
 */
export function migrationsFrom(version: number, path: string): readonly string[] {
  if (version > SCHEMA_VERSION) {
    throw new LlamaestroError(
      'journal_unavailable',
      `the database ${path} has schema version ${version}; this program knows versions up to ${SCHEMA_VERSION}`,
      {
        remedy: 'Start the newer program that wrote it, or move the file away to start with an empty one.',
        details: { path, version, newestKnown: SCHEMA_VERSION },
      },
    );
  }
  return MIGRATIONS.filter((step) => step.version > version).map(
    (step) => `BEGIN IMMEDIATE;${step.sql}\nPRAGMA user_version = ${step.version};\nCOMMIT;`,
  );
}
