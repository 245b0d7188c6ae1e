/** The part of the engine contract about chats: reasoning and tool calls apart from the text, and what is refused. */
import { expect } from 'chai';
import type { ChatOptions, Engine, Prompt, Tool } from '../../src/engine/engine.js';
import type { ContractSubject } from './contract.js';
import { expectError, runSequence } from './run-sequence.js';

const WEATHER: Tool = {
  name: 'get_weather',
  description: 'Tells the weather',
  parameters: { type: 'object', properties: { city: { type: 'string' }, days: { type: 'integer' } } },
};

function ask(options: ChatOptions = {}): Prompt {
  return { kind: 'messages', messages: [{ role: 'user', content: 'How is the weather in Paris?' }], ...options };
}

interface Answer {
  readonly text: string;
  readonly reasoning: string;
  readonly calls: readonly { readonly id: string; readonly name: string; readonly arguments: string }[];
  readonly pieces: number;
  readonly reason: string;
}

/** Puts the pieces together; an id or a name that comes again would be seen. */
async function answer(engine: Engine, prompt: Prompt): Promise<Answer> {
  const { events, text, finished } = await runSequence(engine, { prompt, temperature: 0, maxTokens: 128 });
  let reasoning = '';
  let pieces = 0;
  const calls: { id: string; name: string; arguments: string }[] = [];
  for (const event of events) {
    if (event.type !== 'tokens') continue;
    reasoning += event.reasoning ?? '';
    for (const { index, id = '', name = '', arguments: piece = '' } of event.toolCalls ?? []) {
      pieces += 1;
      const call = (calls[index] ??= { id: '', name: '', arguments: '' });
      calls[index] = { id: call.id + id, name: call.name + name, arguments: call.arguments + piece };
    }
  }
  return { text, reasoning, calls, pieces, reason: finished.reason };
}

export function chatContract(subject: () => ContractSubject): void {
  const load = (file: string): Promise<Engine> =>
    subject().driver.load({ file, purpose: 'generate', contextTokens: 4096, threads: 1 });

  it('leaves reasoning in the text, or gives it apart', async () => {
    const engine = await load(subject().files.thinker);
    const inline = await answer(engine, ask());
    expect(inline.text).to.match(/^<think>[^]+<\/think>\s*The answer is forty-two\.$/);
    expect(inline.reasoning).to.equal('');
    const apart = await answer(engine, ask({ reasoning: 'separate' }));
    expect(apart.text).to.equal('The answer is forty-two.');
    expect(apart.reasoning).to.match(/^I look at the question\./);
    expect(inline.text).to.include(apart.reasoning);
    expect(apart.reason).to.equal('stop');
    await engine.close();
  });

  it('streams a tool call: id and name once, arguments in pieces, a finish reason of its own', async () => {
    const engine = await load(subject().files.caller);
    for (const toolChoice of ['auto', 'required', { name: 'get_weather' }] as const) {
      const { calls, reason, text, pieces } = await answer(engine, ask({ tools: [WEATHER], toolChoice }));
      expect(text).to.equal('');
      expect(calls.map(({ name }) => name)).to.deep.equal(['get_weather']);
      expect(calls[0]?.id).to.match(/^call_/);
      expect(JSON.parse(calls[0]?.arguments ?? '')).to.deep.equal({ city: 'Paris', days: 3 });
      expect(pieces).to.be.greaterThan(0);
      expect(reason).to.equal('tool_calls');
    }
    const { calls, reason } = await answer(engine, ask({ tools: [WEATHER], toolChoice: 'none' }));
    expect(calls).to.deep.equal([]);
    expect(reason).to.not.equal('tool_calls');
    await engine.close();
  });

  it('takes turns of tools back into the next prompt', async () => {
    const engine = await load(subject().files.caller);
    const prompt: Prompt = {
      kind: 'messages',
      messages: [
        { role: 'user', content: 'How is the weather?' },
        {
          role: 'assistant',
          content: '',
          toolCalls: [{ id: 'call_1', name: 'get_weather', arguments: '{"city":"Oslo"}' }],
        },
        { role: 'tool', content: 'Snow', toolCallId: 'call_1', name: 'get_weather' },
      ],
      tools: [WEATHER],
    };
    const text = await engine.detokenize(Array.from(await engine.tokenize(prompt)));
    expect(text).to.include('Oslo').and.to.include('Snow').and.to.include('get_weather');
    await engine.close();
  });

  it('refuses what is wrong with a chat by the name of the field', async () => {
    const engine = await load(subject().files.caller);
    const deep = JSON.parse('{"a":'.repeat(80) + '1' + '}'.repeat(80)) as Record<string, unknown>;
    const circle: Record<string, unknown> = {};
    circle['self'] = circle;
    const cases: readonly [string, ChatOptions][] = [
      ['tools', { tools: [WEATHER, WEATHER] }],
      ['tools', { tools: [{ name: 'two words' }] }],
      ['tools', { tools: [{ name: 'f', parameters: 'not JSON' }] }],
      ['tools', { tools: [{ name: 'f', parameters: deep }] }],
      ['tools', { tools: [{ name: 'f', parameters: circle }] }],
      ['tools', { tools: [{ name: 'f', description: 'x'.repeat(70_000) }] }],
      ['toolChoice', { toolChoice: 'required' }],
      ['toolChoice', { tools: [WEATHER], toolChoice: { name: 'other' } }],
      ['toolChoice', { toolChoice: 'perhaps' as 'auto' }],
      ['reasoningBudget', { reasoningBudget: -1 }],
      ['thinking', { thinking: 'yes' as unknown as boolean }],
      ['reasoning', { reasoning: 'maybe' as 'inline' }],
      ['templateArguments', { templateArguments: { 'no name': 1 } }],
      ['templateArguments', { templateArguments: { messages: [] } }],
      ['templateArguments', { templateArguments: { big: 'x'.repeat(20_000) } }],
    ];
    for (const [param, options] of cases) {
      const error = await expectError('invalid_request', () =>
        engine.submit({ prompt: ask(options) }, () => undefined),
      );
      expect(error.param, JSON.stringify(Object.keys(options))).to.equal(param);
    }
    await engine.close();
  });
}
