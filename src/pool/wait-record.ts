/**
 * What was seen of one model's leases and loads lately: what guesses of waits are made of. Keeps the latest only; guesses
 * themselves are `wait-estimate`'s.
 */
import { REMEMBERED_LEASES, restOfLoad, type WaitFacts } from './wait-estimate.js';

export class WaitRecord {
  private leaseMs: readonly number[] = [];
  private loadMs: number | undefined;
  private loading: { readonly fraction: number; readonly startedAtMs: number } | undefined;

  /** How far the load is that goes on; undefined while none does. */
  get fraction(): number | undefined {
    return this.loading?.fraction;
  }

  leaseEnded(lastedMs: number): void {
    this.leaseMs = [...this.leaseMs, lastedMs].slice(-REMEMBERED_LEASES);
  }

  loadGoesOn(fraction: number, startedAtMs: number): void {
    this.loading = { fraction, startedAtMs };
  }

  loadEnded(lastedMs: number): void {
    this.loadMs = lastedMs;
    this.loading = undefined;
  }

  hostLost(): void {
    this.loading = undefined;
  }

  /** Milliseconds until a load is probably done, whether it began or not. */
  restOfLoadMs(nowMs: number): number | undefined {
    return restOfLoad(this.load(nowMs));
  }

  /** What a guess is made from while a host is there. */
  withHost(slots: number, heldMs: readonly number[]): WaitFacts {
    return { slots: Math.max(1, slots), leaseMs: this.leaseMs, heldMs };
  }

  /** The same while there is none; `slots`: what it will have. */
  withoutHost(slots: number, nowMs: number): WaitFacts {
    return { slots: Math.max(1, slots), leaseMs: this.leaseMs, heldMs: [], load: this.load(nowMs) };
  }

  private load(nowMs: number): NonNullable<WaitFacts['load']> {
    const { fraction = 0, startedAtMs = nowMs } = this.loading ?? {};
    return { elapsedMs: nowMs - startedAtMs, fraction, lastMs: this.loadMs };
  }
}
