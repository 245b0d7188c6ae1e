/**
 * Range checks of everything a caller can pass to an engine, before any of it reaches native code (which asserts where
 * this file refuses). Pure; knows neither the addon nor the fake engine. Every refusal is `invalid_request` and names
 * the field as `engine.ts` spells it.
 */
import type { EmbedRequest, EngineInfo, JobOptions, LoadOptions, Prompt, SequenceRequest } from './engine.js';
import { checkChat, checkTurn } from './validate-chat.js';
import { checkPlaces } from './validate-places.js';
import { checkSampling } from './validate-sampling.js';
import { checkAdapterOptions, checkLora } from './validate-adapters.js';
import { checkBoolean, checkInteger, checkPath, isIntegerIn, refuse } from './validate-values.js';

export { checkPath } from './validate-values.js';

/** Bytes of UTF-8 one prompt, input or document may have; a text twice as long can fill no context we allow. */
export const MAX_CHOICES = 16;
const MAX_TEXT_BYTES = 32 * 1024 * 1024;
export const MAX_MESSAGES = 4096;
export const MAX_STOP_STRINGS = 16;
export const MAX_STOP_BYTES = 256;
/** Inputs of one `embed`, documents of one `rerank`. */
export const MAX_INPUTS = 4096;
/** Labels of one `classify`. */
export const MAX_LABELS = 64;
export const MAX_LABEL_BYTES = 256;

const PURPOSES = ['generate', 'embed', 'rerank', 'vocab'] as const;
const KV_TYPES = ['f32', 'f16', 'bf16', 'q8_0', 'q4_0', 'q4_1', 'q5_0', 'q5_1'] as const;
const FLASH_ATTENTION = ['auto', 'on', 'off'] as const;
const POOLINGS = ['mean', 'cls', 'last'] as const;
const KV_LAYOUTS = ['split', 'unified'] as const;

const LOAD_FIELDS: readonly (keyof LoadOptions)[] = [
  'file',
  'purpose',
  'contextTokens',
  'slots',
  'contextTokensPerSlot',
  'gpuLayers',
  'kvTypeK',
  'kvTypeV',
  'flashAttention',
  'kvLayout',
  'devices',
  'splitMode',
  'mainDevice',
  'tensorSplit',
  'cpuMoeLayers',
  'tensorOverrides',
  'threads',
  'chunkTokens',
  'measuredChunkTokens',
  'prefixCacheBytes',
  'reuseGenerated',
  'mmap',
  'stepLock',
  'pooling',
  'warmUp',
  'adapters',
];
const REQUEST_FIELDS: readonly (keyof SequenceRequest)[] = [
  'prompt',
  'maxTokens',
  'stop',
  'ignoreEos',
  'cachePrompt',
  'priority',
  'choices',
  'temperature',
  'topK',
  'topP',
  'minP',
  'seed',
  'typicalP',
  'repeatPenalty',
  'repeatLastN',
  'frequencyPenalty',
  'presencePenalty',
  'dryMultiplier',
  'dryBase',
  'dryAllowedLength',
  'dryPenaltyLastN',
  'drySequenceBreakers',
  'xtcProbability',
  'xtcThreshold',
  'mirostat',
  'mirostatTau',
  'mirostatEta',
  'dynatempRange',
  'dynatempExponent',
  'logitBias',
  'logprobs',
  'grammar',
  'jsonSchema',
  'lora',
];

