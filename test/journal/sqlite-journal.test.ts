import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { systemClock } from '../../src/base/system-ports.js';
import { MIGRATIONS, SCHEMA_VERSION } from '../../src/journal/migrations.js';
import { connect } from '../../src/journal/sqlite-connection.js';
import { PRUNE_BATCH, SqliteJournal } from '../../src/journal/sqlite-journal.js';
import { withFolder } from '../support/temporary-folder.js';
import { acceptRecord, codeOf, COMPLETED, journalContract } from './contract.js';

const clock = systemClock;

journalContract('SQLite', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'llamaestro-test-'));
  return {
    journal: new SqliteJournal({ path: join(folder, 'deep', 'journal.db'), clock }),
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
});

describe('the journal on SQLite', () => {
  it('has everything again after it was closed and opened', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'journal.db');
      const first = new SqliteJournal({ path, clock });
      expect(await first.open()).to.deep.equal({ migratedFrom: 0, schemaVersion: SCHEMA_VERSION, uncleanStop: false });
      await first.accept(acceptRecord('a'));
      await first.dispatch('a', 3, 'h');
      await first.setState('key', 'value');
      await first.close();

      const second = new SqliteJournal({ path, clock });
      expect(await second.open()).to.deep.equal({
        migratedFrom: SCHEMA_VERSION,
        schemaVersion: SCHEMA_VERSION,
        uncleanStop: false,
      });
      expect(await second.get('a')).to.include({ attempt: 3, hid: 'h' });
      expect(await second.dispatch('a', 3, 'h')).to.equal(false);
      expect(await second.getState('key')).to.equal('value');
      await second.close();
    }));

  it('brings a database of each earlier version up to date and keeps its runs', async () => {
    for (const { version } of MIGRATIONS.slice(0, -1)) {
      await withFolder(async (folder) => {
        const path = join(folder, 'journal.db');
        const old = await connect(path);
        for (const step of MIGRATIONS.slice(0, version)) await old.exec(step.sql);
        await old.exec(`PRAGMA user_version = ${version}; INSERT INTO runs (id, gid, profile, model, door, prompt_hash,
          accepted_at_ms) VALUES ('a', 'g', 'p', 'm', 'd', 'h', 1)`);
        await old.close();
        const journal = new SqliteJournal({ path, clock });
        expect(await journal.open()).to.include({ migratedFrom: version, schemaVersion: SCHEMA_VERSION });
        expect((await journal.unfinished()).map(({ id }) => id)).to.deep.equal(['a']);
        expect(await journal.memoryNotes(1)).to.deep.equal([]);
        await journal.close();
      });
    }
  });

  it('refuses before it is opened', async () => {
    const journal = new SqliteJournal({ path: '/nowhere/journal.db', clock });
    expect(await codeOf(journal.accept(acceptRecord('a')))).to.equal('journal_unavailable');
    await journal.close();
  });

  it('prunes more than one batch', () =>
    withFolder(async (folder) => {
      const journal = new SqliteJournal({ path: join(folder, 'journal.db'), clock });
      await journal.open();
      const ids = Array.from({ length: PRUNE_BATCH + 5 }, (_, index) => `run_${index}`);
      await Promise.all(ids.map((id) => journal.accept(acceptRecord(id))));
      await Promise.all(ids.map((id) => journal.finish(id, COMPLETED)));
      expect(await journal.prune(COMPLETED.atMs + 1)).to.equal(ids.length);
      expect(await journal.scan(10)).to.deep.equal([]);
      await journal.close();
    }));

  it('holds a text to the letter, whatever is in it', () =>
    withFolder(async (folder) => {
      const journal = new SqliteJournal({ path: join(folder, 'journal.db'), clock });
      await journal.open();
      const texts = ["'); DROP TABLE states; --", 'a\u0000b', '\\', "''''", 'é\n\t☃ 🎼', '', ' '.repeat(5), '%_?:@$'];
      for (const [index, text] of texts.entries()) await journal.setState(`key ${index} ${text}`, text);
      for (const [index, text] of texts.entries()) {
        expect(await journal.getState(`key ${index} ${text}`)).to.equal(text);
      }
      await journal.close();
    }));
});
