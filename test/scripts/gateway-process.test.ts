/**
 * Starting and ending a gateway process, with a stand-in for the gateway: a small program that answers /readyz.
 */
import { expect } from 'chai';
import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRunning, startTokenOf } from '../../scripts/lib/process-identity.mjs';
import {
  checkPortIsFree,
  endProcessTree,
  startGateway,
  waitUntilReady,
} from '../../scripts/lifecycle/gateway-process.mjs';
import { pidFileOf, runningGateway, writeGatewayRecord } from '../../scripts/lifecycle/pid-file.mjs';
import { startProcess } from '../support/gateway.js';

const standIn = `
import { createServer } from 'node:http';
import { spawn } from 'node:child_process';
const behaviour = process.env.STAND_IN ?? '';
const port = Number(process.argv[process.argv.indexOf('--port') + 1]);
if (behaviour === 'broken') {
  console.log(JSON.stringify({ level: 60, msg: 'the profile names no model' }));
  process.exit(1);
}
const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
let ready = behaviour !== 'never ready';
const server = createServer((_, response) => {
  response.statusCode = ready ? 200 : 503;
  response.end(JSON.stringify({ reasons: ready ? [] : ['model a is loading'] }));
});
server.listen(port, '127.0.0.1', () => console.log('child ' + child.pid));
process.on('SIGTERM', () => {
  if (behaviour === 'deaf') return;
  if (behaviour !== 'leaves children') child.kill('SIGKILL');
  process.exit(0);
});
`;

const folder = mkdtempSync(path.join(tmpdir(), 'llamaestro-lifecycle-'));
const main = path.join(folder, 'stand-in.mjs');
writeFileSync(main, standIn);

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function start(behaviour: string) {
  const home = mkdtempSync(path.join(folder, 'home-'));
  const settings = { host: '127.0.0.1', port: await freePort(), profile: 'demo' };
  process.env['STAND_IN'] = behaviour;
  const gateway = startGateway(settings, { home, foreground: false, main });
  delete process.env['STAND_IN'];
  return { home, settings, gateway };
}

const patient = { answerMs: 20_000, readyMs: 20_000, status: () => undefined };

async function messageOf(action: Promise<unknown>): Promise<{ message: string; logLines: string[] }> {
  try {
    await action;
  } catch (error) {
    return error as { message: string; logLines: string[] };
  }
  throw new Error('it did not fail');
}

describe('the gateway as a process', () => {
  it('is ready when /readyz says so, and ends on request with everything under it', async () => {
    const { gateway, settings } = await start('');
    await waitUntilReady(gateway, settings, patient);
    expect(isRunning(gateway)).to.equal(true);
    expect(await endProcessTree(gateway, { graceMs: 10_000, force: false })).to.deep.equal({ ended: true, killed: 0 });
    expect(isRunning(gateway)).to.equal(false);
    expect(await gateway.exited).to.equal(0);
  });

  it("fails with the log's last words when the process ends first", async () => {
    const { gateway, settings } = await start('broken');
    const { message, logLines } = await messageOf(waitUntilReady(gateway, settings, patient));
    expect(message).to.contain('ended before it was ready');
    expect(logLines).to.deep.equal(['the profile names no model']);
  });

  it('is stopped when it is not ready in time', async () => {
    const { gateway, settings } = await start('never ready');
    const { message } = await messageOf(waitUntilReady(gateway, settings, { ...patient, readyMs: 1500 }));
    expect(message).to.contain('model a is loading').and.to.contain('after 1.5 s');
    expect(isRunning(gateway)).to.equal(false);
  });

  it('is left alone by a stop without force when it will not end, and killed by one with force', async () => {
    const { gateway, settings } = await start('deaf');
    await waitUntilReady(gateway, settings, patient);
    expect((await endProcessTree(gateway, { graceMs: 300, force: false })).ended).to.equal(false);
    expect(isRunning(gateway)).to.equal(true);
    const { ended } = await endProcessTree(gateway, { graceMs: 0, force: true, orphanGraceMs: 300 });
    expect(ended).to.equal(true);
    expect(isRunning(gateway)).to.equal(false);
  });

  it('leaves no child behind even when the gateway did', async () => {
    const { gateway, settings } = await start('leaves children');
    await waitUntilReady(gateway, settings, patient);
    const options = { graceMs: 10_000, force: false, orphanGraceMs: 300 };
    expect(await endProcessTree(gateway, options)).to.deep.equal({ ended: true, killed: 1 });
  });
});

describe('the pid file', () => {
  const record = (pid: number, startToken: string) => ({
    pid,
    startToken,
    url: 'http://127.0.0.1:1',
    logPath: 'log',
    startedAt: '2026-01-01T00:00:00Z',
    settings: { host: '127.0.0.1', port: 1, profile: 'demo' },
  });

  it('finds a gateway that runs', () => {
    const home = mkdtempSync(path.join(folder, 'home-'));
    writeGatewayRecord(home, record(process.pid, startTokenOf(process.pid) ?? ''));
    expect(runningGateway(home)?.pid).to.equal(process.pid);
  });

  it('is not taken in by a number that the system gave to another process', () => {
    const home = mkdtempSync(path.join(folder, 'home-'));
    writeGatewayRecord(home, record(process.pid, 'an earlier start'));
    expect(runningGateway(home)).to.equal(undefined);
  });

  it('that was cut short counts as none', () => {
    const home = mkdtempSync(path.join(folder, 'home-'));
    writeFileSync(pidFileOf(home), '{"pid": 12');
    expect(runningGateway(home)).to.equal(undefined);
  });
});

describe('checkPortIsFree', () => {
  it('refuses a port that another program holds, and says how to choose another one', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const { message } = await messageOf(checkPortIsFree({ host: '127.0.0.1', port, profile: 'demo' }));
    expect(message).to.contain(`port ${port}`).and.to.contain('in use');
    await new Promise((resolve) => server.close(resolve));
    await sleep(0);
    await checkPortIsFree({ host: '127.0.0.1', port, profile: 'demo' });
  });
});

describe('src/main.ts started directly', () => {
  it('refuses a port in use before it makes or starts anything', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const port = String((server.address() as AddressInfo).port);
    const home = mkdtempSync(path.join(folder, 'home-'));
    const { message } = await messageOf(startProcess({ args: ['--port', port], home }));
    expect(message).to.contain(`port ${port} of 127.0.0.1 is in use\nChoose another port`);
    expect(message).to.contain('ended with 78').and.not.to.contain('    at ');
    expect(readdirSync(home)).to.deep.equal([]);
    await new Promise((resolve) => server.close(resolve));
  });
});
