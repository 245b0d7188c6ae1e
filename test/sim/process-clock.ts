/**
 * The clock of one simulated process: its timers go with it when it dies, and wait while it is frozen. Knows nothing of
 * what the process is.
 */
import type { Clock, Timer } from '../../src/base/ports.js';

export class ProcessClock implements Clock {
  #state: 'running' | 'frozen' | 'dead' = 'running';
  readonly #pending = new Set<Timer>();
  /** What fell due while it was frozen, in order. */
  #held: (() => void)[] = [];

  constructor(private readonly base: Clock) {}

  nowMs(): number {
    return this.base.nowMs();
  }

  wallMs(): number {
    return this.base.wallMs();
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    if (this.#state === 'dead') return { cancel: () => undefined };
    let cancelled = false;
    const fire = (): void => {
      if (cancelled) return;
      if (this.#state === 'frozen') return void this.#held.push(fire);
      this.#pending.delete(timer);
      fn();
    };
    const inner = this.base.setTimer(delayMs, fire);
    const timer: Timer = {
      cancel: () => {
        cancelled = true;
        inner.cancel();
        this.#pending.delete(timer);
      },
    };
    this.#pending.add(timer);
    return timer;
  }

  /** Timers that are set and neither fired nor cancelled. */
  get pendingTimers(): number {
    return this.#pending.size;
  }

  get isAlive(): boolean {
    return this.#state !== 'dead';
  }

  /** Nothing of this process runs until `thaw`. */
  freeze(): void {
    if (this.#state === 'running') this.#state = 'frozen';
  }

  thaw(): void {
    if (this.#state !== 'frozen') return;
    this.#state = 'running';
    for (const fire of this.#held.splice(0)) this.base.setTimer(0, fire);
  }

  /** Nothing of this process runs any more. */
  die(): void {
    this.#state = 'dead';
    this.#held = [];
    for (const timer of [...this.#pending]) timer.cancel();
  }
}
