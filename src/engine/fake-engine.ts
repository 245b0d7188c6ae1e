/**
 * The fake implementation of `Engine`: slots, a bounded waiting queue, chunked prefill, one token per sequence and
 * step, cancel, and scripted faults, all on an injected clock. It passes the same contract suite as the native engine.
 * Sampling options, grammars and schemas are checked and change nothing; log probabilities have the shape of real ones.
 * Deliberately knows no memory, no threads and no real time; its language is in `fake-text.ts`.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError } from '../base/errors.js';
import type { Clock, Random, Timer } from '../base/ports.js';
import { sleep } from '../base/ports.js';
import type {
  EmbedRequest,
  Engine,
  EngineInfo,
  EngineStats,
  FinishReason,
  JobOptions,
  MemoryPlan,
  MemoryReport,
  PrefixFileSummary,
  Prompt,
  Sequence,
  SequenceEvent,
  SequenceRequest,
} from './engine.js';
import { MAX_WAITING_SEQUENCES } from './engine.js';
import { accented, adaptedSeed, prefixKey } from './fake-adapters.js';
import { FakePrefixes } from './fake-prefixes.js';
import type { FakeFault, FakeModel } from './fake-script.js';
import {
  FAKE_END_TOKEN,
  FAKE_VOCAB_SIZE,
  fakeLabelScores,
  fakeLogprob,
  fakeScore,
  fakeText,
  fakeTokens,
  fakeVector,
  refuseLong,
} from './fake-text.js';
import { type FakeSequence, makeFakeSequence } from './fake-sequence.js';
import { StepListeners, callListener } from './fan-out.js';
import {
  checkEmbed,
  checkInputs,
  checkJobOptions,
  checkLabels,
  checkPath,
  checkPrompt,
  checkPurpose,
  checkSequenceRequest,
  checkText,
  checkTokens,
} from './validate.js';
import { refuse } from './validate-values.js';

export interface FakeEngineParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly seed: number;
  readonly model: FakeModel;
  readonly faults: readonly FakeFault[];
  readonly info: EngineInfo;
  readonly planned: MemoryPlan;
  /** Keep answers as prefixes too. */
  readonly reuseGenerated: boolean;
  readonly onCrash: () => void;
}

type TokenFault = Extract<FakeFault, { atToken: number }>;

export class FakeEngine implements Engine {
  readonly info: EngineInfo;
  readonly planned: MemoryPlan;
  private readonly stepListeners = new StepListeners();
  private waiting: FakeSequence[] = [];
  private running: FakeSequence[] = [];
  private nextId = 1;
  private readonly prefixes: FakePrefixes;
  private steps = 0;
  private promptTokens = 0;
  private generatedTokens = 0;
  private lastStepMs = 0;
  private timer: Timer | undefined;
  private faults: TokenFault[];
  private mode: 'running' | 'stalled' | 'closing' | 'closed' | 'crashed' = 'running';
  private closed: Promise<void> | undefined;
  private finishClose: () => void = () => undefined;

  constructor(private readonly parts: FakeEngineParts) {
    this.info = parts.info;
    this.planned = parts.planned;
    this.prefixes = new FakePrefixes(parts.planned.prefixCacheBytes, parts.reuseGenerated);
    this.faults = parts.faults.filter((fault): fault is FakeFault & TokenFault => 'atToken' in fault);
  }

  readonly memory = (): MemoryReport => ({ ...this.planned, observed: [] });

  stats(): EngineStats {
    const busy = this.waiting.length + this.running.length > 0;
    return {
      steps: this.steps,
      running: this.running.length,
      waiting: this.waitingCount(),
      promptTokens: this.promptTokens,
      generatedTokens: this.generatedTokens,
      ...{ parked: 0, threads: this.info.threads, ...this.prefixes.stats() },
      cells: this.countCells(),
      stalledMs: busy ? this.parts.clock.nowMs() - this.lastStepMs : 0,
    };
  }

