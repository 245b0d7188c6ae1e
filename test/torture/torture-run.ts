/**
 * Tortures one engine for a while: tasks that begin alike, go on, push each other out of their slots, have several
 * answers, are cancelled before they start, in their prompt or in their answer, many at once, while prefixes are saved and
 * restored. Every token is held against what the model has to say; at the end nothing may be left.
 */
import { expect } from 'chai';
import type { Engine, EngineStats, MemoryReport, SequenceEvent, SequenceRequest } from '../../src/engine/engine.js';
import type { SeededRandom } from '../fuzz/seeded-random.js';
import type { LlamaestroError } from '../../src/base/errors.js';
import { answerTo, followUp, promptOf, randomTask, type CopierTask } from './copier-task.js';

export interface TortureReport {
  readonly tasks: number;
  readonly finished: number;
  readonly cancelled: number;
  readonly tokens: number;
  readonly stats: EngineStats;
}

/** When a task is cancelled: after this many events of the kind; 'never' runs to its end. */
interface CancelPlan {
  readonly after: 'never' | 'submit' | 'started' | 'prefill' | 'tokens' | 'delay';
  readonly count: number;
}

const CANCEL_KINDS = ['submit', 'started', 'prefill', 'tokens', 'delay'] as const;
const CANCEL_CHANCE = 0.35;
const MAX_KEPT = 50;

export interface TorturePlan {
  readonly random: SeededRandom;
  /** Of the families that prompts belong to. */
  readonly familySeed: number;
  readonly durationMs: number;
  /** Prefixes are saved to it and restored from it; other engines may have written it. */
  readonly prefixFile: string;
}

/** Runs tasks on `engine` for a while, then waits until it is empty. Throws at the first wrong token. */
export async function torture(engine: Engine, plan: TorturePlan): Promise<TortureReport> {
  const run = new TortureRun(engine, plan);
  const memoryBefore = engine.memory();
  const end = performance.now() + plan.durationMs;
  while (performance.now() < end) await run.turn();
  await run.drain();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const stats = engine.stats();
  expect(stats).to.include({ running: 0, waiting: 0, stalledMs: 0 });
  // The first difference of the whole run would have stayed. What is left of the finished is nobody's.
  const { counted, recounted, held: left } = stats.cells;
  expect({ recounted, left }, 'cells in use').to.deep.equal({ recounted: counted, left: counted });
  expect(held(engine.memory()), 'memory afterwards').to.deep.equal(held(memoryBefore));
  return { ...run.report, stats };
}

/** What does not hang on the moment of reading. */
function held({ simulatedMs: _time, observed: _observed, ...bytes }: MemoryReport): unknown {
  return bytes;
}

