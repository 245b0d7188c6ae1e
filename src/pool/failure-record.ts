/**
 * The failures of one model, counted, logged and kept beyond the end of the gateway, until its host has stood for long enough.
 * Decides nothing about the next try: a failure carries its own pause.
 */
import type { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock } from '../base/ports.js';
import type { CrashBook } from './crash-book.js';
import type { Failure } from './failure.js';
import { UNLOADED, type InstanceState } from './instance.js';
import type { PoolLimits } from './limits.js';
import type { Unit } from './unit.js';

export interface FailureRecordParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: PoolLimits;
  readonly crashes: CrashBook;
}

export class FailureRecord {
  /** Processes that ended or hung by themselves. */
  crashes = 0;
  lastError: LlamaestroError | undefined;

  constructor(
    private readonly unit: () => Pick<Unit, 'name' | 'configHash'>,
    private readonly parts: FailureRecordParts,
  ) {}

  /** The state a model begins in: where a former life of the gateway left it, when that was a failure. */
  beginning(): InstanceState {
    const failure = this.parts.crashes.of(this.unit().configHash);
    if (failure === undefined) return UNLOADED;
    this.lastError = failure.error;
    return { name: 'failed', failure };
  }

  note(failure: Failure, hid: string | undefined): void {
    const { clock, crashes, log } = this.parts;
    const { name, configHash } = this.unit();
    this.lastError = failure.error;
    if (failure.crash) this.crashes++;
    crashes.note(configHash, name, failure);
    const { error, failures, retryAtMs } = failure;
    const retryInMs = Math.round(retryAtMs - clock.nowMs());
    log.warn('a model failed', { model: name, hid, error, failures, retryInMs });
  }

  /** Its host has been ready since then: after a while what was before counts no more. */
  stoodSince(sinceMs: number): void {
    const { clock, limits } = this.parts;
    if (clock.nowMs() - sinceMs >= limits.stableMs) this.forgive();
  }

  /** The next failure is the first again. */
  forgive(): void {
    this.parts.crashes.forget(this.unit().configHash);
  }
}
