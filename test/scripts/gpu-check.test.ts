/** The check for GPU machines, as far as it goes without one: its words, and one step of it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { OutOfTime } from '../../scripts/gpu-check/context.mjs';
import { runParts } from '../../scripts/gpu-check/parts.mjs';

const script = fileURLToPath(new URL('../../scripts/gpu-check.mjs', import.meta.url));

describe('scripts/gpu-check', () => {
  let out: string;
  beforeEach(() => (out = mkdtempSync(path.join(tmpdir(), 'llamaestro-gpu-'))));
  afterEach(() => rmSync(out, { recursive: true, force: true }));

  function check(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', env: { ...process.env, OUT: out } });
  }

  it('writes what a step found into one file, and a copy where it is asked for', () => {
    const { status, stdout, stderr } = check('run', '--only', 'machine');
    expect(status, stderr).to.equal(0);
    expect(stdout).to.include('ok machine');
    const result = JSON.parse(readFileSync(path.join(out, 'gpu-check.json'), 'utf8')) as Record<string, unknown>;
    expect(result['steps']).to.have.nested.property('machine.outcome.node', process.version);
  });

  it('begins no step for which its time does not suffice, and says that there is more to do', () => {
    const { status, stdout } = check('run', '--only', 'speed', '--budget', '10');
    expect(status).to.equal(4);
    expect(stdout).to.include('call again');
  });

  it('refuses verbs, steps and budgets that it does not know', () => {
    expect(check().status).to.equal(2);
    expect(check('run', '--budget', 'soon').status).to.equal(2);
    const { status, stderr } = check('run', '--only', 'nothing');
    expect(status).to.not.equal(0);
    expect(stderr).to.include('unpack, machine, addon');
  });
});

describe('a step of several parts', () => {
  const budgetMs = 1000;
  const call = (leftMs: number) => ({ budgetMs, leftMs: () => leftMs, say: () => undefined });
  const good = (name: string) => () => Promise.resolve({ name });
  const late = () => Promise.reject(new OutOfTime('it was stopped'));

  /** What comes out of one call, or the words of its end. */
  function outcome(leftMs: number, parts: Record<string, () => Promise<object>>, done: Record<string, object>) {
    const said = (error: unknown): string => (error as Error).message;
    return runParts(call(leftMs), parts, { leastMs: 100, done, keep: () => undefined }).catch(said);
  }

  it('goes on where the last call stopped', async () => {
    const done: Record<string, object> = {};
    expect(await outcome(500, { one: good('1'), two: late, three: good('3') }, done)).to.equal('it was stopped');
    expect(done).to.deep.equal({ one: { name: '1' } });
    const parts = { one: late, two: good('2'), three: good('3') };
    expect(await outcome(500, parts, done)).to.deep.equal({
      one: { name: '1' },
      two: { name: '2' },
      three: { name: '3' },
    });
  });

  it('begins no part for which the time does not suffice', async () => {
    expect(await outcome(99, { one: good('1') }, {})).to.equal('before one');
  });

  it('gives up a part that a whole call was not enough for, and does the others', async () => {
    const done = {};
    await outcome(budgetMs, { one: late, two: good('2') }, done);
    expect(done).to.have.nested.property('one.failure', 'it was stopped after 1 s, a whole call');
    expect(done).to.have.property('two');
  });
});