  submit(request: SequenceRequest, listener: (event: SequenceEvent) => void): Sequence {
    checkSequenceRequest(request, this.info);
    this.refuseClosed();
    const tokens = this.promptOf(request.prompt);
    refuseLong(tokens, this.info);
    const choices = request.choices ?? 1;
    if (this.waitingCount() + choices > MAX_WAITING_SEQUENCES) {
      throw new LlamaestroError('queue_full', `${MAX_WAITING_SEQUENCES} sequences wait already`);
    }
    const [sequence, ...siblings] = Array.from({ length: choices }, (_, choice) =>
      makeFakeSequence(this.nextId++, choice, request, tokens, listener, this.parts),
    );
    assert(sequence !== undefined, 'a request has at least one choice');
    sequence.siblings = siblings;
    if (this.waiting.length + this.running.length === 0) this.lastStepMs = this.parts.clock.nowMs();
    this.waiting.push(sequence);
    this.schedule();
    return { id: sequence.id, cancel: () => [sequence, ...siblings].forEach((one) => one.cancel()) };
  }

  onStep(listener: () => void): () => void {
    return this.stepListeners.add(listener);
  }

  async tokenize(prompt: Prompt): Promise<Uint32Array> {
    checkPrompt(prompt, FAKE_VOCAB_SIZE);
    this.refuseClosed();
    return Uint32Array.from(this.promptOf(prompt));
  }

  async detokenize(tokens: readonly number[]): Promise<string> {
    checkTokens('tokens', tokens, FAKE_VOCAB_SIZE);
    this.refuseClosed();
    return fakeText(tokens);
  }

  async embed(request: readonly string[] | EmbedRequest, signal?: AbortSignal): Promise<Float32Array[]> {
    checkPurpose(this.info, 'embed');
    const { inputs, normalise, dimensions, lora } = checkEmbed(request, this.info);
    await this.pretendToCompute(inputs.length, signal);
    const { embeddingLength } = this.info;
    return inputs.map((input) => fakeVector(accented(input, lora), embeddingLength, normalise, dimensions));
  }

  async classify(
    prompt: Prompt,
    labels: readonly string[],
    signal?: AbortSignal,
    options: JobOptions = {},
  ): Promise<number[]> {
    checkPurpose(this.info, 'generate');
    checkPrompt(prompt, FAKE_VOCAB_SIZE);
    checkLabels(labels);
    checkJobOptions(options, this.info);
    const tokens = this.promptOf(prompt);
    refuseLong(tokens, this.info);
    await this.pretendToCompute(1, signal);
    return fakeLabelScores(adaptedSeed(this.parts.seed, options.lora), tokens, labels);
  }

  async rerank(
    query: string,
    documents: readonly string[],
    signal?: AbortSignal,
    options: JobOptions = {},
  ): Promise<number[]> {
    checkPurpose(this.info, 'rerank');
    checkText('query', query);
    checkInputs('documents', documents);
    checkJobOptions(options, this.info);
    await this.pretendToCompute(documents.length, signal);
    return documents.map((document) => fakeScore(query, document));
  }

  async savePrefixes(file: string, only?: Prompt, signal?: AbortSignal): Promise<PrefixFileSummary> {
    checkPath('file', file);
    if (only !== undefined) checkPrompt(only, FAKE_VOCAB_SIZE);
    this.refuseClosed(signal);
    return this.prefixes.save(file, this.info.file, only === undefined ? undefined : this.promptOf(only));
  }

  async restorePrefixes(file: string, signal?: AbortSignal): Promise<PrefixFileSummary> {
    checkPath('file', file);
    this.refuseClosed(signal);
    return this.prefixes.restore(file, this.info.file);
  }

  close(): Promise<void> {
    this.closed ??= new Promise((resolve) => {
      this.finishClose = resolve;
      if (this.mode === 'stalled' || this.mode === 'crashed') return;
      this.mode = 'closing';
      this.timer?.cancel();
      this.timer = this.parts.clock.setTimer(0, () => this.endAll());
    });
    return this.closed;
  }

  private countCells(): EngineStats['cells'] {
    const counted = this.running.reduce((sum, one) => sum + one.prefilled + Math.max(0, one.generated - 1), 0);
    return { counted, recounted: counted, held: 0 };
  }

