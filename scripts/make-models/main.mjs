/**
 * Command line: `node scripts/make-models/main.mjs --out DIR [--set demo|test|architectures|bench|dev-sparse] [--only NAME]`. Prints one
 * line per file it makes and nothing for a file that is up to date; exit 2 for a wrong option, 1 for anything that failed.
 */
import { parseArgs } from 'node:util';
import { makeModels, setNames } from './make.mjs';

const usage = `usage: node scripts/make-models/main.mjs --out DIR [--set ${setNames.join('|')}] [--only NAME]`;

function readOptions() {
  const options = {
    out: { type: 'string' },
    set: { type: 'string' },
    only: { type: 'string' },
    quiet: { type: 'boolean' },
  };
  try {
    const { values } = parseArgs({ options });
    if (values.out === undefined) throw new Error('--out is missing');
    return values;
  } catch (error) {
    console.error(`make-models: ${error.message}\n${usage}`);
    process.exit(2);
  }
}

const { quiet, ...wanted } = readOptions();
try {
  await makeModels({ ...wanted, log: quiet ? () => undefined : (line) => console.log(line) });
} catch (error) {
  console.error(`make-models: ${error.message}`);
  process.exitCode = 1;
}
