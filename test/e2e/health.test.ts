/** Hosts that freeze, die or are frozen before they do anything, with real processes and real signals, at whatever they are at. */
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  childrenOf,
  dispose,
  isAlive,
  makeHome,
  post,
  sse,
  startProcess,
  until,
  type GatewayProcess,
} from '../support/gateway.js';
import type { StatusModel } from '../support/status.js';
import { demoModels, prefillModel, scriptedSentence } from '../support/models.js';

/** What stands for the one model of a server that was given a file. */
const ONLY = 'default';

/** Longer than any detection takes, on a machine that has other things to do. */
const TRIES = 1200;

async function modelOf(gateway: GatewayProcess, name: string): Promise<StatusModel> {
  const { models } = (await (await fetch(`${gateway.url}/v1/status`)).json()) as { models: readonly StatusModel[] };
  const model = name === ONLY ? models[0] : models.find((other) => other.name === name);
  if (model === undefined) throw new Error(`no model ${name}`);
  return model;
}

async function pidOf(gateway: GatewayProcess, name: string): Promise<number> {
  const { pid } = await modelOf(gateway, name);
  if (pid === null) throw new Error(`${name} has no process`);
  return pid;
}

/** The code in which a request ended; 'completed' when it did well. */
async function codeOf(response: Response): Promise<string> {
  const body = (await response.json()) as { status?: string; error?: { code: string } };
  return body.error?.code ?? body.status ?? 'nothing';
}

/** A stream that has begun to answer; `code` says how it ended. */
async function decoding(gateway: GatewayProcess, model: string): Promise<{ readonly code: Promise<string> }> {
  const body = { task: 'hi', model, stream: true, ignore_eos: true, max_tokens: 12_000 };
  const events = sse(await post(`${gateway.url}/v1/execute`, body));
  for (;;) {
    const { done, value } = await events.next();
    if (done === true) throw new Error(`${model} never answered`);
    if (value.event === 'run.delta') break;
  }
  const rest = async (): Promise<string> => {
    for await (const { event, data } of events) {
      if (event === 'run.completed') return 'completed';
      if (event === 'run.failed') return (JSON.parse(data) as { error: { code: string } }).error.code;
    }
    return 'nothing';
  };
  return { code: rest() };
}

/** Processes of the gateway that are model hosts, by host id, as their environment tells. */
function hostsOf(gateway: GatewayProcess): ReadonlyMap<string, number> {
  const named = childrenOf(gateway.pid).flatMap((pid) => {
    const hid = /LLAMAESTRO_HID=([^\0]*)/.exec(readFileSync(`/proc/${String(pid)}/environ`, 'utf8'))?.[1];
    return hid === undefined ? [] : [[hid, pid] as const];
  });
  return new Map(named);
}

async function demo(): Promise<GatewayProcess> {
  const home = await makeHome();
  symlinkSync(await demoModels(), join(home, 'models'));
  return startProcess({ args: ['--profile', 'demo'], home });
}