  private promptOf(prompt: Prompt): readonly number[] {
    const tokens = fakeTokens(prompt);
    if (tokens.length === 0) refuse('prompt', 'the prompt has no tokens');
    return tokens;
  }

  private schedule(): void {
    if (this.timer !== undefined || this.mode !== 'running') return;
    this.timer = this.parts.clock.setTimer(this.parts.model.stepMs, () => {
      this.timer = undefined;
      this.step();
      if (this.waiting.length + this.running.length > 0) this.schedule();
    });
  }

  /** One decode step: drop the cancelled, fill free slots, share the chunk among prompts, one token for everyone else. */
  private step(): void {
    for (const sequence of [...this.waiting, ...this.running]) {
      if (sequence.cancelled) this.finish(sequence, 'cancelled');
    }
    while (this.running.length < this.info.slots) {
      const next = [...this.waiting].sort((a, b) => b.priority - a.priority)[0];
      if (next === undefined) break;
      this.waiting = this.waiting.filter((other) => other !== next);
      this.running.push(next);
      if (next.startedMs !== undefined) continue;
      next.startedMs = this.parts.clock.nowMs();
      if (next.cachesPrompt) next.cachedTokens = next.prefilled = this.prefixes.take(prefixKey(next.tokens, next.lora));
      const { promptTokens, cachedTokens } = next;
      this.emit(next, { type: 'started', promptTokens, cachedTokens });
    }
    let budget = this.info.chunkTokens;
    for (const sequence of [...this.running]) {
      if (sequence.prefilled < sequence.promptTokens) budget -= this.prefill(sequence, budget);
      if (sequence.prefilled === sequence.promptTokens) this.decode(sequence);
      if (this.mode !== 'running') return;
    }
    this.steps += 1;
    this.lastStepMs = this.parts.clock.nowMs();
    this.stepListeners.call();
  }

  private prefill(sequence: FakeSequence, budget: number): number {
    const count = Math.min(budget, sequence.promptTokens - sequence.prefilled);
    if (count === 0) return 0;
    sequence.prefilled += count;
    const isWhole = sequence.prefilled === sequence.promptTokens;
    if (sequence.cachesPrompt && isWhole) this.prefixes.keep(prefixKey(sequence.tokens, sequence.lora));
    this.promptTokens += count;
    this.emit(sequence, { type: 'prefill', doneTokens: sequence.prefilled, totalTokens: sequence.promptTokens });
    return count;
  }

  /** The prompt is computed once: the other answers start where it ends. */
  private release(sequence: FakeSequence): void {
    for (const sibling of sequence.siblings) {
      sibling.prefilled = sequence.promptTokens;
      sibling.startedMs = sequence.startedMs;
    }
    this.waiting = [...sequence.siblings, ...this.waiting];
    sequence.siblings = [];
  }

  private waitingCount(): number {
    return [...this.waiting, ...this.running].reduce((sum, one) => sum + one.siblings.length, this.waiting.length);
  }

  private decode(sequence: FakeSequence): void {
    if (this.strike(sequence)) return;
    this.release(sequence);
    this.generatedTokens += 1;
    sequence.firstTokenMs ??= this.parts.clock.nowMs();
    const id = sequence.source.next().value;
    if (id === FAKE_END_TOKEN && !sequence.ignoreEos) return this.finish(sequence, 'stop');
    const firstIndex = sequence.generated++;
    sequence.answer.push(id);
    let text = id === FAKE_END_TOKEN ? '' : sequence.held.push(id);
    const full = sequence.generated >= sequence.maxTokens && sequence.held.matched === undefined;
    if (full) text += sequence.held.flush();
    const logprobs = sequence.logprobs === undefined ? {} : { logprobs: [fakeLogprob(id, sequence.logprobs)] };
    this.emit(sequence, { type: 'tokens', firstIndex, ids: [id], ...sequence.parts.share(text), ...logprobs });
    if (sequence.held.matched !== undefined) return this.finish(sequence, 'stop');
    if (full) this.finish(sequence, 'length');
  }

