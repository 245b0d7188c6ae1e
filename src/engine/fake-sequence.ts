/**
 * One sequence of the fake engine: what it was asked for, where it stands, and the tokens it is going to say. Knows no
 * slots and no steps.
 */
import type { Clock, Random } from '../base/ports.js';
import type { AdapterUse, EngineInfo, Sequence, SequenceEvent, SequenceRequest } from './engine.js';
import { adapterSeed } from './fake-adapters.js';
import { FakeParts } from './fake-parts.js';
import type { FakeModel } from './fake-script.js';
import { HeldText, fakeAnswer, mix } from './fake-text.js';

export interface FakeSequence extends Sequence {
  readonly choice: number;
  readonly priority: number;
  /** The other answers to its prompt, until that is computed. */
  siblings: readonly FakeSequence[];
  readonly listener: (event: SequenceEvent) => void;
  readonly tokens: readonly number[];
  readonly lora: readonly AdapterUse[] | undefined;
  readonly promptTokens: number;
  readonly cachesPrompt: boolean;
  readonly maxTokens: number;
  readonly ignoreEos: boolean;
  readonly logprobs: number | undefined;
  readonly source: Generator<number, never>;
  readonly held: HeldText;
  readonly parts: FakeParts;
  readonly submittedMs: number;
  cancelled: boolean;
  cachedTokens: number;
  prefilled: number;
  generated: number;
  /** The tokens that were generated. */
  readonly answer: number[];
  startedMs: number | undefined;
  firstTokenMs: number | undefined;
}

/** What a sequence needs to know of its engine. */
export interface FakeSequenceParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly seed: number;
  readonly model: FakeModel;
  readonly info: EngineInfo;
}

/** Answer `choice` to a request, whose prompt is `tokens`; it has not begun. */
export function makeFakeSequence(
  id: number,
  choice: number,
  request: SequenceRequest,
  tokens: readonly number[],
  listener: (event: SequenceEvent) => void,
  engine: FakeSequenceParts,
): FakeSequence {
  const drawn = request.seed === undefined ? Math.floor(engine.random.next() * 2 ** 32) : request.seed + choice;
  const seed = request.temperature === 0 ? 0 : drawn % 2 ** 32;
  const adapter = adapterSeed(request.lora);
  const parts = new FakeParts(engine.model, request.prompt);
  const sequence: FakeSequence = {
    id,
    choice,
    priority: request.priority ?? 0,
    siblings: [],
    listener,
    tokens,
    lora: request.lora,
    promptTokens: tokens.length,
    cachesPrompt: request.cachePrompt ?? true,
    maxTokens: Math.min(request.maxTokens ?? Infinity, engine.info.contextTokensPerSlot - tokens.length),
    ignoreEos: request.ignoreEos ?? false,
    logprobs: request.logprobs,
    source: fakeAnswer(mix(engine.seed, seed, ...tokens, ...(adapter === undefined ? [] : [adapter])), parts.answer),
    parts,
    held: new HeldText(request.stop ?? []),
    submittedMs: engine.clock.nowMs(),
    cancelled: false,
    cachedTokens: 0,
    prefilled: 0,
    generated: 0,
    answer: [],
    startedMs: undefined,
    firstTokenMs: undefined,
    cancel: () => {
      sequence.cancelled = true;
    },
  };
  return sequence;
}
