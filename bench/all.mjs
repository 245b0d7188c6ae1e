/**
 * Every figure of bench/ in one run: `npm run bench -- --peer PATH/llama-server [--node-llama-cpp FOLDER] [--quick]`. One
 * table of what must be reached and what was, in bench/last-run.json too. Some 20 minutes on a quiet machine, 6 with
 * --quick; a row that fails or finds no time says so. --only WORD[,WORD] runs the scripts of these names.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { buildDescription } from '../dist/engine/index.js';
import { endAll, runNode } from './lib/child-run.mjs';
import { coreBench } from './lib/limit.mjs';
import { modelSet } from './lib/models.mjs';
import { rowsOf } from './lib/rows.mjs';
import { SHOWN, tableLine } from './lib/table.mjs';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    'node-llama-cpp': { type: 'string' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});
/** Seconds for one command, and for all of them once everything is built. */
const [commandSeconds, allSeconds] = values.quick ? [60, 7 * 60] : [180, 22 * 60];
const scratch = mkdtempSync(join(tmpdir(), 'llamaestro-all-'));
const env = { ...process.env, TMPDIR: scratch };

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    void endAll().then(() => {
      rmSync(scratch, { recursive: true, force: true });
      process.exit(1);
    });
  });
}

async function execute({ script, args, size }) {
  const path = join(HERE, `${script}.mjs`);
  if (!existsSync(path)) return { failure: `bench/${script}.mjs is not there` };
  if (args.includes(undefined)) return { failure: 'needs --node-llama-cpp or --peer' };
  const limitMs = Math.min(commandSeconds * 1000, untilMs - performance.now());
  if (limitMs < 1000) return { failure: 'no time left' };
  const [load] = loadavg();
  const startMs = performance.now();
  const { output, failure } = await runNode([path, ...args, ...size[values.quick ? 1 : 0]], { limitMs, env });
  const seconds = (performance.now() - startMs) / 1000;
  console.log(`bench/${script}.mjs, ${seconds.toFixed(0)} s, load ${load.toFixed(1)} before`);
  console.log(`${output}${failure === undefined ? '' : `FAILED: ${failure}`}`.replace(/^/gm, '  ').trimEnd());
  return { output, failure, seconds, load };
}

const peers = values.peer === undefined ? {} : { server: resolve(values.peer) };
if (peers.server !== undefined) peers.batchedBench = join(dirname(peers.server), 'llama-batched-bench');
if (values['node-llama-cpp'] !== undefined) peers.nodeLlamaCpp = resolve(values['node-llama-cpp']);
const only = values.only?.split(',');
const rows = rowsOf({ models: await modelSet('bench'), ...peers }).filter(
  ({ run }) => !only || only.includes(run.script),
);
if (rows.some(({ run }) => run.script === 'engine-limit')) await coreBench();
const untilMs = performance.now() + allSeconds * 1000;
const runs = new Map();
const machine = {
  cpu: cpus()[0]?.model,
  cores: availableParallelism(),
  node: process.version,
  engine: buildDescription(),
};
console.log(Object.values(machine).join(', '));
const startedAt = new Date().toISOString();
const table = [];
for (const row of rows) {
  if (!runs.has(row.run)) runs.set(row.run, await execute(row.run));
  const line = tableLine(row, runs.get(row.run));
  if (line !== undefined) table.push(line);
}
rmSync(scratch, { recursive: true, force: true });
console.table(table, SHOWN);
const commands = [...runs].map(([{ script, args, size }, result]) => ({
  script,
  args: [...args, ...size[values.quick ? 1 : 0]],
  ...result,
}));
writeFileSync(
  join(HERE, 'last-run.json'),
  `${JSON.stringify({ startedAt, quick: values.quick, machine, table, commands }, null, 2)}\n`,
);
const count = (test) => table.filter((line) => line.target !== '' && test(line)).length;
const [held, missed] = ['yes', 'NO'].map((word) => count(({ holds }) => holds === word));
console.log(`of ${count(() => true)} targets ${held} hold, ${missed} do not, the others were not measured`);
