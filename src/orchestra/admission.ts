/**
 * One request between `submit` and its acceptance: whether its model can take it, within its own budget of time. Ends
 * early with the caller, the drain or the deadline. Knows no runs.
 */
import { assert } from '../base/assert.js';
import { toLlamaestroError, type LlamaestroError } from '../base/errors.js';
import type { Clock, Random, Timer } from '../base/ports.js';
import type { Pool } from '../pool/pool.js';
import type { ModelSpec, Profile } from '../schema/profile.js';
import type { RunRequest } from '../schema/run.js';
import { budgetOf, tooLate } from './budget.js';
import { mayFallBack } from './retry-policy.js';
import { takeSeat, type Seat } from './seat.js';

/** What `check` found: the seat, who comes after it, and what the model that was meant said, if it was another. */
export interface Seated {
  readonly seat: Seat;
  readonly rest: readonly ModelSpec[];
  readonly refusal: LlamaestroError | undefined;
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

  /**
   * A seat at the first of `specs` that can take the request; `rest` are those after it. Rejects with what the first one
   * says when none can, or with the reason of an early end.
   */
  async check(specs: readonly ModelSpec[]): Promise<Seated> {
    let refusal: LlamaestroError | undefined;
    for (const [index, spec] of specs.entries()) {
      try {
        return { seat: await this.seatAt(spec), rest: specs.slice(index + 1), refusal };
      } catch (thrown) {
        const error = toLlamaestroError(thrown);
        refusal ??= error;
        if (this.controller.signal.aborted) throw error;
        if (!mayFallBack(error.code)) break;
      }
    }
    assert(refusal !== undefined, 'a request has at least one model to go to');
    throw refusal;
  }

  /** Waits for something, no longer than the request does. */
  async wait(something: Promise<unknown> | undefined): Promise<void> {
    await Promise.race([something, this.ended]);
  }

  private seatAt(spec: ModelSpec): Promise<Seat> {
    const { clock } = this.parts;
    const leftMs = (): number => this.askedAtMs + this.budgetMs - clock.nowMs();
    const { signal } = this.controller;
    const { request, profile } = this;
    return Promise.race([takeSeat(this.parts, { request, spec, profile, leftMs }, signal), this.ended]);
  }

  /** Takes timer and listener back. Idempotent. */
  end(): void {
    this.deadline.cancel();
    this.caller?.removeEventListener('abort', this.leave);
  }
}
