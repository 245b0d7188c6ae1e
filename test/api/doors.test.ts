import { expect } from 'chai';
import { ERROR_CODES, LlamaestroError } from '../../src/base/errors.js';
import { parseExecute, renderExecute } from '../../src/api/execute-door.js';
import { parseChat, parseCompletion, renderChat, renderCompletion } from '../../src/api/openai-door.js';
import { headersOf, problemOf, publicError } from '../../src/api/problem.js';
import type { Rendering, SseFrame } from '../../src/api/rendering.js';
import type { RunEvent, RunEventBody, RunResult } from '../../src/schema/run.js';

function refusal(run: () => unknown): LlamaestroError {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof LlamaestroError) return thrown;
    throw thrown;
  }
  throw new Error('it was not refused');
}

const result: RunResult = {
  id: 'run_1',
  status: 'completed',
  profile: 'test',
  route: {
    model: 'general',
    complexity: 'simple',
    kind: 'chat',
    source: 'default',
    confidence: 0.4,
    reason: '',
    ms: 0.1,
  },
  text: 'Hello there',
  finishReason: 'stop',
  usage: { promptTokens: 5, cachedTokens: 2, completionTokens: 3 },
  timings: { queueMs: 0, routeMs: 0.1, loadMs: 0, prefillMs: 1, decodeMs: 2, ttftMs: 1.5, totalMs: 4 },
  attempts: [{ attempt: 1, model: 'general', hid: 'h', stage: 'done', ms: 4 }],
  warnings: ["unknown field 'foo' was ignored"],
};
const error = new LlamaestroError('host_lost', 'the host died').toWire();

const bodies: RunEventBody[] = [
  { type: 'accepted', id: 'run_1', profile: 'test', model: 'auto', warnings: [] },
  { type: 'routed', route: result.route! },
  { type: 'prefill', doneTokens: 5, totalTokens: 5, cachedTokens: 2 },
  { type: 'delta', choice: 0, firstIndex: 0, ids: [1], text: 'Hello' },
  { type: 'delta', choice: 0, firstIndex: 1, ids: [2], text: '' },
  { type: 'delta', choice: 0, firstIndex: 2, ids: [3], text: ' there' },
];

function play(rendering: Rendering, last: RunEventBody): SseFrame[] {
  return [...bodies, last].flatMap((body, index) => rendering.frames({ ...body, seq: index + 1 } as RunEvent));
}
const json = (frame: SseFrame): Record<string, unknown> => JSON.parse(frame.data) as Record<string, unknown>;

