/**
 * Time as this process lived it: a pause in which it could neither hear nor act (the machine slept, its container was frozen,
 * the event loop was blocked) counts as a moment. Whoever judges another by silence measures it in this time. Keeps one timer.
 */
import type { Clock, Timer } from './ports.js';

/** How late a beat may be before the rest counts as a pause: what a busy machine does to any timer. */
const GRACE_MS = 250;

export class AwakeTime {
  private livedMs = 0;
  private beatAtMs: number;
  private timer: Timer | undefined;

  /** `onBeat` hears, about every `beatMs`, how much later than asked for the beat came. */
  constructor(
    private readonly clock: Clock,
    private readonly beatMs: number,
    private readonly onBeat: (lateMs: number) => void,
  ) {
    this.beatAtMs = clock.nowMs();
    this.arm();
  }

  /** Milliseconds lived since it began; may have fractions, never goes back. */
  get nowMs(): number {
    return this.livedMs + Math.min(this.clock.nowMs() - this.beatAtMs, this.beatMs + GRACE_MS);
  }

  /** No beat comes any more, and time stands still soon. Idempotent. */
  stop(): void {
    this.timer?.cancel();
  }

  private arm(): void {
    this.timer = this.clock.setTimer(this.beatMs, () => this.beat());
  }

  private beat(): void {
    const lateMs = Math.max(0, this.clock.nowMs() - this.beatAtMs - this.beatMs);
    this.livedMs = this.nowMs;
    this.beatAtMs = this.clock.nowMs();
    this.arm();
    this.onBeat(lateMs);
  }
}
