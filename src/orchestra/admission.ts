/**
 * One request between `submit` and its acceptance: whether its model can take it, within its own budget of time. Ends
 * early with the caller, the drain or the deadline. Knows no runs.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import { sleep, type Clock, type Random, type Timer } from '../base/ports.js';
import type { Pool } from '../pool/pool.js';
import type { Prompt } from '../schema/load.js';
import type { ModelSpec, Profile } from '../schema/profile.js';
import type { RunRequest } from '../schema/run.js';
import { budgetOf, tooLate } from './budget.js';
import { afterFailure } from './retry-policy.js';

/**
 * Tokens that a byte of raw text cannot exceed, with room to spare: a token is made of a byte at least, and a space may
 * first become the three bytes of a mark.
 */
const MAX_TOKENS_PER_BYTE = 4;
/** For what a vocabulary puts before and after any text. */
const MAX_ADDED_TOKENS = 16;

/**
 * Tokens that a raw prompt certainly does not exceed; undefined when only counting tells, as it does for messages, whose
 * template may add anything.
 */
export function mostTokens(prompt: Prompt): number | undefined {
  if (prompt.kind !== 'text') return undefined;
  return MAX_TOKENS_PER_BYTE * Buffer.byteLength(prompt.text) + MAX_ADDED_TOKENS;
}

/** What admission found out about a request and its model. */
export interface Fit {
  /** Tokens that fit into a slot after the prompt, at least 1; a lower bound that holds what was asked for, when nobody counted. */
  readonly roomTokens: number;
  /** The request's own warnings, and ours. */
  readonly warnings: readonly string[];
}

/** Make one when the request comes, `end` it when it is accepted or refused: it holds a timer and a listener until then. */
export class Admission {
  readonly askedAtMs: number;
  private readonly budgetMs: number;
  private readonly controller = new AbortController();
  private readonly deadline: Timer;
  private readonly leave = (): void => this.controller.abort(this.caller?.reason);
  /** Rejects at an early end, so that nobody waits for an answer that takes longer. */
  private readonly ended: Promise<never>;

  constructor(
    private readonly parts: { readonly clock: Clock; readonly random: Random; readonly pool: Pool },
    private readonly request: RunRequest,
    private readonly profile: Profile,
    private readonly caller: AbortSignal | undefined,
  ) {
    this.askedAtMs = parts.clock.nowMs();
    const { signal } = this.controller;
    this.ended = new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    this.ended.catch(() => undefined); // it may end while nobody waits
    const budgetMs = budgetOf(request, profile);
    this.budgetMs = budgetMs;
    this.deadline = parts.clock.setTimer(budgetMs, () => this.controller.abort(tooLate(budgetMs)));
    caller?.addEventListener('abort', this.leave, { once: true });
    if (caller?.aborted === true) this.leave();
  }

  /** The server stops: this request will not be accepted. */
  refuse(error: LlamaestroError): void {
    this.controller.abort(error);
  }

  /** Purpose, length, queue. Rejects with what is wrong, or with the reason of an early end. */
  async check(spec: ModelSpec): Promise<Fit> {
    const { pool } = this.parts;
    const { signal } = this.controller;
    if (spec.load.purpose !== 'generate') {
      throw new LlamaestroError('invalid_request', `model '${spec.name}' does not generate text`, {
        param: 'model',
        remedy: `It is there for '${spec.load.purpose}'; choose a generating model.`,
      });
    }
    signal.throwIfAborted();
    const roomTokens = this.certainRoom(spec) ?? (await this.countedRoom(spec));
    if (!pool.admits(spec.name)) {
      throw new LlamaestroError('queue_full', `the queue of model '${spec.name}' is full`);
    }
    signal.throwIfAborted();
    return { roomTokens, warnings: warningsFor(this.request, roomTokens) };
  }

  /** Whoever counts may die at it, as a host may: the same table decides whether to ask again. */
  private async count(model: string): Promise<{ tokens: number; contextTokensPerSlot: number }> {
    const { clock, random, pool } = this.parts;
    const { signal } = this.controller;
    let lastPauseMs = 0;
    for (let attempts = 1; ; attempts++) {
      try {
        return await Promise.race([pool.count(model, this.request.prompt, signal), this.ended]);
      } catch (thrown) {
        const { code } = toLlamaestroError(thrown);
        const remainingMs = this.askedAtMs + this.budgetMs - clock.nowMs();
        const { retries } = this.profile;
        const failure = { code, deliveredTokens: 0, attempts, crashes: 0, retries, remainingMs, lastPauseMs };
        const verdict = afterFailure(failure, random.next());
        if (signal.aborted || verdict.action !== 'retry') throw thrown;
        lastPauseMs = verdict.pauseMs;
        await sleep(clock, lastPauseMs, signal);
      }
    }
  }

  /** The room of a request that is so short that nobody has to count: the first token need not wait for that. */
  private certainRoom(spec: ModelSpec): number | undefined {
    const { prompt, maxTokens } = this.request;
    const most = mostTokens(prompt);
    const perSlot = this.parts.pool.contextTokensPerSlot(spec.name);
    if (most === undefined || perSlot === undefined) return undefined;
    const roomTokens = perSlot - most;
    return roomTokens >= Math.max(1, maxTokens ?? 1) ? roomTokens : undefined;
  }

  private async countedRoom(spec: ModelSpec): Promise<number> {
    const { tokens, contextTokensPerSlot } = await this.count(spec.name);
    const roomTokens = contextTokensPerSlot - tokens;
    if (roomTokens < 1) throw tooLong(this.request, spec.name, tokens, contextTokensPerSlot);
    return roomTokens;
  }

  /** Takes timer and listener back. Idempotent. */
  end(): void {
    this.deadline.cancel();
    this.caller?.removeEventListener('abort', this.leave);
  }
}

function tooLong(request: RunRequest, model: string, promptTokens: number, perSlot: number): LlamaestroError {
  const text = `the prompt has ${String(promptTokens)} tokens, model '${model}' holds ${String(perSlot)} per slot and one must be free`;
  return new LlamaestroError('context_length_exceeded', text, {
    param: request.promptField,
    details: { promptTokens, contextTokensPerSlot: perSlot, model },
  });
}

function warningsFor({ maxTokens, warnings }: RunRequest, roomTokens: number): readonly string[] {
  if (maxTokens === undefined || maxTokens <= roomTokens) return warnings;
  const lowered = `max_tokens ${String(maxTokens)} is more than the ${String(roomTokens)} tokens that fit after the prompt; the answer ends there`;
  return [...warnings, lowered];
}
