/**
 * How a fake answer is taken apart: its script is text with tags, or reasoning, text and one tool call apart, as the
 * request asks. Pure; knows no tokens and no engine.
 */
import type { ToolCallDelta } from './chat-types.js';
import type { Prompt } from './engine.js';
import type { FakeModel } from './fake-script.js';
import { asksForParts } from './validate-chat.js';

/** What a piece of visible text is. */
export interface FakeShare {
  readonly text: string;
  readonly reasoning?: string;
  readonly toolCalls?: readonly ToolCallDelta[];
}

export class FakeParts {
  /** What the sequence says, byte after byte; undefined: words drawn from the seed. */
  readonly answer: string | undefined;
  private readonly call: FakeModel['toolCall'];
  private thoughtUnits: number;
  private isNamed = false;

  constructor(model: FakeModel, prompt: Prompt) {
    const { reasoning = '', answer } = model;
    const isApart = asksForParts(prompt);
    const mayCall = prompt.kind === 'messages' && (prompt.tools ?? []).length > 0 && prompt.toolChoice !== 'none';
    this.call = mayCall ? model.toolCall : undefined;
    this.thoughtUnits = isApart ? reasoning.length : 0;
    const said = this.call?.arguments ?? answer;
    const thought = isApart ? reasoning : `<think>${reasoning}</think>`;
    this.answer = reasoning === '' || said === undefined ? said : thought + said;
  }

  /** True when the answer calls a tool. */
  get calls(): boolean {
    return this.isNamed;
  }

  /** Takes the next visible text, whatever its length. */
  share(visible: string): FakeShare {
    const reasoning = visible.slice(0, this.thoughtUnits);
    this.thoughtUnits -= reasoning.length;
    const rest = visible.slice(reasoning.length);
    const thought = reasoning === '' ? {} : { reasoning };
    if (this.call === undefined || rest === '') return { text: rest, ...thought };
    const head = this.isNamed ? {} : { id: `call_${this.call.name}`, name: this.call.name };
    this.isNamed = true;
    return { text: '', ...thought, toolCalls: [{ index: 0, ...head, arguments: rest }] };
  }
}