(existsSync('/proc') ? describe : describe.skip)('e2e: health', function () {
  this.timeout(240_000);
  afterEach(dispose);

  it('replaces hosts that freeze, are killed or abort in the middle of an answer, and says what happened', async () => {
    const gateway = await demo();
    const cases = [
      ['coder', 'SIGSTOP', 'host_stuck', /frozen/],
      ['planner', 'SIGKILL', 'host_lost', /SIGKILL/],
      ['critic', 'SIGABRT', 'host_lost', /SIGABRT/],
    ] as const;
    const strike = async ([model, signal, code, words]: (typeof cases)[number]): Promise<void> => {
      const stream = await decoding(gateway, model);
      const pid = await pidOf(gateway, model);
      process.kill(pid, signal);
      expect(await stream.code, model).to.equal(code);
      await until(`the end of ${model}`, () => !isAlive(pid), TRIES);
      expect((await modelOf(gateway, model)).last_error?.message, model).to.match(words);
      const again = await post(`${gateway.url}/v1/execute`, { task: 'hi', model });
      const { output } = (await again.json()) as { output: { text: string } };
      expect(output.text.trim()).to.equal(scriptedSentence(model).trim());
      expect(await modelOf(gateway, model)).to.include({ state: 'ready', crashes: 1 });
    };
    await Promise.all(cases.map(strike));
    expect((await fetch(`${gateway.url}/healthz`)).status).to.equal(200);
    const metrics = await (await fetch(`${gateway.url}/metrics`)).text();
    expect(metrics).to.contain('llamaestro_model_crashes{model="coder"} 1');
    expect(await gateway.stop()).to.equal(0);
  });

  it('ends a drain whose host freezes, and loads the model again for who comes', async () => {
    const gateway = await demo();
    const stream = await decoding(gateway, 'general');
    const pid = await pidOf(gateway, 'general');
    const unload = post(`${gateway.url}/v1/models/general/unload`, { drain_ms: 600_000 });
    await until('the drain', async () => (await modelOf(gateway, 'general')).state === 'draining', TRIES);
    process.kill(pid, 'SIGSTOP');
    expect(await stream.code).to.equal('host_stuck');
    expect(await (await unload).json()).to.include({ was_loaded: true, process: 'was ended by SIGKILL' });
    expect(await codeOf(await post(`${gateway.url}/v1/execute`, { task: 'hi', model: 'general' }))).to.equal(
      'completed',
    );
  });

  it('finds out that a process was frozen before its load, and serves who waits from another one', async () => {
    const gateway = await demo();
    const spareOf = async (): Promise<number | undefined> => {
      const { models } = (await (await fetch(`${gateway.url}/v1/status`)).json()) as { models: StatusModel[] };
      const loaded = new Set(models.map(({ host }) => host));
      return [...hostsOf(gateway)].find(([hid]) => hid.startsWith('hid_') && !loaded.has(hid))?.[1];
    };
    await until('a spare host', async () => (await spareOf()) !== undefined, TRIES);
    const spare = (await spareOf()) ?? 0;
    // It must have spoken, or the next load does not take it.
    await new Promise((resolve) => setTimeout(resolve, 2000));
    process.kill(spare, 'SIGSTOP');
    expect(await codeOf(await post(`${gateway.url}/v1/execute`, { task: 'hi', model: 'reasoner' }))).to.equal(
      'completed',
    );
    await until('the end of the frozen one', () => !isAlive(spare), TRIES);
  });

  it('tries a long prompt again whose host froze, and sets one aside that was there when two hosts died', async () => {
    const args = ['--model', await prefillModel(), '--context', '8192', '--slots', '1'];
    const gateway = await startProcess({ args });
    const body = { task: 'abcd '.repeat(1400), model: ONLY, max_tokens: 4, ignore_eos: true };
    const working = async (): Promise<number> => {
      const isWorking = async (): Promise<boolean> => {
        const { leased, health } = await modelOf(gateway, ONLY);
        return leased === 1 && (health?.verdict === 'well' || health?.verdict === 'busy');
      };
      await until('work on the prompt', isWorking, TRIES);
      return pidOf(gateway, ONLY);
    };
    const frozen = post(`${gateway.url}/v1/execute`, body);
    const first = await working();
    process.kill(first, 'SIGSTOP');
    const answer = (await (await frozen).json()) as { status: string; attempts: { code?: string }[] };
    expect(answer.status).to.equal('completed');
    expect(answer.attempts.map(({ code }) => code)).to.deep.equal(['host_stuck', undefined]);
    expect(isAlive(first)).to.equal(false);

    const poison = post(`${gateway.url}/v1/execute`, { ...body, task: `x${body.task}` });
    const second = await working();
    process.kill(second, 'SIGKILL');
    await until('its end', () => !isAlive(second), TRIES);
    await until('another host', async () => (await modelOf(gateway, ONLY)).pid !== second, TRIES);
    process.kill(await working(), 'SIGKILL');
    const refused = await poison;
    expect([refused.status, await codeOf(refused)]).to.deep.equal([422, 'poison']);
    expect(await codeOf(await post(`${gateway.url}/v1/execute`, { task: 'hi', model: ONLY, max_tokens: 2 }))).to.equal(
      'completed',
    );
  });
});
