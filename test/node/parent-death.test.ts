import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { isAlive, until } from './real-node.js';

const FIXTURE = fileURLToPath(new URL('fixtures/gateway-like.ts', import.meta.url));
const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;

interface Report {
  readonly pid: number;
  readonly home: string;
  readonly answer: unknown;
  readonly silentMs: number;
}

describe('the death of the gateway', () => {
  let parent: ChildProcess;
  let report: Report;
  beforeEach(async () => {
    parent = spawn(process.execPath, ['--import', LOADER, FIXTURE], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface(parent.stdout!), 'line')) as [string];
    report = JSON.parse(line) as Report;
  });
  afterEach(() => {
    parent.kill('SIGKILL');
    if (isAlive(report.pid)) process.kill(report.pid, 'SIGKILL');
    rmSync(report.home, { recursive: true, force: true });
  });

  it('by SIGKILL ends a host whose event loop is blocked', async () => {
    expect(report.answer, 'the loop of the host must be blocked').to.equal('ack_timeout');
    expect(isAlive(report.pid)).to.equal(true);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    await until(() => !isAlive(report.pid), 'the end of the host', 10_000);
  });
});
