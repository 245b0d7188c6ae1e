import { expect } from 'chai';
import type { SqliteConnection } from '../../src/journal/sqlite-connection.js';
import { MAX_BATCH_WRITES, MAX_QUEUED_JOBS, SqliteQueue } from '../../src/journal/sqlite-queue.js';
import { codeOf } from './contract.js';

/** Records calls; each waits until the test lets it end. */
class ScriptedConnection implements SqliteConnection {
  readonly calls: string[] = [];
  fail: (Error & { code?: string }) | undefined;
  closed = false;
  #writes = 0;

  async exec(sql: string): Promise<void> {
    this.calls.push(sql);
    await new Promise((resolve) => setImmediate(resolve));
    if (sql.startsWith('BEGIN') && this.fail !== undefined) throw this.fail;
    this.#writes = sql.split('INSERT INTO temp.outcome').length - 1;
  }

  async all<Row>(sql: string): Promise<readonly Row[]> {
    this.calls.push(sql);
    await new Promise((resolve) => setImmediate(resolve));
    if (!sql.includes('temp.outcome')) return [{ sql } as Row];
    return Array.from({ length: this.#writes }, (_, index) => ({ changed: index % 2 }) as Row);
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  get commits(): number {
    return this.calls.filter((sql) => sql.startsWith('BEGIN')).length;
  }
}

function subject(): { connection: ScriptedConnection; queue: SqliteQueue; damaged: () => number } {
  const connection = new ScriptedConnection();
  let seen = 0;
  const queue = new SqliteQueue(connection, () => (seen += 1));
  return { connection, queue, damaged: () => seen };
}

describe('the queue in front of the database', () => {
  it('commits everything written in one turn at once, each with its own row count', async () => {
    const { connection, queue } = subject();
    const changed = await Promise.all(['UPDATE a', 'UPDATE b', 'UPDATE c'].map((sql) => queue.write(sql)));
    expect(connection.commits).to.equal(1);
    expect(changed).to.deep.equal([0, 1, 0]);
    expect(connection.calls[0]).to.match(/^BEGIN IMMEDIATE;.*UPDATE a;.*UPDATE b;.*UPDATE c;.*COMMIT;$/s);
  });

  it('gathers what comes during a commit into the next one', async () => {
    const { connection, queue } = subject();
    const first = queue.write('UPDATE a');
    while (connection.commits === 0) await new Promise((resolve) => setImmediate(resolve));
    const later = [queue.write('UPDATE b'), queue.write('UPDATE c')];
    await Promise.all([first, ...later]);
    expect(connection.commits).to.equal(2);
  });

  it('keeps reads between the writes they were asked between', async () => {
    const { connection, queue } = subject();
    await Promise.all([queue.write('UPDATE a'), queue.read('SELECT x'), queue.write('UPDATE b')]);
    const order = connection.calls.map((sql) => /UPDATE [ab]|SELECT x/.exec(sql)?.[0]).filter(Boolean);
    expect(order).to.deep.equal(['UPDATE a', 'SELECT x', 'UPDATE b']);
  });

  it('bounds one commit', async () => {
    const { connection, queue } = subject();
    await Promise.all(Array.from({ length: MAX_BATCH_WRITES + 1 }, () => queue.write('UPDATE a')));
    expect(connection.commits).to.equal(2);
  });

  it('rejects a whole commit that fails, rolls back, and goes on', async () => {
    const { connection, queue } = subject();
    connection.fail = Object.assign(new Error('disk is full'), { code: 'SQLITE_FULL' });
    const codes = await Promise.all([codeOf(queue.write('UPDATE a')), codeOf(queue.write('UPDATE b'))]);
    expect(codes).to.deep.equal(['journal_unavailable', 'journal_unavailable']);
    expect(connection.calls.at(-1)).to.equal('ROLLBACK');
    connection.fail = undefined;
    expect(await queue.write('UPDATE c')).to.equal(0);
  });

  it('says when the file is damaged, and only then', async () => {
    const { connection, queue, damaged } = subject();
    connection.fail = Object.assign(new Error('full'), { code: 'SQLITE_FULL' });
    await codeOf(queue.write('UPDATE a'));
    expect(damaged()).to.equal(0);
    connection.fail = Object.assign(new Error('malformed'), { code: 'SQLITE_CORRUPT' });
    await codeOf(queue.write('UPDATE a'));
    expect(damaged()).to.equal(1);
  });

  it('refuses more than it may hold', async () => {
    const { queue } = subject();
    const writes = Array.from({ length: MAX_QUEUED_JOBS }, () => queue.write('UPDATE a'));
    expect(await codeOf(queue.write('UPDATE b'))).to.equal('journal_unavailable');
    await Promise.all(writes);
    expect(await codeOf(queue.write('UPDATE c'))).to.equal('resolved');
  });

  it('finishes what is queued before it closes the connection', async () => {
    const { connection, queue } = subject();
    let answered = false;
    void queue.write('UPDATE a').then(() => (answered = true));
    await queue.close();
    expect([answered, connection.closed]).to.deep.equal([true, true]);
    expect(await codeOf(queue.write('UPDATE b'))).to.equal('journal_unavailable');
  });
});