class TortureRun {
  readonly report = { tasks: 0, finished: 0, cancelled: 0, tokens: 0 };
  private readonly running = new Set<Promise<void>>();
  /** Tasks that ended, with how much they said: a follow-up goes on with one. */
  private readonly ended: { readonly task: CopierTask; readonly answered: number }[] = [];
  private readonly random: SeededRandom;
  private failure: Error | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly plan: TorturePlan,
  ) {
    this.random = plan.random;
  }

  /** Submits some tasks or waits for some. */
  async turn(): Promise<void> {
    const { random } = this;
    const limit = random.pick([1, this.engine.info.slots, 3 * this.engine.info.slots]);
    while (this.running.size < limit && random.chance(0.8)) this.start();
    if (random.chance(0.2)) await this.askAside();
    if (random.chance(0.05)) this.keep(this.passPrefixes());
    if (random.chance(0.05)) this.keep(this.classify());
    if (this.running.size >= limit) await Promise.race(this.running);
    else await new Promise((resolve) => setTimeout(resolve, random.below(4)));
    if (this.failure !== undefined) throw this.failure;
  }

  async drain(): Promise<void> {
    while (this.running.size > 0) await Promise.race(this.running);
    if (this.failure !== undefined) throw this.failure;
  }

  private start(): void {
    this.keep(this.runTask(this.nextTask()));
  }

  private keep(work: Promise<void>): void {
    const done = work
      .catch((thrown: unknown) => {
        this.failure ??= thrown instanceof Error ? thrown : new Error(String(thrown));
      })
      .finally(() => this.running.delete(done));
    this.running.add(done);
  }

  private nextTask(): CopierTask {
    const { random } = this;
    const room = this.engine.info.contextTokensPerSlot - 8;
    const before = this.ended.length > 0 && random.chance(0.4) ? random.pick(this.ended) : undefined;
    if (before !== undefined) {
      const task = followUp(before.task, before.answered, random.below(12));
      if (task.length + 1 < room) return task;
    }
    return randomTask(random, this.plan.familySeed, Math.min(room, 320));
  }

  /** What else callers do meanwhile. */
  private async askAside(): Promise<void> {
    const text = 'aside '.repeat(this.random.between(1, 20));
    const tokens = await this.engine.tokenize({ kind: 'text', text });
    expect(await this.engine.detokenize([...tokens])).to.include(text);
  }

  /** Saves all prefixes, or those of one task, or takes over what somebody saved. */
  private async passPrefixes(): Promise<void> {
    const { random, engine } = this;
    const { prefixFile } = this.plan;
    const ended = this.ended.length > 0 && random.chance(0.5) ? random.pick(this.ended) : undefined;
    const only = ended === undefined ? undefined : ({ kind: 'tokens', tokens: promptOf(ended.task) } as const);
    try {
      if (random.chance(0.5)) await engine.savePrefixes(prefixFile, only);
      else await engine.restorePrefixes(prefixFile);
    } catch (thrown) {
      const { code, param } = thrown as LlamaestroError;
      // Nobody has saved anything, an engine of another kind has, or this one keeps nothing.
      expect([code, ['file', 'prefixCacheBytes'].includes(param ?? '')]).to.deep.equal(['invalid_request', true]);
    }
  }

  /** Goes back and forth behind a prompt that others may share. */
  private async classify(): Promise<void> {
    const tokens = promptOf(this.nextTask());
    const scores = await this.engine.classify({ kind: 'tokens', tokens }, ['one', 'only', 'two', 'three']);
    const sum = scores.reduce((total, score) => total + Math.exp(score), 0);
    expect(sum, 'probabilities of labels').to.be.closeTo(1, 1e-3);
  }

  private requestOf(task: CopierTask): SequenceRequest {
    const { random } = this;
    return {
      prompt: { kind: 'tokens', tokens: promptOf(task) },
      maxTokens: random.between(1, random.chance(0.2) ? 240 : 40),
      ignoreEos: true,
      // The model is so sure that no sampler gets it off its way.
      ...(random.chance(0.6) ? { temperature: 0 } : { seed: random.below(1000), temperature: random.pick([0.5, 1]) }),
      ...(random.chance(0.1) ? { logprobs: 2 } : {}),
      ...(random.chance(0.1) ? { cachePrompt: false } : {}),
      ...(random.chance(0.4) ? { priority: random.between(-3, 3) } : {}),
      ...(random.chance(0.15) ? { choices: random.between(2, 5) } : {}),
    };
  }

  private cancelPlan(): CancelPlan {
    const { random } = this;
    if (!random.chance(CANCEL_CHANCE)) return { after: 'never', count: 0 };
    return { after: random.pick(CANCEL_KINDS), count: random.between(1, 6) };
  }

  private runTask(task: CopierTask): Promise<void> {
    const request = this.requestOf(task);
    const plan = this.cancelPlan();
    const { maxTokens = 0, choices = 1 } = request;
    const room = this.engine.info.contextTokensPerSlot - (task.length + 1);
    const expected = answerTo(task, Math.min(maxTokens, room + 1));
    const answers = Array.from({ length: choices }, (): number[] => []);
    const counts: Record<string, number> = {};
    let ended = 0;
    this.report.tasks += 1;
    return new Promise((resolve, reject) => {
      const sequence = this.engine.submit(request, (event) => {
        counts[event.type] = (counts[event.type] ?? 0) + 1;
        const ids = 'choice' in event ? answers[event.choice ?? 0] : answers[0];
        if (event.type === 'tokens') ids?.push(...event.ids);
        if (event.type === plan.after && counts[event.type] === plan.count) sequence.cancel();
        if (event.type !== 'finished') return;
        try {
          this.judge(task, plan, event, ids ?? [], expected);
          ended += 1;
          if (ended === choices) resolve();
        } catch (thrown) {
          reject(thrown instanceof Error ? thrown : new Error(String(thrown)));
        }
      });
      if (plan.after === 'submit') sequence.cancel();
      if (plan.after === 'delay') setTimeout(() => sequence.cancel(), plan.count * 5);
    });
  }

  private judge(
    task: CopierTask,
    plan: CancelPlan,
    end: Extract<SequenceEvent, { type: 'finished' }>,
    ids: readonly number[],
    expected: readonly number[],
  ): void {
    const told = `task of ${task.length + 1} tokens, cycle of ${task.cycle.length}, cancel ${plan.after} ${plan.count}`;
    if (end.error !== undefined) throw new Error(`${told}: ${end.error.message}`);
    expect(ids, told).to.deep.equal(expected.slice(0, ids.length));
    expect(end.usage.completionTokens, told).to.equal(ids.length);
    this.report.tokens += ids.length;
    if (end.reason === 'cancelled') {
      expect(plan.after, told).to.not.equal('never');
      this.report.cancelled += 1;
    } else {
      expect(end.reason, told).to.equal('length');
      expect(end.usage.promptTokens, told).to.equal(end.choice === undefined ? task.length + 1 : 0);
      expect(ids.length, told).to.be.within(expected.length - 1, expected.length);
      this.report.finished += 1;
    }
    this.ended.push({ task, answered: ids.length });
    if (this.ended.length > MAX_KEPT) this.ended.shift();
  }
}
