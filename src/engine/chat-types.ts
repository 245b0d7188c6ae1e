/**
 * What a chat is made of on its way through an engine: turns, tools, what the template is told, and pieces of tool calls
 * in the answer. The part of the contract of `engine.ts` that only messages have.
 */

/** A call that an assistant message made; `arguments` is the JSON text of an object. */
export interface ToolCall {
  readonly id: string;
  readonly name: string;
  readonly arguments: string;
}

/** One turn. A result of a tool has the role 'tool'. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  /** What an assistant thought before `content`; templates show it where their model wants to see it. */
  readonly reasoning?: string;
  /** At most 128, of an assistant. */
  readonly toolCalls?: readonly ToolCall[];
  /** Which call a message of a tool answers. */
  readonly toolCallId?: string;
  /** The tool that a message of a tool comes from. */
  readonly name?: string;
}

/** A function that the model may ask for. */
export interface Tool {
  /** 1 … 64 letters, digits, `_`, `-`, `.`; unique among the tools. */
  readonly name: string;
  readonly description?: string;
  /**
   * JSON schema of the arguments, as an object or as its text; with the description at most 64 KiB, 64 levels deep.
   * Absent: none. A grammar holds the model to the schema as far as a grammar can; what it cannot say (as most formats)
   * is shown to the model and not enforced.
   */
  readonly parameters?: string | Readonly<Record<string, unknown>>;
}

/**
 * What a chat template is told beside the messages. What the template of the model has no place for is refused with the
 * name of the field. With `tools`, `thinking`, `reasoningBudget` or `reasoning: 'separate'` the answer is taken apart:
 * `tokens` events carry reasoning and tool calls beside the text.
 */
export interface ChatOptions {
  /** At most 128, 512 KiB together. Not together with `grammar` or `jsonSchema`, unless `toolChoice` is 'none'. */
  readonly tools?: readonly Tool[];
  /** 'auto' (default), 'none', 'required', or the one tool that must be called (and is the only one the model sees). */
  readonly toolChoice?: 'auto' | 'none' | 'required' | { readonly name: string };
  /** Default: what the template can do. */
  readonly parallelToolCalls?: boolean;
  /** Variables of the template, at most 64 and 16 KiB of JSON. One that the template does not name is refused. */
  readonly templateArguments?: Readonly<Record<string, unknown>>;
  /** Reasoning on or off. Default: the template's own. */
  readonly thinking?: boolean;
  /** Tokens of reasoning, 0 … 2^24; then its end is forced and the answer begins. Default: no limit. */
  readonly reasoningBudget?: number;
  /** 'inline' leaves reasoning in the text as the model writes it. Default 'inline', unless the answer is taken apart. */
  readonly reasoning?: 'inline' | 'separate';
}

/** A piece of a tool call: `id` and `name` come once, with the first piece; `arguments` is a piece of JSON text. */
export interface ToolCallDelta {
  /** Counts the calls of the answer, from 0. */
  readonly index: number;
  readonly id?: string;
  readonly name?: string;
  readonly arguments?: string;
}
