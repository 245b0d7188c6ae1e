/**
 * Checks of what a messages prompt says beside its texts: turns with tool calls, tools, arguments of the template. As
 * `validate.ts`; whether the template of the model can do it is judged by the engine. Pure.
 */
import type { ChatMessage, ChatOptions, Prompt, Tool } from './engine.js';
import { jsonDepth } from './validate-sampling.js';
import { checkBoolean, checkInteger, refuse } from './validate-values.js';

export const MAX_TOOLS = 128;
/** Bytes of UTF-8 of one tool's description and parameters; of all tools; of the arguments of one call. */
export const MAX_TOOL_BYTES = 64 * 1024;
export const MAX_TOOLS_BYTES = 512 * 1024;
export const MAX_TOOL_CALLS = 128;
export const MAX_TEMPLATE_ARGUMENTS = 64;
export const MAX_TEMPLATE_ARGUMENT_BYTES = 16 * 1024;
const MAX_REASONING_BUDGET = 2 ** 24;
const TOOL_NAME = /^[A-Za-z0-9_.-]{1,64}$/;
const ARGUMENT_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
const MAX_JSON_DEPTH = 64;
/** What the engine itself tells a template. */
const OWN_ARGUMENTS = ['messages', 'tools', 'add_generation_prompt', 'bos_token', 'eos_token', 'enable_thinking'];
const CHOICES: readonly unknown[] = ['auto', 'none', 'required'];

/** Throws unless everything of a messages prompt but the messages themselves is in range. */
export function checkChat(prompt: Prompt & { kind: 'messages' }): void {
  checkTools(prompt.tools);
  checkChoice(prompt);
  checkBoolean('parallelToolCalls', prompt.parallelToolCalls);
  checkBoolean('thinking', prompt.thinking);
  checkInteger('reasoningBudget', prompt.reasoningBudget, 0, MAX_REASONING_BUDGET);
  if (prompt.reasoning !== undefined && !['inline', 'separate'].includes(prompt.reasoning)) {
    refuse('reasoning', "reasoning must be 'inline' or 'separate'");
  }
  if (prompt.templateArguments !== undefined) argumentTexts(prompt.templateArguments);
}

/** Throws unless the optional fields of a message are in order. */
export function checkTurn(message: Partial<Record<keyof ChatMessage, unknown>>): void {
  for (const field of ['reasoning', 'name', 'toolCallId'] as const) {
    const value = message[field];
    if (value !== undefined && typeof value !== 'string') refuse('messages', `${field} of a message must be a string`);
  }
  const calls = message.toolCalls;
  if (calls === undefined) return;
  if (!Array.isArray(calls) || calls.length > MAX_TOOL_CALLS) {
    refuse('messages', `toolCalls must be an array of at most ${MAX_TOOL_CALLS} calls`);
  }
  for (const call of calls as readonly Partial<Record<string, unknown>>[]) {
    if (![call?.['id'], call?.['name'], call?.['arguments']].every((value) => typeof value === 'string')) {
      refuse('messages', 'a tool call has the texts id, name and arguments');
    }
    if (Buffer.byteLength(String(call['arguments'])) > MAX_TOOLS_BYTES) {
      refuse('messages', 'the arguments of a tool call are too long');
    }
    checkObjectText('messages', 'the arguments of a tool call', String(call['arguments']));
  }
}

/** True when the answer to `prompt` is taken apart, for which its messages are needed. */
export function asksForParts(prompt: Prompt): boolean {
  if (prompt.kind !== 'messages') return false;
  const { tools = [], thinking, reasoningBudget, reasoning } = prompt;
  return tools.length > 0 || thinking !== undefined || reasoningBudget !== undefined || reasoning === 'separate';
}

/** The JSON text of a tool's parameters. */
export function parametersText(parameters: NonNullable<Tool['parameters']>): string {
  if (typeof parameters === 'string') return parameters;
  return jsonText('tools', 'parameters of a tool', parameters) ?? '';
}

