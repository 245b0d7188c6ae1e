import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { prefillModel, scriptedModel, scriptedSentence } from '../support/models.js';
import { RealNode, isAlive } from './real-node.js';

describe('real host processes', () => {
  let node: RealNode;
  let file: string;
  before(async () => {
    file = await scriptedModel();
    node = await RealNode.start();
  });
  after(() => node.close());

  it('load a model and stream its answer over the bus', async () => {
    const { hid } = await node.spawnWith({ file, slots: 2, contextTokens: 1024 });
    expect(await node.gen(hid, { rid: 'run_stream' })).to.deep.include({ ok: true });
    const final = await node.terminal('run_stream');
    expect(final).to.include({ type: 'final', reason: 'stop' });
    expect(node.textOf('run_stream')).to.equal(scriptedSentence());
    const seqs = node.framesOf('run_stream').map(({ seq }) => seq);
    expect(seqs).to.deep.equal([...seqs.keys()]);
    const ready = node.events.findLast((event) => event.hid === hid);
    expect(ready?.info).to.include({ file, slots: 2 });
    expect(ready?.residentBytes).to.be.greaterThan(10 * 1024 * 1024);
    expect(ready?.planned?.devices).to.deep.equal(ready?.allocated?.devices);
  });

  it('are reported gone when they are killed, and leave nothing', async () => {
    const { hid, pid } = await node.spawnWith({ file });
    await node.gen(hid, { rid: 'run_killed', ignoreEos: true });
    await node.until(() => node.framesOf('run_killed').length > 0, 'a frame');
    process.kill(pid, 'SIGKILL');
    expect(await node.exitOf(hid)).to.include({ exitCode: null, signal: 'SIGKILL' });
    expect(isAlive(pid)).to.equal(false);
    const next = await node.spawnWith({ file });
    await node.gen(next.hid, { rid: 'run_after_kill' });
    expect(await node.terminal('run_after_kill')).to.include({ type: 'final' });
  });

  it('end when they are told to', async () => {
    const { hid, pid } = await node.spawn();
    await node.command({ op: 'kill', hid, graceMs: 10_000 });
    expect(await node.exitOf(hid)).to.include({ exitCode: 0, signal: null });
    expect(isAlive(pid)).to.equal(false);
  });

  it('drain on SIGTERM and do not mind SIGINT', async () => {
    const { hid, pid } = await node.spawnWith({ file: await prefillModel(), contextTokens: 2048 });
    process.kill(pid, 'SIGINT');
    await node.gen(hid, { rid: 'run_term', prompt: { kind: 'text', text: 'x'.repeat(600) }, maxTokens: 4 });
    process.kill(pid, 'SIGTERM');
    expect(await node.terminal('run_term')).to.include({ type: 'final' });
    expect(await node.exitOf(hid)).to.include({ exitCode: 0, signal: null });
  });

  it('show no secret to other users, and go first when memory runs out', async function () {
    if (process.platform !== 'linux') return this.skip();
    const { pid } = await node.spawn();
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).not.to.contain(node.broker.token);
    expect(Number(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8'))).to.be.greaterThan(0);
  });

  it('say why a load failed, end with 1, and leave their last words', async () => {
    const { hid } = await node.spawn();
    await node.ask(hid, 'ctl', { op: 'load', load: { file: '/does/not/exist.gguf', purpose: 'generate' } });
    const exit = await node.exitOf(hid);
    expect(exit).to.include({ exitCode: 1 });
    expect(exit.lastWords).to.contain('the load failed').and.contain('model_unusable');
    const failed = node.events.findLast((event) => event.hid === hid);
    expect(failed).to.deep.include({ state: 'failed' });
    expect(failed?.error?.code).to.equal('model_unusable');
  });

  it('never write what people typed into their logs', async () => {
    const { hid } = await node.spawnWith({ file });
    const secret = 'the colour of my bicycle';
    await node.gen(hid, { rid: 'run_secret', prompt: { kind: 'text', text: secret } });
    await node.gen(hid, { rid: 'run_wrong', prompt: { kind: 'text', text: secret }, topP: 7 });
    await node.terminal('run_secret');
    await node.ask(hid, 'gen', { prompt: secret });
    const folder = join(node.home, 'logs');
    for (const name of readdirSync(folder)) {
      expect(readFileSync(join(folder, name), 'utf8')).not.to.contain('bicycle');
    }
  });

  it('beat in a native thread that the agent hears', async () => {
    const { hid } = await node.spawn();
    await node.until(
      () =>
        node.nodeEvents.some(
          (event) => event.type === 'alive' && event.hosts?.some((pulse) => pulse.hid === hid && pulse.silentMs < 1500),
        ),
      'a pulse',
    );
  });

  it('plan, count and list devices without a model, through one planner', async () => {
    const load = { file, purpose: 'generate', slots: 2, contextTokens: 512 } as const;
    const [plan, again, devices, count] = await Promise.all([
      node.command({ op: 'plan', load }),
      node.command({ op: 'plan', load }),
      node.command({ op: 'devices' }),
      node.command({ op: 'count', file, prompt: { kind: 'text', text: 'count me' } }),
    ]);
    expect(plan.body).to.include({ slots: 2, contextTokensPerSlot: 256 });
    expect(again.body).to.deep.equal(plan.body);
    expect(devices.body.devices.map((device: { id: string }) => device.id)).to.include('cpu');
    expect(count.body.count).to.be.greaterThan(0);
  });

  it('run the fake engine when told to, and are all gone when the agent closes', async () => {
    const fake = await RealNode.start({ engine: 'fake' });
    const { hid, pid } = await fake.spawnWith({ file: '/any/fake.gguf' });
    await fake.gen(hid, { rid: 'run_fake' });
    expect(await fake.terminal('run_fake')).to.include({ type: 'final' });
    const busy = await fake.spawnWith({ file: '/any/other.gguf' });
    await fake.gen(busy.hid, { rid: 'run_busy', ignoreEos: true });
    await fake.command({ op: 'devices' });
    await fake.close();
    expect([pid, busy.pid].map(isAlive)).to.deep.equal([false, false]);
    expect(fake.agent.processCount).to.equal(0);
  });

  it('tell of a start that went wrong', async () => {
    const lost = await RealNode.start({ entry: fileURLToPath(new URL('fixtures/no-such-host.ts', import.meta.url)) });
    const { body } = await lost.command({ op: 'spawn', hid: 'h1', label: 'lost' });
    const exit = await lost.exitOf('h1');
    expect(exit.exitCode).not.to.equal(0);
    expect(exit.lastWords).to.contain('no-such-host');
    expect(isAlive(body.pid)).to.equal(false);
    await lost.close();
  });
});
