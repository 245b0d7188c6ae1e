/**
 * How a host is, judged by every sign of it: its word on the bus, the heartbeat of its native thread as the node agent hears
 * it, and the decode steps that both of them count. Pure. All ages are in time that this process was awake: a machine that
 * slept proves nothing against anybody.
 */
import type { PoolLimits } from './limits.js';

export type Verdict =
  /** It works, and steps come one after the other. */
  | 'well'
  /** It works on one long step: a chunk of a long prompt, or a slow machine. */
  | 'busy'
  /** It has nothing to do. */
  | 'idle'
  /** Silence would say nothing: we hear nobody on its machine. */
  | 'unheard'
  /** The whole process stands still, its native thread too (SIGSTOP). */
  | 'frozen'
  /** It has work, and its step does not end. */
  | 'stuck'
  /** Its native thread lives, its event loop does not. */
  | 'deaf'
  /** Nothing of it is heard, and nothing is known of its native thread. */
  | 'silent';

export interface Evidence {
  /** False while silence says nothing about a host: the bus is lost, or its node agent is just as silent. */
  readonly canHear: boolean;
  readonly isLoading: boolean;
  /** Somebody holds a lease on it: hosts that work speak more often. */
  readonly isLeased: boolean;
  /** Since its last word on the bus. */
  readonly wordAgeMs: number;
  /** Since the last heartbeat of its native thread; absent when the node agent tells nothing of it. */
  readonly pulseAgeMs?: number;
  /** It counts sequences that run or wait. */
  readonly hasWork: boolean;
  /** For how long we have seen the same number of steps while it had work, and for how long it says so itself. */
  readonly stillMs: number;
  readonly stalledMs: number;
  /** The longest step that came to an end. */
  readonly longestStepMs: number;
}

/** For people and programs: the verdict and what it rests on. */
export interface Liveness extends Pick<Evidence, 'wordAgeMs' | 'pulseAgeMs' | 'stillMs' | 'longestStepMs'> {
  readonly verdict: Verdict;
}

export type LivenessLimits = Pick<
  PoolLimits,
  'silenceMs' | 'idleSilenceMs' | 'loadSilenceMs' | 'deafMs' | 'longStepMs' | 'stepStallMs' | 'longestStepStallMs'
>;

/** A step may take so many times as long as the longest one that came to an end. */
const STALL_PER_STEP = 4;

export function judge(evidence: Evidence, limits: LivenessLimits): Verdict {
  const { canHear, isLoading, wordAgeMs, pulseAgeMs, hasWork, stillMs, stalledMs, longestStepMs } = evidence;
  if (!canHear) return 'unheard';
  const patienceMs = patienceWith(evidence, limits);
  if (pulseAgeMs !== undefined && Math.min(wordAgeMs, pulseAgeMs) >= patienceMs) return 'frozen';
  if (pulseAgeMs === undefined && wordAgeMs >= patienceMs) return 'silent';
  // What a load does to an event loop and whether it gets on is watched by its progress.
  if (isLoading) return 'well';
  if (wordAgeMs >= Math.max(patienceMs, limits.deafMs)) return 'deaf';
  if (!hasWork) return 'idle';
  // Both must say so: its own clock also counts a sleep of the machine, ours also a step that ended unseen.
  if (Math.min(stillMs, stalledMs) >= stepStallMs(longestStepMs, limits)) return 'stuck';
  return stillMs >= limits.longStepMs ? 'busy' : 'well';
}

export function healthOf(evidence: Evidence, limits: LivenessLimits): Liveness {
  const { wordAgeMs, pulseAgeMs, stillMs, longestStepMs } = evidence;
  const verdict = judge(evidence, limits);
  return { verdict, wordAgeMs, ...(pulseAgeMs === undefined ? {} : { pulseAgeMs }), stillMs, longestStepMs };
}

/** How long a step may take: as long as a hang is said to take, longer on a machine where steps are long. */
export function stepStallMs(longestStepMs: number, limits: LivenessLimits): number {
  return Math.min(limits.longestStepStallMs, Math.max(limits.stepStallMs, STALL_PER_STEP * longestStepMs));
}

/** What a verdict says against a host, to go on from 'the model host …'; undefined when it may live. */
export function against(verdict: Verdict, evidence: Evidence, limits: LivenessLimits): string | undefined {
  const patience = `${String(patienceWith(evidence, limits))} ms`;
  switch (verdict) {
    case 'well':
    case 'busy':
    case 'idle':
    case 'unheard':
      return undefined;
    case 'frozen':
      return `was frozen: no sign of life for ${patience}`;
    case 'silent':
      return `was silent for ${patience}`;
    case 'deaf':
      return `neither spoke nor listened for ${String(Math.round(evidence.wordAgeMs))} ms, though its process lives`;
    case 'stuck':
      return `was stuck: a step of the model took longer than ${String(stepStallMs(evidence.longestStepMs, limits))} ms`;
  }
}

/** True when a timer of ours was so late that every host deserves one fresh period. */
export function suspectsItself(lateMs: number, { selfBlockedMs }: Pick<PoolLimits, 'selfBlockedMs'>): boolean {
  return lateMs > selfBlockedMs;
}

function patienceWith({ isLoading, isLeased }: Evidence, limits: LivenessLimits): number {
  if (isLoading) return limits.loadSilenceMs;
  return isLeased ? limits.silenceMs : limits.idleSilenceMs;
}
