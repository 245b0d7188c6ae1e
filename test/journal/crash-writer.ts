/**
 * A process that writes to the journal at `argv[2]` as fast as it can and prints each fact once the journal has answered for
 * it. It is meant to be killed.
 */
import { systemClock } from '../../src/base/system-ports.js';
import { SqliteJournal } from '../../src/journal/sqlite-journal.js';
import { acceptRecord, COMPLETED } from './contract.js';

const [, , path = '', prefix = ''] = process.argv;
const journal = new SqliteJournal({ path, clock: systemClock });
await journal.open();

async function oneRun(id: string): Promise<void> {
  await journal.accept(acceptRecord(id));
  process.stdout.write(`accepted ${id}\n`);
  if (await journal.dispatch(id, 1, 'h_1')) process.stdout.write(`dispatched ${id}\n`);
  if (await journal.finish(id, COMPLETED)) process.stdout.write(`finished ${id}\n`);
}

for (let count = 0; ; count += 4) await Promise.all([0, 1, 2, 3].map((lane) => oneRun(`${prefix}${count + lane}`)));
