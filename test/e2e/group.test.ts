/** Models that share a process, with a real one: they answer at once, die together and come back together. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { dispose, isAlive, makeHome, post, startProcess, until, type GatewayProcess } from '../support/gateway.js';
import { demoModel, scriptedSentence } from '../support/models.js';
import type { StatusModel } from '../support/status.js';

/** Longer than anything here takes, on a machine that has other things to do. */
const TRIES = 1200;

describe('e2e: host groups', function () {
  this.timeout(120_000);
  const ROLES = ['router', 'fast'] as const;
  let gateway: GatewayProcess;

  before(async () => {
    const home = await makeHome();
    await mkdir(join(home, 'profiles'));
    const [router, fast, general] = [await demoModel('router'), await demoModel('fast'), await demoModel('general')];
    const lines = [
      'version: 1',
      'name: grouped',
      'defaults: { context: 2048, threads: 1, gpu_layers: 0 }',
      'models:',
      `  router: { file: ${router}, role: router, host: small }`,
      `  fast: { file: ${fast}, role: fast, host: small }`,
      `  twin: { file: ${fast}, host: small, slots: 2 }`,
      `  general: { file: ${general} }`,
      'flow: { default: general }',
    ];
    await writeFile(join(home, 'profiles/grouped.yaml'), lines.join('\n'));
    gateway = await startProcess({ args: ['--profile', 'grouped'], home });
  });
  after(dispose);

  const ask = async (model: string): Promise<string> => {
    const response = await post(`${gateway.url}/v1/execute`, { task: 'hi', model });
    const { output } = (await response.json()) as { output: { text: string } };
    return output.text.trim();
  };

  const status = async (): Promise<ReadonlyMap<string, StatusModel>> => {
    const { models } = (await (await fetch(`${gateway.url}/v1/status`)).json()) as { models: readonly StatusModel[] };
    return new Map(models.map((model) => [model.name, model]));
  };

  const answerAll = async (): Promise<number> => {
    const texts = await Promise.all([...ROLES, ...ROLES, 'twin'].map(ask));
    const expected = [...ROLES, ...ROLES, 'fast' as const].map((role) => scriptedSentence(role).trim());
    expect(texts).to.deep.equal(expected);
    const models = await status();
    const pids = [...ROLES, 'twin'].map((name) => models.get(name)?.pid);
    expect(new Set(pids).size, pids.join()).to.equal(1);
    expect(models.get('general')).to.include({ state: 'unloaded', group: null });
    return pids[0] ?? 0;
  };

  it('have one process, which answers for all of them at once, and share the weights of one file', async () => {
    await answerAll();
    const models = await status();
    expect(models.get('router')).to.include({ state: 'ready', group: 'small', loads: 1 });
    const shared = ['fast', 'twin'].filter((name) => models.get(name)?.memory.allocated?.sharedWeights === true);
    expect(shared).to.have.length(1);
  });

  it('come back, all of them, when it is killed', async () => {
    const pid = await answerAll();
    process.kill(pid, 'SIGKILL');
    await until('the end of the process', () => !isAlive(pid), TRIES);
    expect(await answerAll()).to.not.equal(pid);
    const models = await status();
    for (const name of ROLES) expect(models.get(name)).to.include({ state: 'ready', crashes: 1, loads: 2 });
  });

  it('are unloaded together', async () => {
    const pid = await answerAll();
    const unloaded = await post(`${gateway.url}/v1/models/fast/unload`, {});
    expect(await unloaded.json()).to.include({ model: 'fast+router+twin', was_loaded: true });
    expect(isAlive(pid)).to.equal(false);
    const models = await status();
    for (const name of ROLES) expect(models.get(name)?.state).to.equal('unloaded');
    expect(await gateway.stop()).to.equal(0);
  });
});
