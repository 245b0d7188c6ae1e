/**
 * How fast a model usually is on this machine, and how fast its host is now: tokens per second of pure decoding, compared only
 * among equals: as many sequences, contexts of the same class, no other host at work. Pure.
 */
import type { PoolLimits } from './limits.js';

/** What a host counts at one moment, and what goes on around it. */
export interface SpeedReading {
  readonly atMs: number;
  readonly generatedTokens: number;
  readonly promptTokens: number;
  readonly running: number;
  readonly waiting: number;
  /** Cells of the KV cache in use, all sequences together. */
  readonly cells: number;
  /** Other hosts of the machine that work. */
  readonly others: number;
}

/** Tokens per second between two readings of one class. */
export interface SpeedSample {
  readonly key: string;
  readonly tokensPerS: number;
}

/** Fewer tokens are too coarse to make a speed of. */
const LEAST_TOKENS = 20;
const LEAST_MS = 500;

/** Names what speeds may be compared: contexts of one class differ by less than the double. */
export function speedKey({ running, cells }: SpeedReading): string {
  const context = Math.ceil(Math.log2(Math.max(1, cells / Math.max(1, running))));
  return `${String(running)} running, context ${String(context)}`;
}

/** A sample when enough was decoded between two readings; 'wait' for a later one; 'anew' when they cannot be compared. */
export function sampleBetween(from: SpeedReading, to: SpeedReading): SpeedSample | 'wait' | 'anew' {
  // What another host takes depends on which one it is and on what it does: no number of them makes a class.
  const isAlone = from.others + to.others === 0;
  const isDecoding = from.running > 0 && from.waiting + to.waiting === 0 && from.promptTokens === to.promptTokens;
  const key = speedKey(from);
  if (!isAlone || !isDecoding || key !== speedKey(to) || to.generatedTokens < from.generatedTokens) return 'anew';
  const [tokens, ms] = [to.generatedTokens - from.generatedTokens, to.atMs - from.atMs];
  if (tokens < LEAST_TOKENS || ms < LEAST_MS) return 'wait';
  return { key, tokensPerS: (tokens * 1000) / ms };
}

/** The usual speed of one class. */
export interface Usual {
  readonly tokensPerS: number;
  readonly samples: number;
}

/** Enough to know what is usual. */
const KNOWN_SAMPLES = 10;
/** What is faster is believed soon, what is slower late: usual is what the machine can do when nothing is in its way. */
const UP_SHARE = 0.1;
const DOWN_SHARE = 0.002;

export function learned(usual: Usual | undefined, { tokensPerS }: SpeedSample): Usual {
  if (usual === undefined) return { tokensPerS, samples: 1 };
  const samples = usual.samples + 1;
  const known = tokensPerS > usual.tokensPerS ? UP_SHARE : DOWN_SHARE;
  const share = samples <= KNOWN_SAMPLES ? 1 / samples : known;
  return { tokensPerS: usual.tokensPerS + (tokensPerS - usual.tokensPerS) * share, samples };
}

export function isKnown(usual: Usual | undefined): usual is Usual {
  return usual !== undefined && usual.samples >= KNOWN_SAMPLES;
}

/** How a host compares with what is usual, of late. */
export interface Pace {
  /** Its speed over the usual one, the latest samples counting most; 1 until something is known. */
  readonly ratio: number;
  /** Since when it has been below the limit, and in how many samples; absent while it is not. */
  readonly slow?: { readonly sinceMs: number; readonly samples: number };
}

export const USUAL_PACE: Pace = { ratio: 1 };

const LATEST_SHARE = 0.2;

export type PaceLimits = Pick<PoolLimits, 'slowShare' | 'slowMs' | 'slowSamples'>;

/** The pace after one more sample of a class whose usual speed is known. */
export function pacedBy(pace: Pace, sample: SpeedSample, usual: Usual, nowMs: number, limits: PaceLimits): Pace {
  const ratio = pace.ratio + (sample.tokensPerS / usual.tokensPerS - pace.ratio) * LATEST_SHARE;
  if (ratio >= limits.slowShare) return { ratio };
  return { ratio, slow: { sinceMs: pace.slow?.sinceMs ?? nowMs, samples: (pace.slow?.samples ?? 0) + 1 } };
}

/** Slow for so long, and in so many samples, that it is no passing thing. */
export function isDegraded({ slow }: Pace, nowMs: number, { slowMs, slowSamples }: PaceLimits): boolean {
  return slow !== undefined && nowMs - slow.sinceMs >= slowMs && slow.samples >= slowSamples;
}
