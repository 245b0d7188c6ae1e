/** The table that `npm run bench` prints: figures found where the scripts print them, judged, and no process left behind. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const LIB = fileURLToPath(new URL('../../bench/lib', import.meta.url));

/** The scripts are plain JavaScript without types: they are called as a user's shell calls them. */
function evaluate(code: string): unknown {
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
  return JSON.parse(printed);
}

function lines(output: string, failure?: string): Record<string, unknown>[] {
  const paths = { models: { '15m': 's', '150m': 'l' }, server: 'p', batchedBench: 'b', nodeLlamaCpp: 'n' };
  return evaluate(`
    import { rowsOf } from ${JSON.stringify(join(LIB, 'rows.mjs'))};
    import { tableLine } from ${JSON.stringify(join(LIB, 'table.mjs'))};
    const result = ${JSON.stringify({ output, failure })};
    console.log(JSON.stringify(rowsOf(${JSON.stringify(paths)}).map((row) => tableLine(row, result) ?? null)));
  `) as Record<string, unknown>[];
}

const of = (table: Record<string, unknown>[], work: string, what: string): Record<string, unknown> | undefined =>
  table.find((line) => line?.['work'] === work && line['what'] === what);

describe('the table of figures', () => {
  it('judges a ratio in the line of its streams', () => {
    const table = lines(
      '1 streams: llamaestro 90.0 tokens/s, llama-server 100.0, ratio 0.900\n8 streams: llamaestro 120.0 tokens/s, llama-server 100.0, ratio 1.200\n',
    );
    expect(of(table, '150M, 8 streams', 'server / llama-server')).to.include({
      figure: '1.2',
      holds: 'yes',
      sides: 'llamaestro 120.0, llama-server 100.0',
    });
    expect(of(table, '150M, one stream', 'server / llama-server')).to.include({ figure: '0.9', holds: 'NO' });
  });

  it('reads times of either unit in seconds, and negative differences', () => {
    const table = lines(
      'first token: llamaestro 310 ms, llama-server 6.2 s\nlongest gap: llamaestro 0.6 s, llama-server 3.9 s\nx difference -0.4 ms\n',
    );
    expect(of(table, 'first token behind a 3000-token prompt', 'time')).to.include({
      figure: '0.31 s',
      holds: 'yes',
      sides: 'llamaestro 310, llama-server 6.2',
    });
    expect(of(table, 'longest gap of a running stream', 'time')).to.include({ figure: '0.6 s', holds: 'NO' });
    expect(of(table, 'first token of 15M', 'over HTTP - engine')).to.include({ figure: '-0.4 ms', holds: 'yes' });
  });

  it('says why a figure is missing, and leaves out what --quick does not measure', () => {
    expect(of(lines('', 'not done in 60 s'), 'two 150M models at once', 'sum / one alone')).to.include({
      figure: '-',
      holds: 'not done in 60 s',
    });
    expect(of(lines(''), '150M, prompt of 16384', 'server / llama-server')).to.equal(undefined);
  });
});

describe('a command of the table', () => {
  const folder = mkdtempSync(join(tmpdir(), 'llamaestro-child-run-'));
  after(() => {
    rmSync(folder, { recursive: true });
  });

  it('leaves no process behind when its time is up, not even one that ignores SIGTERM', () => {
    const pidFile = join(folder, 'pid');
    const script = join(folder, 'script.mjs');
    const stubborn = `process.on('SIGTERM', () => {}); require('fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid)); setInterval(() => {}, 1000);`;
    writeFileSync(
      script,
      `import { spawn } from 'node:child_process';
       console.log('begun');
       spawn(process.execPath, ['-e', ${JSON.stringify(stubborn)}], { stdio: 'ignore' });
       setInterval(() => {}, 1000);`,
    );
    const result = evaluate(`
      import { runNode } from ${JSON.stringify(join(LIB, 'child-run.mjs'))};
      console.log(JSON.stringify(await runNode([${JSON.stringify(script)}], { limitMs: 3000, env: process.env })));
    `);
    expect(result).to.deep.equal({ output: 'begun\n', failure: 'not done in 3 s' });
    const pid = Number(readFileSync(pidFile, 'utf8'));
    expect(() => process.kill(pid, 0)).to.throw('ESRCH');
  }).timeout(30_000);

  it('gives the error of a script that fails', () => {
    const script = join(folder, 'fails.mjs');
    writeFileSync(script, `throw new Error('no such model');`);
    const result = evaluate(`
      import { runNode } from ${JSON.stringify(join(LIB, 'child-run.mjs'))};
      console.log(JSON.stringify(await runNode([${JSON.stringify(script)}], { limitMs: 30000, env: process.env })));
    `);
    expect(result).to.deep.equal({ output: '', failure: 'Error: no such model' });
  }).timeout(30_000);
});
