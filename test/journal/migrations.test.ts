import { expect } from 'chai';
import { MIGRATIONS, migrationsFrom, SCHEMA_VERSION } from '../../src/journal/migrations.js';

describe('migrations', () => {
  it('are numbered from 1 without a gap', () => {
    expect(MIGRATIONS.map((step) => step.version)).to.deep.equal(MIGRATIONS.map((_, index) => index + 1));
  });

  it('go from any older version to the newest, each in a transaction', () => {
    expect(migrationsFrom(0, 'x')).to.have.length(MIGRATIONS.length);
    expect(migrationsFrom(SCHEMA_VERSION, 'x')).to.deep.equal([]);
    for (const step of migrationsFrom(0, 'x'))
      expect(step).to.match(/^BEGIN IMMEDIATE;.*PRAGMA user_version = \d+;\s*COMMIT;$/s);
  });

  it('never touch a newer database', () => {
    expect(() => migrationsFrom(SCHEMA_VERSION + 1, '/data/x.db')).to.throw('/data/x.db has schema version');
  });
});
