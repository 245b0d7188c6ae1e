/** Switching profiles on a real gateway: under load, taken back, cut off by SIGKILL, and by the command line. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import type { SwitchProgress } from '../../src/schema/profile-switch.js';
import { soak } from '../soak/switch-soak.js';
import { demoHome } from '../support/demo-home.js';
import { dispose, post, startProcess, until, type GatewayProcess } from '../support/gateway.js';

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
interface Model {
  readonly name: string;
  readonly pid: number | null;
  readonly state: string;
}
interface Status {
  readonly profile: { readonly name: string };
  readonly models: readonly Model[];
  readonly switch: SwitchProgress;
  readonly nodes: readonly { readonly ledger: readonly { readonly heldBytes: number }[] }[];
}
interface Answer {
  readonly status: number;
  readonly model: string;
  readonly code?: string;
}

const statusOf = async (gateway: GatewayProcess): Promise<Status> =>
  (await (await fetch(`${gateway.url}/v1/status`)).json()) as Status;
const switchTo = (gateway: GatewayProcess, name: string, more: object = {}): Promise<Response> =>
  post(`${gateway.url}/v1/profiles/switch`, { name, wait: true, ...more });

async function ask(gateway: GatewayProcess, model: string): Promise<Answer> {
  const response = await post(`${gateway.url}/v1/execute`, { task: 'Hello', model });
  const body = (await response.json()) as { route?: { model: string }; error?: { code: string } };
  const code = body.error?.code;
  return { status: response.status, model: body.route?.model ?? model, ...(code === undefined ? {} : { code }) };
}

describe('e2e: switching profiles', function () {
  this.timeout(240_000);
  let gateway: GatewayProcess;
  before(async () => {
    gateway = await startProcess({ args: ['--profile', 'demo'], home: await demoHome() });
  });
  after(dispose);

  it('keeps what is the same, exchanges the rest, and loses no request that comes meanwhile', async () => {
    const before = await statusOf(gateway);
    const pidOf = ({ models }: Status, name: string): unknown => models.find((model) => model.name === name)?.pid;
    const answers: Promise<Answer>[] = [];
    const names = ['auto', 'router', 'fast', 'coder'];
    let isOver = false;
    const load = (async () => {
      for (let count = 0; !isOver && count < 400; count++) {
        answers.push(ask(gateway, names[count % names.length] ?? 'auto'));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    for (const name of ['demo-small', 'demo', 'demo-small']) {
      expect((await switchTo(gateway, name)).status).to.equal(200);
    }
    isOver = true;
    await load;
    const all = await Promise.all(answers);
    expect(all.filter(({ status }) => status !== 200)).to.deep.equal([]);
    const after = await statusOf(gateway);
    expect(after.profile.name).to.equal('demo-small');
    expect(pidOf(after, 'router')).to.equal(pidOf(before, 'router'));
    expect(pidOf(after, 'fast')).to.not.equal(pidOf(before, 'fast'));
    expect(after.models.map(({ name }) => name)).to.deep.equal(['router', 'fast', 'coder', 'embedder']);
    expect(await ask(gateway, 'general')).to.include({ status: 404, code: 'model_not_found' });
  });

  it('loses and repeats nothing over several switches under load, and comes to its first ledger again', async () => {
    await switchTo(gateway, 'demo');
    for (const name of ['general', 'coder', 'planner']) await post(`${gateway.url}/v1/models/${name}/unload`, {});
    const report = await soak(gateway, {
      ...{ switches: 4, requestsPerS: 20, profiles: ['demo', 'demo-small'] },
      ...{ shared: ['auto', 'router', 'fast', 'coder'], single: ['general', 'planner'] },
    });
    expect(report.wrong).to.deep.equal([]);
    expect(report.asked).to.be.above(0);
  });

  it('is one command, with progress, a plan, and an exit code', async () => {
    const cli = async (...words: string[]): Promise<{ stdout: string; stderr: string }> =>
      promisify(execFile)(process.execPath, ['--import', 'tsx', CLI, '--url', gateway.url, ...words]);
    const planned = await cli('switch', 'demo-small', '--dry-run');
    expect(planned.stdout).to.contain('a switch to it now').and.to.contain('stays: router');
    const done = await cli('switch', 'demo-small', '--drain', '5s');
    expect(done.stdout).to.match(/^profile 'demo-small' is active, after /);
    expect(done.stderr).to.contain("to 'demo-small': ");
    const json = JSON.parse((await cli('switch', 'demo', '--json')).stdout) as SwitchProgress;
    expect(json).to.deep.include({ state: 'stable', active: 'demo' });
    const wrong = await cli('switch', 'nothing').catch((error: unknown) => error as { code: number; stderr: string });
    expect(wrong).to.include({ code: 1 });
    expect(wrong.stderr).to.contain("there is no profile 'nothing'");
  });

  it('comes up with the old profile or with the new one after a SIGKILL, and with the models that were loaded', async () => {
    await switchTo(gateway, 'demo');
    await ask(gateway, 'planner');
    await new Promise((resolve) => setTimeout(resolve, 6000)); // until it is written down
    const { home } = gateway;
    let before = 'demo';
    for (const delayMs of [0, 60, 200, 450]) {
      const to = before === 'demo' ? 'demo-small' : 'demo';
      void post(`${gateway.url}/v1/profiles/switch`, { name: to }).catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      await gateway.kill();
      gateway = await startProcess({ args: [], home });
      const { profile, switch: change } = await statusOf(gateway);
      expect([before, to]).to.include(profile.name);
      if (change.last !== undefined) expect(change.last.result === 'done').to.equal(profile.name === change.last.to);
      expect((await ask(gateway, 'auto')).status).to.equal(200);
      if (delayMs === 0 && profile.name === 'demo') {
        const state = async (): Promise<unknown> =>
          (await statusOf(gateway)).models.find(({ name }) => name === 'planner')?.state;
        await until('the planner', async () => (await state()) === 'ready');
      }
      before = profile.name;
    }
  });
});