/** Throws unless `options` could be loaded as far as its values alone tell. */
export function checkLoadOptions(options: LoadOptions): void {
  if (typeof options !== 'object' || options === null) refuse('options', 'load options must be an object');
  checkPath('file', options.file);
  checkWord('purpose', options.purpose, PURPOSES);
  checkInteger('contextTokens', options.contextTokens, 1, 2 ** 24);
  checkInteger('slots', options.slots, 1, 256);
  checkInteger('contextTokensPerSlot', options.contextTokensPerSlot, 2, 2 ** 24);
  if (options.gpuLayers !== 'auto') checkInteger('gpuLayers', options.gpuLayers, 0, 1024);
  checkWord('kvTypeK', options.kvTypeK, KV_TYPES);
  checkWord('kvTypeV', options.kvTypeV, KV_TYPES);
  checkWord('flashAttention', options.flashAttention, FLASH_ATTENTION);
  checkWord('kvLayout', options.kvLayout, KV_LAYOUTS);
  checkInteger('threads', options.threads, 1, 512);
  checkInteger('chunkTokens', options.chunkTokens, 16, 4096);
  checkInteger('measuredChunkTokens', options.measuredChunkTokens, 16, 4096);
  checkInteger('prefixCacheBytes', options.prefixCacheBytes, 0, 2 ** 40);
  checkBoolean('reuseGenerated', options.reuseGenerated);
  checkBoolean('mmap', options.mmap);
  checkWord('pooling', options.pooling, POOLINGS);
  if (options.pooling !== undefined && options.purpose !== 'embed') refuse('pooling', "pooling is for purpose 'embed'");
  checkBoolean('warmUp', options.warmUp);
  checkPlaces(options);
  checkAdapterOptions(options.adapters, options.purpose);
  if (options.stepLock !== undefined) checkPath('stepLock', options.stepLock);
  const slots = options.slots ?? 1;
  if (options.contextTokens !== undefined && options.contextTokens < slots) {
    refuse(
      'contextTokens',
      `contextTokens ${options.contextTokens} leaves less than one token for each of ${slots} slots`,
    );
  }
}

/** Throws unless the values of `request` are in range for an engine with this `info`. The prompt is not yet tokenised. */
export function checkSequenceRequest(request: SequenceRequest, info: EngineInfo): void {
  if (typeof request !== 'object' || request === null) refuse('request', 'a request must be an object');
  if (info.purpose !== 'generate') {
    refuse(
      'purpose',
      `the model was loaded for '${info.purpose}'; load it with purpose 'generate' to submit sequences`,
    );
  }
  checkPrompt(request.prompt, info.vocabSize);
  checkInteger('maxTokens', request.maxTokens, 1, info.contextTokensPerSlot);
  checkStop(request.stop);
  checkBoolean('ignoreEos', request.ignoreEos);
  checkBoolean('cachePrompt', request.cachePrompt);
  checkInteger('priority', request.priority, -10, 10);
  checkInteger('choices', request.choices, 1, MAX_CHOICES);
  checkLora(request.lora, info.adapters);
  checkSampling(request, info);
}

/** Throws unless `prompt` has one of the three shapes and its token ids lie in [0, vocabSize). */
export function checkPrompt(prompt: Prompt, vocabSize: number): void {
  if (typeof prompt !== 'object' || prompt === null) refuse('prompt', 'prompt must be an object with a kind');
  switch (prompt.kind) {
    case 'text':
      return checkText('prompt', prompt.text);
    case 'messages':
      checkMessages(prompt.messages);
      return checkChat(prompt);
    case 'tokens':
      return checkTokens('prompt', prompt.tokens, vocabSize);
    default:
      return refuse('prompt', "prompt.kind must be 'text', 'messages' or 'tokens'");
  }
}

/** Throws unless every id is an integer in [0, vocabSize). An empty list is in order for detokenising only. */
export function checkTokens(param: string, tokens: readonly number[], vocabSize: number): void {
  if (!Array.isArray(tokens)) refuse(param, `${param} must be an array of token ids`);
  const bad = tokens.findIndex((token: unknown) => !isIntegerIn(token, 0, vocabSize - 1));
  if (bad >= 0) {
    refuse(param, `token ${bad} is ${String(tokens[bad])}; ids of this model lie in 0 … ${vocabSize - 1}`, {
      index: bad,
    });
  }
}

/** The request that `embed` was given, checked. */
export function checkEmbed(request: readonly string[] | EmbedRequest, info: EngineInfo): EmbedRequest {
  const whole: EmbedRequest = 'length' in request ? { inputs: request } : request;
  checkInputs('inputs', whole.inputs);
  checkBoolean('normalise', whole.normalise);
  checkInteger('dimensions', whole.dimensions, 1, info.embeddingLength);
  checkLora(whole.lora, info.adapters);
  return whole;
}

/** Throws unless `inputs` is a list of 1 … MAX_INPUTS texts. */
export function checkInputs(param: string, inputs: readonly string[]): void {
  if (!Array.isArray(inputs)) refuse(param, `${param} must be an array of strings`);
  if (inputs.length < 1 || inputs.length > MAX_INPUTS) refuse(param, `${param} must hold 1 … ${MAX_INPUTS} strings`);
  for (const input of inputs as readonly unknown[]) checkText(param, input);
}