/** Name and JSON text of each argument. Throws `invalid_request` when there are too many, or one is no JSON. */
export function argumentTexts(values: NonNullable<ChatOptions['templateArguments']>): (readonly [string, string])[] {
  const param = 'templateArguments';
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    refuse(param, `${param} must be an object`);
  }
  const entries = Object.entries(values);
  if (entries.length > MAX_TEMPLATE_ARGUMENTS)
    refuse(param, `${param} takes at most ${MAX_TEMPLATE_ARGUMENTS} arguments`);
  const texts = entries.map(([name, value]) => {
    if (!ARGUMENT_NAME.test(name)) refuse(param, `'${name.slice(0, 64)}' is no name of a template argument`);
    if (OWN_ARGUMENTS.includes(name)) refuse(param, `${name} is no template argument: the engine sets it`);
    const text = jsonText(param, `the template argument ${name}`, value);
    if (text === undefined) refuse(param, `the template argument ${name} has no value`);
    return [name, text] as const;
  });
  if (Buffer.byteLength(texts.flat().join('')) > MAX_TEMPLATE_ARGUMENT_BYTES) {
    refuse(param, `${param} takes at most ${MAX_TEMPLATE_ARGUMENT_BYTES} bytes`);
  }
  return texts;
}

/** Throws unless `text` is the JSON of an object of bounded depth. */
function checkObjectText(param: string, what: string, text: string): void {
  if (jsonDepth(text) > MAX_JSON_DEPTH) refuse(param, `${what}: more than ${MAX_JSON_DEPTH} levels of JSON`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    refuse(param, `${what}: not JSON`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(param, `${what}: not a JSON object`);
}

function jsonText(param: string, what: string, value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    // A circle, or nested deeper than the stack.
    return refuse(param, `${what} cannot be written as JSON`);
  }
}

function checkTools(tools: readonly unknown[] | undefined): void {
  if (tools === undefined) return;
  if (!Array.isArray(tools) || tools.length > MAX_TOOLS) {
    refuse('tools', `tools must be an array of at most ${MAX_TOOLS} tools`);
  }
  let bytes = 0;
  const names = new Set<string>();
  for (const tool of tools as readonly Partial<Record<keyof Tool, unknown>>[]) {
    const { name, description = '', parameters = '{}' } = tool ?? {};
    if (typeof name !== 'string' || !TOOL_NAME.test(name)) {
      refuse('tools', 'a tool needs a name of 1 … 64 letters, digits, _ - .');
    }
    if (names.has(name)) refuse('tools', `two tools have the name ${name}`);
    names.add(name);
    if (typeof description !== 'string') refuse('tools', `the description of ${name} must be a string`);
    const isSchema = typeof parameters === 'string' || (typeof parameters === 'object' && parameters !== null);
    if (!isSchema) refuse('tools', `the parameters of ${name} must be a JSON schema`);
    const text = parametersText(parameters as NonNullable<Tool['parameters']>);
    const own = Buffer.byteLength(description) + Buffer.byteLength(text);
    bytes += own;
    checkObjectText('tools', `the parameters of ${name}`, text);
    if (own > MAX_TOOL_BYTES || bytes > MAX_TOOLS_BYTES) {
      refuse('tools', `${name} is too long: one tool takes ${MAX_TOOL_BYTES} bytes, all take ${MAX_TOOLS_BYTES}`);
    }
  }
}

function checkChoice({ tools = [], toolChoice }: ChatOptions): void {
  if (toolChoice === undefined) return;
  if (typeof toolChoice === 'object' && toolChoice !== null) {
    if (!tools.some(({ name }) => name === toolChoice.name)) {
      refuse('toolChoice', 'toolChoice names a tool that is not among the tools');
    }
    return;
  }
  if (!CHOICES.includes(toolChoice)) refuse('toolChoice', "toolChoice must be 'auto', 'none', 'required' or a name");
  if (toolChoice === 'required' && tools.length === 0) {
    refuse('toolChoice', 'toolChoice asks for a tool and there are no tools');
  }
}
