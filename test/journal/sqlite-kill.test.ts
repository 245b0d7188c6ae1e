import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { systemClock } from '../../src/base/system-ports.js';
import { SqliteJournal } from '../../src/journal/sqlite-journal.js';
import { verifyRecords } from './verify.js';
import { withFolder } from '../support/temporary-folder.js';

const WRITER = fileURLToPath(new URL('crash-writer.ts', import.meta.url));

interface Round {
  /** Facts before the end. */
  readonly facts: number;
  /** Who kills: the writer itself in the moment of an answer, or we at any moment. */
  readonly by: 'itself' | 'us';
}

/** Lets a process write to `path` until SIGKILL; gives back every fact the journal had answered for. */
async function writeUntilKilled(path: string, prefix: string, { facts, by }: Round): Promise<readonly string[]> {
  const limit = by === 'itself' ? String(facts) : '0';
  const child = spawn(process.execPath, ['--import', 'tsx', WRITER, path, prefix, limit], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
  const seen: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    // What still comes out of the pipe after the signal was written before it.
    if (seen.push(line) === facts && by === 'us') child.kill('SIGKILL');
  }
  expect((await exited)[1]).to.equal('SIGKILL');
  return seen;
}

describe('the journal on SQLite when its process is killed', function () {
  this.timeout(120_000);

  it('has every fact it answered for, kill after kill', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'journal.db');
      const acknowledged: string[] = [];
      const rounds: readonly Round[] = [
        { facts: 1, by: 'itself' },
        { facts: 50, by: 'us' },
        { facts: 333, by: 'itself' },
        { facts: 500, by: 'us' },
      ];
      for (const [index, round] of rounds.entries()) {
        acknowledged.push(...(await writeUntilKilled(path, `run_${index}_`, round)));
        const journal = new SqliteJournal({ path, clock: systemClock });
        const report = await journal.open();
        expect(report).to.include({ uncleanStop: true }).and.not.to.have.property('setAside');
        const runs = new Map((await journal.scan(100_000)).map((run) => [run.id, run]));
        for (const line of acknowledged) {
          const [fact, id = ''] = line.split(' ');
          const run = runs.get(id);
          expect(run, line).not.to.equal(undefined);
          if (fact === 'dispatched') expect(run?.attempt, line).to.equal(1);
          if (fact === 'finished') expect(run?.terminal?.status, line).to.equal('completed');
        }
        expect(verifyRecords([...runs.values()], { allEnded: false })).to.deep.equal([]);
        await journal.close();
      }
      expect(acknowledged.length).to.be.at.least(884);
    }));
});