  /** Carries out the fault of the token about to be made; true when that token does not come. */
  private strike(sequence: FakeSequence): boolean {
    const fault = this.faults.find((candidate) => candidate.atToken === this.generatedTokens + 1);
    if (fault === undefined) return false;
    this.faults = this.faults.filter((candidate) => candidate !== fault);
    switch (fault.kind) {
      case 'crash':
        this.mode = 'crashed';
        this.parts.onCrash();
        return true;
      case 'stall':
        this.stall(fault.forMs);
        return true;
      case 'sequence_error':
        this.finish(sequence, 'error', new LlamaestroError(fault.code, 'scripted fault of the fake engine'));
        return true;
    }
  }

  private stall(forMs: number | undefined): void {
    this.mode = 'stalled';
    if (forMs === undefined) return;
    this.timer = this.parts.clock.setTimer(forMs, () => {
      this.timer = undefined;
      if (this.closed !== undefined) return this.endAll();
      this.mode = 'running';
      this.schedule();
    });
  }

  private endAll(): void {
    for (const sequence of [...this.waiting, ...this.running]) this.finish(sequence, 'cancelled');
    this.stepListeners.call();
    this.mode = 'closed';
    this.finishClose();
  }

  private finish(sequence: FakeSequence, reason: FinishReason, error?: Error): void {
    this.waiting = this.waiting.filter((other) => other !== sequence);
    this.running = this.running.filter((other) => other !== sequence);
    for (const sibling of sequence.siblings) this.finish(sibling, reason, error);
    this.keepAnswer(sequence, reason);
    const rest = sequence.held.flush();
    if (rest !== '') {
      const share = sequence.parts.share(rest);
      this.emit(sequence, { type: 'tokens', firstIndex: sequence.generated, ids: [], ...share });
    }
    const isWhole = reason === 'stop' && sequence.held.matched === undefined;
    const { promptTokens, cachedTokens } = sequence;
    const nowMs = this.parts.clock.nowMs();
    const startedMs = sequence.startedMs ?? nowMs;
    const firstTokenMs = sequence.firstTokenMs ?? nowMs;
    this.emit(sequence, {
      type: 'finished',
      reason: isWhole && sequence.parts.calls ? 'tool_calls' : reason,
      ...(sequence.held.matched === undefined ? {} : { stopString: sequence.held.matched }),
      usage: {
        promptTokens: sequence.choice === 0 ? promptTokens : 0,
        cachedTokens,
        completionTokens: sequence.generated,
      },
      timings: {
        queueMs: startedMs - sequence.submittedMs,
        prefillMs: firstTokenMs - startedMs,
        decodeMs: nowMs - firstTokenMs,
      },
      ...(error === undefined ? {} : { error }),
    });
  }

  /** The last token that was shown has not been computed, unless the end came as a token of its own. */
  private keepAnswer(sequence: FakeSequence, reason: FinishReason): void {
    if (!this.parts.reuseGenerated || !sequence.cachesPrompt || sequence.generated === 0) return;
    const hasEndToken = reason === 'stop' && sequence.held.matched === undefined;
    const computed = hasEndToken ? sequence.answer : sequence.answer.slice(0, -1);
    this.prefixes.keep(prefixKey([...sequence.tokens, ...computed], sequence.lora));
  }

  private emit(sequence: FakeSequence, event: SequenceEvent): void {
    const isOneOfMany = sequence.choice > 0 && (event.type === 'tokens' || event.type === 'finished');
    callListener(sequence.listener, isOneOfMany ? { ...event, choice: sequence.choice } : event);
  }

  private async pretendToCompute(inputs: number, signal: AbortSignal | undefined): Promise<void> {
    this.refuseClosed();
    const cancelled = (): never => {
      throw new LlamaestroError('cancelled', 'the job was cancelled');
    };
    if (signal?.aborted === true) cancelled();
    await sleep(this.parts.clock, this.parts.model.stepMs * inputs, signal).catch(cancelled);
    if (this.closed !== undefined) cancelled();
    this.steps += 1;
  }

  private refuseClosed(signal?: AbortSignal): void {
    if (this.closed !== undefined) throw new LlamaestroError('cancelled', 'the engine is closed');
    if (signal?.aborted === true) throw new LlamaestroError('cancelled', 'cancelled before it began');
  }
}
