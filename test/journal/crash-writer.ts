/**
 * A process that writes to the journal at `argv[2]` as fast as it can and prints each fact the moment the journal has answered
 * for it. After `argv[4]` facts it kills itself in that very moment, which is the worst one; with 0 it waits to be killed.
 */
import { writeSync } from 'node:fs';
import { systemClock } from '../../src/base/system-ports.js';
import { SqliteJournal } from '../../src/journal/sqlite-journal.js';
import { acceptRecord, COMPLETED } from './contract.js';

const [, , path = '', prefix = '', limit = '0'] = process.argv;
let said = 0;

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Writes at once and whole; when the reader lags, the pipe says EAGAIN until it has room again. */
function print(line: string): void {
  for (;;) {
    try {
      writeSync(1, line);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}

function say(fact: string): void {
  print(`${fact}\n`);
  said += 1;
  if (said === Number(limit)) process.kill(process.pid, 'SIGKILL');
}

const journal = new SqliteJournal({ path, clock: systemClock });
await journal.open();

async function oneRun(id: string): Promise<void> {
  await journal.accept(acceptRecord(id));
  say(`accepted ${id}`);
  if (await journal.dispatch(id, 1, 'h_1')) say(`dispatched ${id}`);
  if (await journal.finish(id, COMPLETED)) say(`finished ${id}`);
}

for (let count = 0; ; count += 4) await Promise.all([0, 1, 2, 3].map((lane) => oneRun(`${prefix}${count + lane}`)));
