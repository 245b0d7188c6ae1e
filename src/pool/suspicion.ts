/**
 * When a loaded host counts as hung or lost although its process lives: by silence, by a step that takes too long, by its own
 * word. Pure. Suspects ourselves first: a timer that fires late says more about this process than about the host.
 */
import { LlamaestroError } from '../base/errors.js';
import type { HostState } from '../schema/bus-messages.js';
import { hostLost } from './failure.js';
import type { PoolLimits } from './limits.js';

/** True when our own timer was so late that every host deserves one fresh period. */
export function suspectsItself(lateMs: number, limits: PoolLimits): boolean {
  return lateMs > limits.selfBlockedMs;
}

/** What a host's report says against it. */
export function wordAgainst(
  report: { readonly host: HostState; readonly stalledMs: number; readonly error?: LlamaestroError },
  limits: PoolLimits,
): LlamaestroError | undefined {
  if (report.host === 'failed') return hostLost(`failed: ${report.error?.message ?? 'it did not say why'}`);
  if (report.stalledMs < limits.stepStallMs) return undefined;
  return new LlamaestroError('host_stuck', `a step of the model took longer than ${limits.stepStallMs} ms`);
}

/**
 * What a host's silence says against it. Compares instants the way the wake-up is computed: with fractions of milliseconds a
 * difference can be a hair below the limit at the very instant of the wake-up, and the timer would spin.
 */
export function silenceAgainst(
  heardAtMs: number,
  lateMs: number,
  { nowMs, leased, limits }: { readonly nowMs: number; readonly leased: number; readonly limits: PoolLimits },
): LlamaestroError | undefined {
  const limitMs = patienceMs(leased, limits);
  if (suspectsItself(lateMs, limits) || nowMs < heardAtMs + limitMs) return undefined;
  return new LlamaestroError('host_stuck', `the model host was silent for ${limitMs} ms`);
}

/** How long a loaded host may be silent: one that works speaks more often. */
export function patienceMs(leased: number, limits: PoolLimits): number {
  return leased > 0 ? limits.silenceMs : limits.idleSilenceMs;
}
