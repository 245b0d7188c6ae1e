import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { systemClock } from '../../src/base/system-ports.js';
import { SqliteJournal } from '../../src/journal/sqlite-journal.js';
import { verifyRecords } from '../../src/journal/verify.js';
import { withFolder } from '../support/temporary-folder.js';

const WRITER = fileURLToPath(new URL('crash-writer.ts', import.meta.url));

/** Lets a process write to `path` and kills it in the middle; what it was told to be durable comes back. */
async function writeAndKill(path: string, prefix: string, lines: number): Promise<readonly string[]> {
  const child = spawn(process.execPath, ['--import', 'tsx', WRITER, path, prefix], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const seen: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    // What comes out of the pipe after the signal was written before it.
    if (seen.push(line) === lines) child.kill('SIGKILL');
  }
  expect(
    child.signalCode ?? (await new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))),
  ).to.equal('SIGKILL');
  return seen;
}

describe('the journal on SQLite when its process is killed', function () {
  this.timeout(60_000);

  it('has every fact it answered for, run after run', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'journal.db');
      const acknowledged: string[] = [];
      for (const [round, lines] of [50, 333, 1000].entries()) {
        acknowledged.push(...(await writeAndKill(path, `run_${round}_`, lines)));
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
      expect(acknowledged.length).to.be.at.least(1383);
    }));
});