/** Throws unless `labels` are 2 … MAX_LABELS different texts of 1 … MAX_LABEL_BYTES bytes. */
export function checkLabels(labels: readonly string[]): void {
  if (!Array.isArray(labels) || labels.length < 2 || labels.length > MAX_LABELS) {
    refuse('labels', `labels must hold 2 … ${MAX_LABELS} strings`);
  }
  for (const label of labels as readonly unknown[]) {
    const bytes = typeof label === 'string' ? Buffer.byteLength(label) : 0;
    if (bytes < 1 || bytes > MAX_LABEL_BYTES) refuse('labels', `every label must have 1 … ${MAX_LABEL_BYTES} bytes`);
  }
  if (new Set(labels).size !== labels.length) refuse('labels', 'two labels are alike');
}

/** Throws unless `text` is a string within MAX_TEXT_BYTES. */
export function checkText(param: string, text: unknown): void {
  if (typeof text !== 'string') refuse(param, `${param} must be a string`);
  if (text.length > MAX_TEXT_BYTES || (text.length * 3 > MAX_TEXT_BYTES && Buffer.byteLength(text) > MAX_TEXT_BYTES)) {
    refuse(param, `${param} is longer than ${MAX_TEXT_BYTES} bytes`);
  }
}

/** Throws unless the options of a job are in order for an engine with this `info`. */
export function checkJobOptions(options: JobOptions, info: EngineInfo): void {
  if (typeof options !== 'object' || options === null) refuse('options', 'options must be an object');
  checkLora(options.lora, info.adapters);
}

/** Throws when the model was loaded for something else. */
export function checkPurpose(info: EngineInfo, purpose: LoadOptions['purpose']): void {
  if (info.purpose !== purpose) {
    refuse('purpose', `the model was loaded for '${info.purpose}'; load it with purpose '${purpose}' for this call`);
  }
}

/** For callers without a compiler: a misspelt field is an error, not a silent default. */
export function refuseUnknownLoadFields(options: LoadOptions): void {
  refuseUnknown(options, LOAD_FIELDS);
}

/** As `refuseUnknownLoadFields`, for requests. */
export function refuseUnknownRequestFields(request: SequenceRequest): void {
  refuseUnknown(request, REQUEST_FIELDS);
}

function refuseUnknown(value: object, known: readonly string[]): void {
  const unknown = Object.keys(Object(value)).find((field) => !known.includes(field));
  if (unknown !== undefined) refuse(unknown, `unknown field '${unknown}'; the fields are ${known.join(', ')}`);
}

function checkMessages(messages: readonly unknown[]): void {
  if (!Array.isArray(messages)) refuse('prompt', 'prompt.messages must be an array');
  if (messages.length < 1 || messages.length > MAX_MESSAGES) {
    refuse('prompt', `prompt.messages must hold 1 … ${MAX_MESSAGES} messages`);
  }
  for (const message of messages as readonly { role?: unknown; content?: unknown }[]) {
    if (typeof message?.role !== 'string' || message.role === '') {
      refuse('prompt', 'every message needs a role that is not empty');
    }
    checkText('prompt', message.content);
    checkTurn(message);
  }
}

function checkStop(stop: readonly unknown[] | undefined): void {
  if (stop === undefined) return;
  if (!Array.isArray(stop) || stop.length > MAX_STOP_STRINGS) {
    refuse('stop', `stop must be an array of at most ${MAX_STOP_STRINGS} strings`);
  }
  for (const text of stop as readonly unknown[]) {
    const bytes = typeof text === 'string' ? Buffer.byteLength(text) : 0;
    if (bytes < 1 || bytes > MAX_STOP_BYTES) refuse('stop', `every stop string must have 1 … ${MAX_STOP_BYTES} bytes`);
  }
}

function checkWord(param: string, value: unknown, words: readonly string[]): void {
  if (value === undefined && param !== 'purpose') return;
  if (typeof value !== 'string' || !words.includes(value)) refuse(param, `${param} must be one of ${words.join(', ')}`);
}
