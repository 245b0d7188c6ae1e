/** The whole chain with the demo profile: HTTP, router, bus, host, addon. Real processes, real models. */
import { existsSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import OpenAI from 'openai';
import {
  dispose,
  isAlive,
  makeHome,
  post,
  sse,
  sseAll,
  startProcess,
  until,
  type GatewayProcess,
} from '../support/gateway.js';
import type { StatusModel } from '../support/status.js';
import { demoModels, scriptedSentence } from '../support/models.js';

interface Status {
  readonly health: string;
  readonly models: readonly StatusModel[];
  readonly runs: { readonly running: number };
}
interface RunBody {
  readonly output: { readonly text: string };
  readonly route: { readonly model: string; readonly source: string };
  readonly status: string;
  readonly finish_reason: string;
  readonly warnings: readonly string[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly cached_tokens: number;
    readonly completion_tokens: number;
  };
  readonly error?: { readonly code: string; readonly param: string | null; readonly message: string };
  readonly remedy?: string;
  readonly details?: Record<string, unknown>;
}

const GENERATING = ['router', 'fast', 'general', 'coder', 'reasoner', 'planner', 'critic', 'summarizer'] as const;

describe('e2e: the demo profile', function () {
  this.timeout(180_000);
  let gateway: GatewayProcess;
  const execute = (body: unknown, signal?: AbortSignal): Promise<Response> =>
    post(`${gateway.url}/v1/execute`, body, signal);
  const run = async (body: unknown): Promise<RunBody> => (await (await execute(body)).json()) as RunBody;
  const status = async (): Promise<Status> => (await (await fetch(`${gateway.url}/v1/status`)).json()) as Status;
  const model = async (name: string): Promise<StatusModel | undefined> =>
    (await status()).models.find((entry) => entry.name === name);

  before(async () => {
    const home = await makeHome();
    symlinkSync(await demoModels(), join(home, 'models'));
    gateway = await startProcess({ args: ['--profile', 'demo'], home });
  });
  after(dispose);

  it('streams a sentence from router to addon and ends with [DONE]', async () => {
    const response = await execute({ task: 'Write a Python function that reverses a list', stream: true });
    expect(response.status).to.equal(200);
    expect(response.headers.get('content-type')).to.match(/^text\/event-stream/);
    const events = await sseAll(response);
    const kinds = events.map((event) => event.event);
    expect(kinds[0]).to.equal('run.accepted');
    expect(kinds[1]).to.equal('run.routed');
    expect(kinds.at(-2)).to.equal('run.completed');
    expect(events.at(-1)?.data).to.equal('[DONE]');
    expect(events.slice(0, -1).map((event) => Number(event.id))).to.deep.equal(
      events.slice(0, -1).map((_, i) => i + 1),
    );
    const deltas = events
      .filter((event) => event.event === 'run.delta')
      .map((event) => JSON.parse(event.data) as { text: string });
    expect(
      deltas
        .map((delta) => delta.text)
        .join('')
        .trim(),
    ).to.equal(scriptedSentence('coder').trim());
  });

  it('shows a long answer piece by piece while it is made', async () => {
    const events = await sseAll(
      await execute({ task: 'Say it often.', model: 'fast', stream: true, ignore_eos: true, max_tokens: 1500 }),
    );
    const deltas = events.filter((event) => event.event === 'run.delta');
    expect(deltas.length).to.be.greaterThan(3);
    const said = deltas.map((event) => (JSON.parse(event.data) as { text: string }).text).join('');
    const { run: whole } = JSON.parse(events.at(-2)?.data ?? '{}') as { run: RunBody };
    expect(whole.output.text).to.equal(said);
    expect(whole.usage.completion_tokens).to.equal(1500);
  });

  for (const name of GENERATING) {
    it(`${name} answers with its own sentence`, async () => {
      const body = await run({ task: 'Who are you?', model: name });
      expect(body.status).to.equal('completed');
      expect(body.output.text.trim()).to.equal(scriptedSentence(name).trim());
      expect(body.route).to.include({ model: name, source: 'explicit' });
      expect(body.finish_reason).to.equal('stop');
      expect(body.usage.completion_tokens).to.be.greaterThan(3);
    });
  }

  it('allocates what it planned', async () => {
    for (const { name, state, memory } of (await status()).models) {
      if (state === 'ready') expect(memory.allocated?.totalBytes, name).to.equal(memory.planned?.totalBytes);
    }
  });

  it('unloads a model by command, proves that its process is gone, and loads it again for the next request', async () => {
    const before = (await status()).models.find(({ name }) => name === 'critic');
    const unload = await fetch(`${gateway.url}/v1/models/critic/unload`, { method: 'POST' });
    const report = (await unload.json()) as Record<string, unknown> & { devices: Record<string, unknown>[] };
    expect(report).to.include({ model: 'critic', was_loaded: true, process: 'exited with code 0', cut_requests: 0 });
    expect(report.devices.map(({ device }) => device)).to.deep.equal(['cpu']);
    expect(report.devices[0]?.['expected_bytes']).to.be.greaterThan(1_000_000);
    expect(report['returned'], 'another program may have taken memory meanwhile').to.be.oneOf([true, null]);
    expect(() => process.kill(before?.pid ?? 0, 0)).to.throw('ESRCH');
    expect((await run({ task: 'Who are you?', model: 'critic' })).status).to.equal('completed');
  });

  it('remembers prompts over an unload: what the next process takes over is not computed again', async () => {
    const ask = { task: `Summarise: ${'rivers and owls '.repeat(40)}`, model: 'summarizer', max_tokens: 4 };
    const first = await run(ask);
    const unload = await fetch(`${gateway.url}/v1/models/summarizer/unload`, { method: 'POST' });
    expect(await unload.json()).to.include({ was_loaded: true, process: 'exited with code 0' });
    const again = await run(ask);
    expect(first.usage.cached_tokens).to.be.below(again.usage.cached_tokens);
    expect(again.usage.cached_tokens).to.be.above(again.usage.prompt_tokens / 2);
    expect(again.output.text).to.equal(first.output.text);
    expect((await model('summarizer'))?.restored_prefix_tokens).to.be.at.least(again.usage.cached_tokens);
  });

  it('loads once for fifty requests that come at once, and answers each', async () => {
    await fetch(`${gateway.url}/v1/models/planner/unload`, { method: 'POST' });
    const before = (await model('planner'))?.loads ?? 0;
    const asked = Array.from({ length: 50 }, (_, number) =>
      run({ task: `Question ${number}: who are you?`, model: 'planner', max_tokens: 6 }),
    );
    const bodies = await Promise.all(asked);
    expect(new Set(bodies.map(({ status: end }) => end))).to.deep.equal(new Set(['completed']));
    expect((await model('planner'))?.loads).to.equal(before + 1);
    expect(await model('planner')).to.include({ leased: 0, crashes: 0 });
  });

  it('refuses at once who would wait longer than it may, and lets the urgent go before the rest', async () => {
    const leave = new AbortController();
    const long = { task: 'Say it often.', model: 'critic', ignore_eos: true, max_tokens: 1500, priority: 'background' };
    const ended: string[] = [];
    const crowd = Array.from({ length: 60 }, () =>
      execute(long, leave.signal).then(
        (response) => response.json().then(() => ended.push('background')),
        () => undefined,
      ),
    );
    await until('a crowd', async () => ended.length >= 4 && ((await model('critic'))?.queued ?? 0) > 30);
    let expectedMs = 0;
    for await (const { event, data } of sse(await execute({ ...long, stream: true }, leave.signal))) {
      if (event !== 'run.queued') continue;
      expectedMs = (JSON.parse(data) as { estimated_ms: number }).estimated_ms;
      break;
    }
    const timeout_ms = Math.max(1, Math.floor(expectedMs / 2));
    // A short text is not counted, which would take a moment of its own beside such a crowd.
    const body = { prompt: 'Now!', model: 'critic', priority: 'background', timeout_ms, max_tokens: 8 };
    const hurried = await post(`${gateway.url}/v1/completions`, body);
    const problem = (await hurried.json()) as RunBody;
    expect([hurried.status, problem.error?.code]).to.deep.equal([503, 'queue_full']);
    expect(problem.details).to.have.keys('position', 'estimatedMs', 'budgetMs', 'retryAfterMs');
    expect(Number(hurried.headers.get('retry-after'))).to.equal(
      Math.max(1, Math.ceil(Number(problem.details?.['retryAfterMs']) / 1000)),
    );
    const urgent = await run({ task: 'Who are you?', model: 'critic', priority: 'interactive' });
    expect(urgent.status).to.equal('completed');
    expect((await model('critic'))?.queued, 'others wait still').to.be.above(0);
    leave.abort();
    await Promise.all(crowd);
    await until('the slots are free', async () => (await model('critic'))?.leased === 0);
  });

  it('measures what it planned and tells both to Prometheus', async () => {
    const text = await (await fetch(`${gateway.url}/metrics`)).text();
    const value = (kind: string): number =>
      Number(
        new RegExp(`^llamaestro_model_memory_bytes\\{model="fast",device="cpu",kind="${kind}"\\} (\\d+)$`, 'm').exec(
          text,
        )?.[1],
      );
    expect(value('planned')).to.equal(value('allocated'));
    expect(value('measured')).to.be.greaterThan(0);
  });

  it('serves the openai client, streamed and not', async () => {
    const client = new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: 'none', maxRetries: 0 });
    const messages = [{ role: 'user' as const, content: 'hello' }];
    const whole = await client.chat.completions.create({ model: 'fast', messages });
    const stream = await client.chat.completions.create({
      model: 'fast',
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    let tokens = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    expect(whole.choices[0]?.message.content).to.equal(text);
    expect(whole.usage?.completion_tokens).to.equal(tokens);
    const raw = await client.completions.create({ model: 'fast', prompt: 'hello', max_tokens: 2 });
    expect(raw.choices[0]?.finish_reason).to.equal('length');
    const names = (await client.models.list()).data.map((entry) => entry.id);
    expect(names).to.include.members(['auto', ...GENERATING]);
    const unknown = await client.chat.completions
      .create({ model: 'nobody', messages })
      .catch((thrown: unknown) => thrown);
    expect(unknown).to.be.instanceOf(OpenAI.NotFoundError);
  });

  const refusals: [string, unknown, number, string, string | null][] = [
    ['a body that is not JSON', '{"task": ', 400, 'invalid_request', null],
    ['a body that is too large', { task: 'x'.repeat(9 * 1024 * 1024) }, 413, 'payload_too_large', null],
    ['a wrong type', { task: 'hi', temperature: 'warm' }, 400, 'invalid_request', 'temperature'],
    ['an unknown model', { task: 'hi', model: 'nobody' }, 404, 'model_not_found', 'model'],
    ['an over-long task', { task: 'word '.repeat(60_000), model: 'fast' }, 400, 'context_length_exceeded', 'task'],
    [
      'over-long messages',
      { messages: [{ role: 'user', content: 'word '.repeat(60_000) }], model: 'fast' },
      400,
      'context_length_exceeded',
      'messages',
    ],
    ['an embedder asked to talk', { task: 'hi', model: 'embedder' }, 400, 'invalid_request', 'model'],
    ['nothing to do', {}, 400, 'invalid_request', 'task'],
  ];
  for (const [name, body, code, error, param] of refusals) {
    it(`refuses ${name} in the one error shape`, async () => {
      const response = await execute(body);
      expect(response.status).to.equal(code);
      const problem = (await response.json()) as Record<string, unknown>;
      expect(problem['error']).to.include({ code: error, param });
      expect(problem).to.include.all.keys('title', 'status', 'detail', 'remedy', 'run_id');
      expect(JSON.stringify(problem)).to.not.match(/\bat .*\.[jt]s:\d+/);
    });
  }

  it('lists the models there are when one is unknown, and counts what is too long', async () => {
    expect((await run({ task: 'hi', model: 'nobody' })).remedy).to.contain('coder');
    const long = await run({ task: 'word '.repeat(60_000), model: 'fast' });
    expect(long.details?.['promptTokens']).to.be.greaterThan(Number(long.details?.['contextTokensPerSlot']));
  });

  it('warns of an unknown field in the answer', async () => {
    expect((await run({ task: 'hi', temprature: 1 })).warnings).to.deep.equal([
      "unknown field 'temprature' was ignored",
    ]);
  });

  it('answers in JSON where there is no route', async () => {
    const response = await fetch(`${gateway.url}/nowhere`);
    expect(response.status).to.equal(404);
    expect(((await response.json()) as RunBody).error?.message).to.contain('/nowhere');
    expect((await fetch(`${gateway.url}/v1/execute`)).status).to.equal(405);
  });

  it('cancels the run of a client that leaves, and frees its slot', async () => {
    const gone = new AbortController();
    const response = await execute({ task: 'hi', model: 'general', stream: true, ignore_eos: true }, gone.signal);
    for await (const event of sse(response)) if (event.event === 'run.delta') break;
    gone.abort();
    await until(
      'the slot is free',
      async () => (await model('general'))?.leased === 0 && (await status()).runs.running === 0,
    );
    expect((await run({ task: 'hi', model: 'general' })).status).to.equal('completed');
  });

  it('gives a typed error when a host is killed while streaming, and serves the next request', async () => {
    const pid = (await model('planner'))?.pid ?? 0;
    expect(isAlive(pid)).to.equal(true);
    const response = await execute({ task: 'hi', model: 'planner', stream: true, ignore_eos: true });
    const seen: string[] = [];
    let last: { data: string } | undefined;
    for await (const event of sse(response)) {
      seen.push(event.event ?? event.data);
      if (event.event === 'run.delta' && isAlive(pid)) process.kill(pid, 'SIGKILL');
      if (event.event === 'run.failed') last = event;
    }
    expect(seen.at(-2)).to.equal('run.failed');
    expect((JSON.parse(last?.data ?? '{}') as RunBody).error?.code).to.equal('host_lost');
    expect((await run({ task: 'hi', model: 'planner' })).status).to.equal('completed');
    expect((await model('planner'))?.crashes).to.equal(1);
  });

  it('serves many clients at once over few slots, each with the whole sentence', async () => {
    const bodies = await Promise.all(Array.from({ length: 24 }, () => run({ task: 'hi', model: 'fast' })));
    expect(bodies.every((body) => body.output.text.trim() === scriptedSentence('fast').trim())).to.equal(true);
  });

  it('stops on SIGTERM, finishes what runs, and leaves no process behind', async () => {
    const pids = (await status()).models.flatMap((entry) => (entry.pid === null ? [] : [entry.pid]));
    expect(pids.length).to.be.greaterThan(5);
    const response = await execute({ task: 'hi', model: 'critic', stream: true, ignore_eos: true, max_tokens: 400 });
    let stopped: Promise<number | null> | undefined;
    const kinds: string[] = [];
    for await (const event of sse(response)) {
      if (event.event === 'run.delta') stopped ??= gateway.stop();
      kinds.push(event.event ?? event.data);
    }
    expect(kinds.slice(-2)).to.deep.equal(['run.completed', '[DONE]']);
    expect(await stopped).to.equal(0);
    await until('every host is gone', () => pids.every((pid) => !isAlive(pid)));
    expect(existsSync(join(gateway.home, 'llamaestro.db'))).to.equal(true);
  });
});