describe('api/execute-door', () => {
  it('says which field the prompt came in', () => {
    const messages = [{ role: 'user', content: 'x' }];
    const fields = [parseExecute({ task: 'a' }), parseExecute({ messages }), parseChat({ messages })];
    const all = [...fields, parseCompletion({ prompt: ['a'] })].map(({ request }) => request.promptField);
    expect(all).to.deep.equal(['task', 'messages', 'messages', 'prompt']);
  });

  it('takes a class and whose request it is, and refuses a class that there is not', () => {
    const { request } = parseExecute({ task: 'hi', priority: 'background', user: 'ann' });
    expect(request).to.include({ priority: 'background', tenant: 'ann' });
    expect(parseChat({ messages: [{ role: 'user', content: 'x' }], priority: null }).request).to.not.have.any.keys(
      'priority',
      'tenant',
    );
    for (const priority of ['urgent', 1]) {
      const refused = refusal(() => parseExecute({ task: 'hi', priority }));
      expect([refused.code, refused.param]).to.deep.equal(['invalid_request', 'priority']);
      expect(refused.message).to.contain('one of interactive, normal, background');
    }
  });

  it('takes a task as one user message', () => {
    const { request, stream } = parseExecute({ task: 'hi', stream: true, max_tokens: 5, stop: 'END', model: 'coder' });
    expect(stream).to.equal(true);
    expect(request).to.deep.include({ model: 'coder', maxTokens: 5, stop: ['END'], onDisconnect: 'cancel' });
    expect(request.prompt).to.deep.equal({ kind: 'messages', messages: [{ role: 'user', content: 'hi' }] });
  });

  const wrong: [string, unknown, string | undefined][] = [
    ['a list for a body', [], undefined],
    ['neither task nor messages', {}, 'task'],
    ['task and messages', { task: 'a', messages: [] }, 'messages'],
    ['no message', { messages: [] }, 'messages'],
    ['a number for a task', { task: 5 }, 'task'],
    ['a negative temperature', { task: 'a', temperature: -1 }, 'temperature'],
    ['a text for a temperature', { task: 'a', temperature: 'hot' }, 'temperature'],
    ['a fraction of a token', { task: 'a', max_tokens: 1.5 }, 'max_tokens'],
    ['no token', { task: 'a', max_tokens: 0 }, 'max_tokens'],
    ['an empty stop string', { task: 'a', stop: [''] }, 'stop'],
    ['seventeen stop strings', { task: 'a', stop: Array.from({ length: 17 }, String) }, 'stop'],
    ['a wrong word for on_disconnect', { task: 'a', on_disconnect: 'maybe' }, 'on_disconnect'],
    ['a message without a role', { messages: [{ content: 'x' }] }, 'messages[0].role'],
    ['an image part', { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages[0].content'],
    ['a seed that is too large', { task: 'a', seed: 2 ** 32 }, 'seed'],
    ['a stream that is not a truth value', { task: 'a', stream: 'yes' }, 'stream'],
  ];
  for (const [name, body, param] of wrong) {
    it(`refuses ${name}, naming ${param ?? 'nothing'}`, () => {
      const refused = refusal(() => parseExecute(body));
      expect(refused.code).to.equal('invalid_request');
      if (param !== undefined) expect(refused.param).to.satisfy((p: string) => p.startsWith(param));
    });
  }

  it('warns of a field nobody knows', () => {
    expect(parseExecute({ task: 'a', tempratur: 1 }).request.warnings).to.deep.equal([
      "unknown field 'tempratur' was ignored",
    ]);
  });

  it('warns of unknown fields inside messages, and bounds what it says', () => {
    const messages = [{ role: 'user', content: 'x', zork: 1 }];
    expect(parseExecute({ messages }).request.warnings).to.deep.equal(["unknown field 'messages[0].zork' was ignored"]);
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`f${String(index)}`, 1]));
    const warnings = parseExecute({ task: 'a', ...many }).request.warnings;
    expect(warnings).to.have.lengthOf(33);
    expect(warnings.at(-1)).to.contain('4968 more');
  });

  it('refuses what is nested deeper than any stack, without falling over it', () => {
    const deep = JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`) as unknown;
    expect(refusal(() => parseExecute({ task: deep })).param).to.equal('task');
  });

  it('renders events with rising ids, the result, then [DONE]', () => {
    const frames = play(renderExecute(), { type: 'completed', result });
    expect(frames.map((frame) => frame.event)).to.deep.equal([
      'run.accepted',
      'run.routed',
      'run.prefill',
      'run.delta',
      'run.delta',
      'run.delta',
      'run.completed',
      undefined,
    ]);
    expect(frames.slice(0, -1).map((frame) => frame.id)).to.deep.equal([1, 2, 3, 4, 5, 6, 7]);
    expect(frames.at(-1)).to.deep.equal({ data: '[DONE]', last: true });
    const run = json(frames.at(-2)!)['run'] as Record<string, unknown>;
    expect(run).to.deep.include({ id: 'run_1', object: 'run', output: { text: 'Hello there' }, finish_reason: 'stop' });
  });

  it('renders a failure with the one error shape', () => {
    const failed: RunEventBody = { type: 'failed', error, result: { ...result, status: 'failed', error } };
    const frame = json(play(renderExecute(), failed).at(-2)!);
    expect(frame).to.deep.include({ type: 'run.failed', status: 502, run_id: 'run_1' });
    expect(frame['error']).to.deep.include({ code: 'host_lost', message: 'the host died' });
  });
});

describe('api/openai-door', () => {
  it('joins text parts and prefers max_completion_tokens', () => {
    const { request } = parseChat({
      model: 'auto',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'a' },
            { type: 'text', text: 'b' },
          ],
        },
      ],
      max_tokens: 3,
      max_completion_tokens: 4,
      temperature: null,
    });
    expect(request.maxTokens).to.equal(4);
    expect(request.sampling).to.deep.equal({});
    expect(request.prompt).to.deep.equal({ kind: 'messages', messages: [{ role: 'user', content: 'ab' }] });
  });

  for (const [field, value] of Object.entries({
    tools: [{ type: 'function' }],
    n: 2,
    logprobs: true,
    response_format: { type: 'json_object' },
    logit_bias: { 5: 1 },
    frequency_penalty: 1,
  })) {
    it(`refuses ${field} by name rather than ignoring it`, () => {
      const refused = refusal(() => parseChat({ messages: [{ role: 'user', content: 'x' }], [field]: value }));
      expect(refused).to.include({ code: 'invalid_request', param: field });
    });
  }

  it('accepts the values that ask for nothing, without a warning', () => {
    const body = {
      messages: [{ role: 'user', content: 'x' }],
      n: 1,
      tools: [],
      logprobs: false,
      user: 'me',
      response_format: { type: 'text' },
    };
    expect(parseChat(body).request.warnings).to.deep.equal([]);
  });

  it('takes a raw prompt without a template', () => {
    expect(parseCompletion({ prompt: 'Once' }).request.prompt).to.deep.equal({ kind: 'text', text: 'Once' });
    expect(refusal(() => parseCompletion({})).param).to.equal('prompt');
  });

  it('takes a list of one prompt, beside fields of its own', () => {
    const { request } = parseCompletion({ prompt: ['abc'], max_tokens: 3, temperature: null });
    expect(request.prompt).to.deep.equal({ kind: 'text', text: 'abc' });
    expect(request).to.deep.include({ maxTokens: 3, warnings: [] });
  });

  it('refuses several prompts with their count', () => {
    const refused = refusal(() => parseCompletion({ prompt: ['a', 'b', 'c'] }));
    expect(refused).to.include({ code: 'invalid_request', param: 'prompt' });
    expect(refused.message).to.contain('3 prompts');
  });

  for (const prompt of [[], [5], [5, 6], [['a']], { 0: 'a' }, null]) {
    it(`refuses ${JSON.stringify(prompt)} as a prompt`, () => {
      expect(refusal(() => parseCompletion({ prompt }))).to.include({ code: 'invalid_request', param: 'prompt' });
    });
  }

  it('streams role first, text, one finish reason, usage when asked, [DONE]; no event line', () => {
    const frames = play(renderChat(7, true), { type: 'completed', result });
    expect(frames.every((frame) => frame.event === undefined && frame.id === undefined)).to.equal(true);
    const chunks = frames.slice(0, -1).map(json);
    const choices = chunks.map((chunk) => (chunk['choices'] as Record<string, unknown>[])[0]);
    expect(choices[0]).to.deep.include({ delta: { role: 'assistant', content: '' }, finish_reason: null });
    expect(choices.slice(1, 3).map((choice) => choice?.['delta'])).to.deep.equal([
      { content: 'Hello' },
      { content: ' there' },
    ]);
    expect(choices[3]).to.deep.include({ delta: {}, finish_reason: 'stop' });
    expect(chunks[4]).to.deep.include({ choices: [] });
    expect(chunks[4]?.['usage']).to.deep.include({ prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 });
    expect(
      new Set(chunks.map((chunk) => `${String(chunk['id'])} ${String(chunk['created'])} ${String(chunk['model'])}`))
        .size,
    ).to.equal(1);
    expect(frames.at(-1)?.data).to.equal('[DONE]');
  });

  it('sends no usage chunk unless asked', () => {
    const frames = play(renderChat(7, false), { type: 'completed', result });
    expect(
      frames
        .slice(0, -1)
        .map(json)
        .every((chunk) => (chunk['choices'] as unknown[]).length === 1),
    ).to.equal(true);
  });

  it('ends a failed stream with one error frame and no [DONE]', () => {
    const frames = play(renderCompletion(7, false), { type: 'failed', error, result: { ...result, error } });
    expect(frames.at(-1)?.last).to.equal(true);
    expect(json(frames.at(-1)!)['error']).to.deep.include({ code: 'host_lost' });
    expect(frames.some((frame) => frame.data === '[DONE]')).to.equal(false);
  });

  it('gives the same finish reason streamed or not', () => {
    const short = { ...result, finishReason: 'length' as const };
    const body = renderChat(7, false).body(short) as { choices: { finish_reason: string }[] };
    const frames = play(renderChat(7, false), { type: 'completed', result: short });
    const last = json(frames.at(-2)!)['choices'] as { finish_reason: string }[];
    expect([body.choices[0]?.finish_reason, last[0]?.finish_reason]).to.deep.equal(['length', 'length']);
  });
});

describe('api/problem', () => {
  it('gives every code of the list a status, a title and a remedy', () => {
    for (const code of ERROR_CODES) {
      const problem = problemOf(new LlamaestroError(code, 'x').toWire(), 'run_9');
      expect(problem.status).to.be.within(400, 599);
      expect(problem.remedy).to.not.equal('');
      expect(problem).to.deep.include({ run_id: 'run_9', detail: 'x' });
      expect(Object.keys(problem.error)).to.deep.equal(['message', 'type', 'param', 'code']);
    }
  });

  it('puts Retry-After on every 503, from the wait that is known', () => {
    const wire = new LlamaestroError('load_failed', 'x', { details: { retryAfterMs: 3200 } }).toWire();
    expect(headersOf(wire)).to.deep.equal({ 'Retry-After': '4' });
    expect(headersOf(new LlamaestroError('queue_full', 'x').toWire())).to.have.property('Retry-After');
    expect(headersOf(new LlamaestroError('invalid_request', 'x').toWire())).to.deep.equal({});
  });

  it('keeps the text of an unexpected fault to the log', () => {
    expect(publicError(new Error('secret path')).message).to.not.contain('secret');
    expect(publicError(new LlamaestroError('queue_full', 'shown')).message).to.equal('shown');
  });
});
