/** The check for GPU machines, as far as it goes without one: its words, and one step of it. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

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
    expect(result['machine']).to.have.nested.property('outcome.node', process.version);
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
