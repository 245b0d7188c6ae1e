/**
 * Tortures one engine for a while: tasks that begin alike, go on, are cancelled before they start, in their prompt or in
 * their answer, many at once. Every token is held against what the model has to say; at the end nothing may be left.
 */
import { expect } from 'chai';
import type { Engine, EngineStats, MemoryReport, SequenceEvent, SequenceRequest } from '../../src/engine/engine.js';
import type { SeededRandom } from '../fuzz/seeded-random.js';
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

/** Runs tasks on `engine` for `durationMs`, then waits until it is empty. Throws at the first wrong token. */
export async function torture(
  engine: Engine,
  random: SeededRandom,
  familySeed: number,
  durationMs: number,
): Promise<TortureReport> {
  const run = new TortureRun(engine, random, familySeed);
  const memoryBefore = engine.memory();
  const end = performance.now() + durationMs;
  while (performance.now() < end) await run.turn();
  await run.drain();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const stats = engine.stats();
  expect(stats).to.include({ running: 0, waiting: 0, stalledMs: 0 });
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
  private failure: Error | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly random: SeededRandom,
    private readonly familySeed: number,
  ) {}

  /** Submits some tasks or waits for some. */
  async turn(): Promise<void> {
    const { random } = this;
    const limit = random.pick([1, this.engine.info.slots, 3 * this.engine.info.slots]);
    while (this.running.size < limit && random.chance(0.8)) this.start();
    if (random.chance(0.2)) await this.askAside();
    if (this.running.size >= limit) await Promise.race(this.running);
    else await new Promise((resolve) => setTimeout(resolve, random.below(4)));
    if (this.failure !== undefined) throw this.failure;
  }

  async drain(): Promise<void> {
    while (this.running.size > 0) await Promise.race(this.running);
    if (this.failure !== undefined) throw this.failure;
  }

  private start(): void {
    const work = this.runTask(this.nextTask()).catch((thrown: unknown) => {
      this.failure ??= thrown instanceof Error ? thrown : new Error(String(thrown));
    });
    const done = work.finally(() => this.running.delete(done));
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
    return randomTask(random, this.familySeed, Math.min(room, 320));
  }

  /** What else callers do meanwhile. */
  private async askAside(): Promise<void> {
    const text = 'aside '.repeat(this.random.between(1, 20));
    const tokens = await this.engine.tokenize({ kind: 'text', text });
    expect(await this.engine.detokenize([...tokens])).to.include(text);
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
    const { maxTokens = 0 } = request;
    const room = this.engine.info.contextTokensPerSlot - (task.length + 1);
    const expected = answerTo(task, Math.min(maxTokens, room + 1));
    const ids: number[] = [];
    const counts: Record<string, number> = {};
    this.report.tasks += 1;
    return new Promise((resolve, reject) => {
      const sequence = this.engine.submit(request, (event) => {
        counts[event.type] = (counts[event.type] ?? 0) + 1;
        if (event.type === 'tokens') ids.push(...event.ids);
        if (event.type === plan.after && counts[event.type] === plan.count) sequence.cancel();
        if (event.type !== 'finished') return;
        try {
          this.judge(task, plan, event, ids, expected);
          resolve();
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
      expect(end.usage.promptTokens, told).to.equal(task.length + 1);
      expect(ids.length, told).to.be.within(expected.length - 1, expected.length);
      this.report.finished += 1;
    }
    this.ended.push({ task, answered: ids.length });
    if (this.ended.length > MAX_KEPT) this.ended.shift();
  }
}
