import { mkdir, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { SqliteJournal } from '../../src/journal/sqlite-journal.js';
import { connect } from '../../src/journal/sqlite-connection.js';
import { FakeClock } from '../support/fake-clock.js';
import { withFolder } from '../support/temporary-folder.js';
import { acceptRecord, codeOf } from './contract.js';

const clock = new FakeClock(Date.UTC(2026, 0, 2, 3, 4, 5, 6));
const ROWS = 500;

async function filled(path: string): Promise<void> {
  const journal = new SqliteJournal({ path, clock });
  await journal.open();
  const ids = Array.from({ length: ROWS }, (_, index) => `run_${index}`);
  await Promise.all(ids.map((id) => journal.accept(acceptRecord(id))));
  await journal.close();
}

/** Overwrites everything behind the first page, so that only a look at the tables shows the damage. */
async function damageTables(path: string): Promise<void> {
  const file = await open(path, 'r+');
  const { size } = await file.stat();
  await file.write(Buffer.alloc(size - 4096, 0xa5), 0, size - 4096, 4096);
  await file.close();
}

async function failureOf(promise: Promise<unknown>): Promise<LlamaestroError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof LlamaestroError) return error;
  }
  throw new Error('it did not fail as it should');
}

describe('opening the database', () => {
  it('sets a file aside that is no database, and works', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'journal.db');
      await writeFile(path, 'this was never a database, and it is longer than one page header '.repeat(50));
      const journal = new SqliteJournal({ path, clock });
      const { setAside } = await journal.open();
      expect(basename(setAside ?? '')).to.equal('journal.db.damaged-20260102T030405006Z');
      expect(await readFile(setAside ?? '', 'utf8')).to.match(/^this was never/);
      await journal.accept(acceptRecord('a'));
      await journal.close();
    }));

  it('finds damage inside after an unclean stop, and starts an empty one', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'journal.db');
      await filled(path);
      await damageTables(path);
      await writeFile(`${path}-open`, '');
      const journal = new SqliteJournal({ path, clock });
      const report = await journal.open();
      expect(report).to.include({ uncleanStop: true, migratedFrom: 0 }).and.to.have.property('setAside');
      expect(await journal.unfinished()).to.deep.equal([]);
      await journal.close();
    }));

  it('does not fail twice over damage that shows only in use', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'journal.db');
      await filled(path);
      await damageTables(path);
      const first = new SqliteJournal({ path, clock });
      expect(await first.open()).not.to.have.property('setAside');
      expect(await codeOf(first.unfinished())).to.equal('journal_unavailable');
      await first.close();
      const second = new SqliteJournal({ path, clock });
      expect(await second.open()).to.have.property('setAside');
      expect(await second.unfinished()).to.deep.equal([]);
      await second.close();
    }));

  it('does not let the log of a damaged file touch the new one', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'journal.db');
      await writeFile(path, 'x'.repeat(10_000));
      await writeFile(`${path}-wal`, 'y'.repeat(10_000));
      const journal = new SqliteJournal({ path, clock });
      expect(await journal.open()).to.have.property('setAside');
      await journal.accept(acceptRecord('a'));
      await journal.close();
      const again = new SqliteJournal({ path, clock });
      expect(await again.open()).not.to.have.property('setAside');
      expect(await again.unfinished()).to.have.length(1);
      await again.close();
    }));

  it('checks nothing and leaves nothing behind when it was closed', () =>
    withFolder(async (folder) => {
      await filled(join(folder, 'journal.db'));
      expect(await readdir(folder)).to.deep.equal(['journal.db']);
    }));

  it('leaves a database of a newer version as it is and says so', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'journal.db');
      await filled(path);
      const connection = await connect(path);
      await connection.exec('PRAGMA user_version = 99');
      await connection.close();
      const error = await failureOf(new SqliteJournal({ path, clock }).open());
      expect(error).to.include({ code: 'journal_unavailable' });
      expect(error.message).to.contain('version 99').and.to.contain(path);
      const rows = await readRows(path);
      expect(rows).to.equal(ROWS);
    }));

  it('refuses a database that another one has open', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'journal.db');
      const first = new SqliteJournal({ path, clock });
      await first.open();
      const error = await failureOf(new SqliteJournal({ path, clock, busyTimeoutMs: 20 }).open());
      expect(error.message).to.contain('another process uses the database');
      await first.accept(acceptRecord('a'));
      await first.close();
    }));

  it('says which file cannot be opened', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'journal.db');
      await mkdir(path);
      const error = await failureOf(new SqliteJournal({ path, clock }).open());
      expect(error).to.include({ code: 'journal_unavailable' });
      expect(error.message).to.contain(path);
      expect(await readdir(folder)).to.deep.equal(['journal.db']);
    }));
});

async function readRows(path: string): Promise<number> {
  const connection = await connect(path);
  const [row] = await connection.all<{ count: number }>('SELECT count(*) AS count FROM runs');
  await connection.close();
  return row?.count ?? 0;
}
