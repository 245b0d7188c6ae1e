/** What goes wrong around the gateway: bad starts, its own violent death, a client that leaves in mid-prefill. */
import { once } from 'node:events';
import { truncate, writeFile, copyFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { dispose, isAlive, makeHome, post, sse, startProcess, until, type GatewayProcess } from '../support/gateway.js';
import { prefillModel, scriptedModel } from '../support/models.js';
import { SqliteJournal } from '../../src/journal/sqlite-journal.js';
import { systemClock } from '../../src/base/system-ports.js';

interface StatusBody {
  readonly models: readonly { readonly pid: number | null; readonly leased: number; readonly state: string }[];
}

async function only(gateway: GatewayProcess): Promise<StatusBody['models'][number]> {
  const body = (await (await fetch(`${gateway.url}/v1/status`)).json()) as StatusBody;
  const [model] = body.models;
  if (model === undefined) throw new Error('there is no model');
  return model;
}

async function failure(args: readonly string[], home?: string): Promise<string> {
  const started = startProcess(home === undefined ? { args } : { args, home });
  const outcome = await started.then(
    () => 'it started',
    (thrown: unknown) => String(thrown),
  );
  expect(outcome).to.contain('ended with 78');
  expect(outcome).to.not.match(/\bat .*\.[jt]s:\d+/);
  return outcome;
}

describe('e2e: faults', function () {
  this.timeout(120_000);
  afterEach(dispose);

  it('refuses a port in use', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const text = await failure(['--model', await scriptedModel(), '--port', String(port)]);
    taken.close();
    expect(text).to.contain(`port ${String(port)} of 127.0.0.1 is in use`);
  });

  it('refuses a profile that does not exist, listing those that do', async () => {
    expect(await failure(['--profile', 'nothing']))
      .to.contain("no profile 'nothing'")
      .and.to.contain('demo');
  });

  it('names line and column of a YAML fault', async () => {
    const home = await makeHome();
    const file = join(home, 'broken.yaml');
    await writeFile(file, 'version: 1\nname: broken\nmodels:\n  a: [\n');
    expect(await failure(['--profile', file], home)).to.match(/broken\.yaml:\d+:\d+|line \d+/);
  });

  it('refuses a truncated model file', async () => {
    const home = await makeHome();
    const file = join(home, 'cut.gguf');
    await copyFile(await scriptedModel(), file);
    await truncate(file, 3000);
    expect(await failure(['--model', file], home)).to.contain('cut.gguf');
  });

  it('frees the slot of a client that leaves in the middle of a prefill', async () => {
    const gateway = await startProcess({
      args: ['--model', await prefillModel(), '--context', '8192', '--slots', '1'],
    });
    const gone = new AbortController();
    const body = { model: 'default', prompt: 'abcd '.repeat(1400), stream: true, max_tokens: 4 };
    const left = post(`${gateway.url}/v1/completions`, body, gone.signal)
      .then(async (response) => {
        for await (const event of sse(response)) void event;
      })
      .catch(() => undefined);
    await until('the slot is taken', async () => (await only(gateway)).leased === 1, 400);
    gone.abort();
    await left;
    await until('the slot is free', async () => (await only(gateway)).leased === 0);
    const next = await post(`${gateway.url}/v1/completions`, { model: 'default', prompt: 'ab', max_tokens: 2 });
    expect(next.status).to.equal(200);
  });

  it('ends its hosts when it is killed, and accounts for the cut run when it comes back', async () => {
    const args = ['--model', await scriptedModel()];
    const gateway = await startProcess({ args });
    const pid = (await only(gateway)).pid ?? 0;
    const response = await post(`${gateway.url}/v1/execute`, { task: 'hi', stream: true, ignore_eos: true });
    let id = '';
    for await (const event of sse(response)) {
      if (event.event === 'run.accepted') id = (JSON.parse(event.data) as { id: string }).id;
      if (event.event === 'run.delta') break;
    }
    await gateway.kill();
    await until('the host is gone', () => !isAlive(pid));
    const again = await startProcess({ args, home: gateway.home });
    expect((await post(`${again.url}/v1/execute`, { task: 'hi' })).status).to.equal(200);
    expect(await again.stop()).to.equal(0);
    const journal = new SqliteJournal({ path: join(gateway.home, 'llamaestro.db'), clock: systemClock });
    await journal.open();
    const record = await journal.get(id);
    const unfinished = await journal.unfinished();
    await journal.close();
    expect(record?.terminal?.status).to.equal('interrupted');
    expect(unfinished).to.deep.equal([]);
  });
});
