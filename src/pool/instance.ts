/**
 * The words of one model instance's life: its states, what may happen to it, what must then be done, and when it wants to be
 * woken. Data only; `instance-state.ts` says how one state follows another.
 *
 *   unloaded -> starting (placing, spawning) -> loading -> ready -> draining -> stopping -> unloaded
 *   draining -> ready when it only made room for a load that went away
 *   anything with a process -> failed, after the process is gone; failed -> starting when somebody still wants the model
 */
import type { LlamaestroError } from '../base/errors.js';
import type { HostState } from '../schema/bus-messages.js';
import type { Failure, FailureContext } from './failure.js';
import type { Verdict } from './liveness.js';

/** A state with a process whose end would be a failure. */
export interface Living {
  readonly hid: string;
  /** Failures in a row before this life. */
  readonly failures: number;
}

/** A load: it is given up when nobody has wanted it for a while. */
export interface Rising extends Living {
  readonly deadlineAtMs: number;
  /** Since when nobody wants it; absent while somebody does. */
  readonly unwantedAtMs?: number;
}

export type InstanceState =
  | { readonly name: 'unloaded' }
  | { readonly name: 'starting'; readonly step: 'placing'; readonly failures: number }
  | ({ readonly name: 'starting'; readonly step: 'spawning' } & Rising)
  | ({
      readonly name: 'loading';
      readonly fraction: number;
      readonly progressAtMs: number;
      /** Beyond this no progress moves the deadline. */
      readonly lastAtMs: number;
    } & Rising)
  | ({ readonly name: 'ready'; readonly sinceMs: number } & Living)
  | {
      readonly name: 'draining';
      readonly hid: string;
      readonly deadlineAtMs: number;
      /** Why it goes: what a lease hears that is still out at the end. */
      readonly cause: LlamaestroError;
      /** Present when it only makes room for another: then it may be taken back to what it was, and what runs is not cut off. */
      readonly yields?: { readonly sinceMs: number; readonly failures: number };
    }
  | {
      readonly name: 'stopping';
      readonly hid: string;
      readonly killAtMs: number;
      /** Present when it ends because of a failure. */
      readonly failure?: Failure;
    }
  | { readonly name: 'failed'; readonly failure: Failure };

export type InstanceEvent =
  /** Leases or waiters changed; the context says how. */
  | { readonly type: 'demand' }
  | { readonly type: 'placed'; readonly hid: string }
  | { readonly type: 'placement-failed'; readonly error: LlamaestroError }
  | { readonly type: 'spawn-failed'; readonly hid: string; readonly error: LlamaestroError }
  | {
      readonly type: 'heard';
      readonly hid: string;
      readonly host: HostState;
      readonly loadFraction: number;
      readonly error?: LlamaestroError;
    }
  /** Its process lives and it must go all the same; `how` goes on from 'the model host …'. */
  | { readonly type: 'suspected'; readonly hid: string; readonly verdict: Verdict; readonly how: string }
  | { readonly type: 'load-refused'; readonly hid: string; readonly error: LlamaestroError }
  /** `asTold`: in the way a host ends that was told to, which is no crash. */
  | { readonly type: 'exited'; readonly hid: string; readonly how: string; readonly asTold: boolean }
  /** Its bytes are needed: go, if it is in use after what runs. */
  | { readonly type: 'evict' }
  /** Its bytes are not needed any more. */
  | { readonly type: 'reprieve' }
  /** Let what runs end, then go. What does not end within `drainMs`, or the usual time, is lost with `cause`. */
  | { readonly type: 'unload'; readonly cause: LlamaestroError; readonly drainMs?: number }
  /** Go now; what runs is lost with `cause`. */
  | { readonly type: 'shutdown'; readonly cause: LlamaestroError }
  /** `lateMs`: how much later than asked for; Infinity while the bus is lost. */
  | { readonly type: 'tick'; readonly lateMs: number };

export type InstanceEffect =
  /** Find bytes for a load; answered by placed or placement-failed. */
  | { readonly type: 'place' }
  | { readonly type: 'withdraw' }
  | { readonly type: 'spawn'; readonly hid: string }
  | { readonly type: 'load'; readonly hid: string }
  /** Tell those who wait how far the load is. */
  | { readonly type: 'progress'; readonly fraction: number }
  /** Ready: commit the bytes, begin to grant. */
  | { readonly type: 'open'; readonly hid: string }
  /** Grant no more; leases run on. */
  | { readonly type: 'shut' }
  /** Grant again. */
  | { readonly type: 'resume' }
  /** Every lease is over. */
  | { readonly type: 'lose'; readonly error: LlamaestroError }
  /** Everybody who waits is refused. */
  | { readonly type: 'reject'; readonly error: LlamaestroError }
  /** Go, and save before that what the next load can use. */
  | { readonly type: 'leave'; readonly hid: string }
  /** Go at once. */
  | { readonly type: 'exit'; readonly hid: string }
  | { readonly type: 'kill'; readonly hid: string }
  /** The process is gone: its bytes are free. */
  | { readonly type: 'release'; readonly hid: string }
  /** For the log and the counters. */
  | { readonly type: 'failed'; readonly failure: Failure };

/** What the machine must know of its surroundings, read at each event. */
export interface InstanceContext extends FailureContext {
  /** Somebody waits, or the model is resident; false once the pool closes. */
  readonly wanted: boolean;
  readonly waiting: number;
  readonly leased: number;
  /** When idleness ends this load; undefined while it is used or kept. */
  readonly idleUntilMs: number | undefined;
  readonly loadTimeoutMs: number;
}

export interface Transition {
  readonly state: InstanceState;
  readonly effects: readonly InstanceEffect[];
}

/** The state of one name. */
export type StateOf<Name extends InstanceState['name']> = Extract<InstanceState, { name: Name }>;
export type Placing = Extract<InstanceState, { step: 'placing' }>;
export type Spawning = Extract<InstanceState, { step: 'spawning' }>;

export const UNLOADED: InstanceState = { name: 'unloaded' };

/** The process of this state, if it has one. */
export function hidOf(state: InstanceState): string | undefined {
  return 'hid' in state ? state.hid : undefined;
}

/** When a load that nobody wants is given up. */
export function givenUpAtMs({ unwantedAtMs }: Rising, { limits }: Pick<InstanceContext, 'limits'>): number {
  return unwantedAtMs === undefined ? Infinity : unwantedAtMs + limits.unwantedLoadMs;
}

/** When the driver must send the next tick; Infinity when time alone changes nothing. */
export function wakeAtMs(
  state: InstanceState,
  context: Pick<InstanceContext, 'wanted' | 'idleUntilMs' | 'limits'>,
): number {
  switch (state.name) {
    case 'unloaded':
      return Infinity;
    case 'starting':
      return state.step === 'placing' ? Infinity : Math.min(state.deadlineAtMs, givenUpAtMs(state, context));
    case 'loading': {
      const stalledAtMs = state.progressAtMs + context.limits.loadStallMs;
      return Math.min(stalledAtMs, state.deadlineAtMs, givenUpAtMs(state, context));
    }
    case 'ready':
      return context.idleUntilMs ?? Infinity;
    case 'draining':
      return state.deadlineAtMs;
    case 'stopping':
      return state.killAtMs;
    case 'failed':
      return context.wanted && !state.failure.deterministic ? state.failure.retryAtMs : Infinity;
  }
}
