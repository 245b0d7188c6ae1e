/**
 * `scripts/start.sh` and `scripts/stop.sh` as a person uses them, with the real gateway and the demo profile, in a
 * LLAMAESTRO_HOME of their own.
 */
import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { addonFile, rootDir } from '../../scripts/lib/paths.mjs';
import { descendantsOf, isRunning } from '../../scripts/lib/process-identity.mjs';
import { pidFileOf, runningGateway } from '../../scripts/lifecycle/pid-file.mjs';

interface Outcome {
  readonly status: number | null;
  readonly output: string;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('npm start and npm stop', function () {
  this.timeout(180_000);
  let home = '';
  let port = 0;

  function script(name: string, ...args: string[]): Promise<Outcome> {
    return new Promise((resolve) => {
      const env = { ...process.env, LLAMAESTRO_HOME: home };
      const child = spawn(path.join(rootDir, 'scripts', name), args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
      let output = '';
      child.stdout.on('data', (data: Buffer) => (output += data.toString()));
      child.stderr.on('data', (data: Buffer) => (output += data.toString()));
      child.on('close', (status) => resolve({ status, output }));
    });
  }

  const start = (...args: string[]) => script('start.sh', '--port', String(port), ...args);

  before(async function () {
    if (!existsSync(addonFile) || process.platform === 'win32') this.skip();
    home = mkdtempSync(path.join(tmpdir(), 'llamaestro-start-'));
    port = await freePort();
  });

  after(async () => {
    if (home === '') return;
    await script('stop.sh', '--force');
    rmSync(home, { recursive: true, force: true });
  });

  it('explains itself and starts nothing when asked for help', async () => {
    for (const [name, option] of [
      ['start.sh', '--foreground'],
      ['stop.sh', '--timeout'],
    ] as const) {
      const { status, output } = await script(name, '--help');
      expect(output)
        .to.match(/^usage: npm /)
        .and.to.contain(option);
      expect(status).to.equal(0);
    }
    expect(readdirSync(home)).to.deep.equal([]);
  });

  it('starts, says where it is and what to try, and answers there', async () => {
    const { status, output } = await start();
    expect(output).to.contain(`ready at http://127.0.0.1:${port} (profile demo)`);
    expect(output).to.match(/curl -N .*\/v1\/execute/);
    expect(status).to.equal(0);
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).to.equal(200);
  });

  it('leaves a gateway with the same settings alone', async () => {
    const before = runningGateway(home)?.pid;
    const { status, output } = await start();
    expect(output).to.contain('already running');
    expect(status).to.equal(0);
    expect(runningGateway(home)?.pid).to.equal(before);
  });

  it('ends with status 3 where a gateway has other settings, and says what to do', async () => {
    const { status, output } = await start('--profile', 'dev');
    expect(output).to.contain('profile is demo, you asked for dev').and.to.contain('npm stop');
    expect(status).to.equal(3);
  });

  it('goes by the profile that is active now, not by the one it was started with', async () => {
    const demo = readFileSync(path.join(rootDir, 'profiles', 'demo.yaml'), 'utf8');
    mkdirSync(path.join(home, 'profiles'), { recursive: true });
    writeFileSync(path.join(home, 'profiles', 'second.yaml'), demo.replace('name: demo', 'name: second'));
    const headers = { 'content-type': 'application/json' };
    const request = { method: 'POST', headers, body: '{"name":"second","wait":true}' };
    expect((await fetch(`http://127.0.0.1:${port}/v1/profiles/switch`, request)).status).to.equal(200);

    const same = await start('--profile', 'second');
    expect(same.output).to.contain('already running').and.to.contain('(profile second, process');
    expect(same.status).to.equal(0);
    const other = await start('--profile', 'demo');
    expect(other.output).to.contain('profile is second, you asked for demo');
    expect(other.status).to.equal(3);
    const any = await start();
    expect(any.output).to.contain('already running').and.to.contain('(profile second, process');
    expect(any.status).to.equal(0);
  });

  it('stops and leaves no process behind', async () => {
    const gateway = runningGateway(home);
    expect(gateway).not.to.equal(undefined);
    const below = descendantsOf(gateway?.pid ?? 0);
    expect(below).not.to.have.length(0);
    const { status, output } = await script('stop.sh');
    expect(output).to.contain('no process left');
    expect(status).to.equal(0);
    expect(below.filter(isRunning)).to.deep.equal([]);
    expect(existsSync(pidFileOf(home))).to.equal(false);
  });

  it('says so when there is nothing to stop', async () => {
    const { status, output } = await script('stop.sh');
    expect(output).to.contain('not running');
    expect(status).to.equal(0);
  });

  it('starts again after a gateway was killed, whose hosts end by themselves', async () => {
    // Nobody names a profile: it is the one that was active last.
    expect((await start()).output).to.contain(`ready at http://127.0.0.1:${port} (profile second)`);
    const gateway = runningGateway(home);
    const below = descendantsOf(gateway?.pid ?? 0);
    process.kill(gateway?.pid ?? 0, 'SIGKILL');
    const { status } = await start();
    expect(status).to.equal(0);
    expect(runningGateway(home)?.pid).not.to.equal(gateway?.pid);
    const deadline = performance.now() + 15_000;
    while (below.some(isRunning) && performance.now() < deadline) await new Promise((wait) => setTimeout(wait, 100));
    expect(below.filter(isRunning)).to.deep.equal([]);
    expect((await script('stop.sh')).status).to.equal(0);
  });

  it('shows why a model file cannot be used, and starts nothing', async () => {
    const whole = path.join(home, 'models', 'demo', 'fast.gguf');
    const cut = path.join(home, 'cut.gguf');
    writeFileSync(cut, readFileSync(whole).subarray(0, 3000));
    const { status, output } = await start('--model', cut);
    expect(output).to.contain('cut off').and.not.to.contain('    at ');
    expect(status).to.equal(1);
    expect(runningGateway(home)).to.equal(undefined);
  });

  it('makes up a profile for one model file and prints the tokens of a slot', async () => {
    const model = path.join(home, 'models', 'demo', 'fast.gguf');
    const { status, output } = await start('--model', model, '--context', '4096', '--slots', '2');
    expect(output).to.contain('model fast.gguf, 2 slots of 2048 tokens each');
    expect(status).to.equal(0);
    expect((await fetch(`http://127.0.0.1:${port}/v1/models/fast`)).status).to.equal(200);
    const plain = await start();
    expect(plain.output).to.contain('it runs model fast.gguf').and.to.contain('you asked for a profile');
    expect(plain.status).to.equal(3);
    expect((await script('stop.sh')).status).to.equal(0);
  });
});
