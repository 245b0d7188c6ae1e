/**
 * Time and randomness for tests: a clock that moves only when told, and a seeded source of numbers. A run with the same
 * seed and the same calls is the same run. Knows nothing of what it drives.
 */
import type { Clock, Random, Timer } from '../../src/base/ports.js';

interface Entry {
  readonly dueMs: number;
  /** Timers due at the same instant fire in the order they were set. */
  readonly order: number;
  readonly fn: () => void;
  cancelled: boolean;
}

function before(left: Entry, right: Entry): boolean {
  return left.dueMs === right.dueMs ? left.order < right.order : left.dueMs < right.dueMs;
}

/** Lets promise callbacks, ticks and immediates that are ready run; `rounds` turns of the event loop. */
export async function settle(rounds = 2): Promise<void> {
  for (let round = 0; round < rounds; round++) await new Promise<void>((resolve) => void setImmediate(resolve));
}

/** Timers fired without time moving on, after which something sets them in a circle. */
const MAX_FIRED_AT_ONCE = 1_000_000;

/** A clock whose time is a number. Starts at 0 ms monotonic and a fixed wall time. */
export class FakeClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #pending = 0;
  #firedNow = 0;
  /** Binary heap, earliest first; cancelled entries stay until they surface. */
  readonly #heap: Entry[] = [];
  /** Called by `run` and `runUntil` after each timer, when all that it set off has settled. */
  onStep: () => void = () => undefined;

  constructor(private readonly wallAtStartMs = 1_750_000_000_000) {}

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.wallAtStartMs + Math.floor(this.#nowMs);
  }

  setTimer(delayMs: number, fn: () => void): Timer {
    const entry: Entry = { dueMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fn, cancelled: false };
    this.#push(entry);
    this.#pending++;
    return {
      cancel: () => {
        if (entry.cancelled) return;
        entry.cancelled = true;
        this.#pending--;
      },
    };
  }

  /** Timers that are set, not fired and not cancelled. */
  get pendingTimers(): number {
    return this.#pending;
  }

  /** When the next timer fires, or undefined when none is set. */
  get nextDueMs(): number | undefined {
    return this.#peek()?.dueMs;
  }

  /** Moves time without anybody noticing, as when the machine slept: what fell due meanwhile fires late, at the next step. */
  jump(ms: number): void {
    this.#nowMs += ms;
  }

  /** Moves time by `ms` and fires what falls due, in order, synchronously; timers set meanwhile count too. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    while (this.#fireNext(untilMs));
    this.#nowMs = untilMs;
  }

  /** Like `advance`, but lets promises and immediates settle before, between and after the timers. */
  async run(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settle();
    while (this.#fireNext(untilMs)) await this.#step();
    this.#nowMs = untilMs;
    await settle();
  }

  /** `run`, one timer at a time, until `done` says so; throws when `limitMs` of fake time were not enough. */
  async runUntil(done: () => boolean, limitMs = 600_000): Promise<void> {
    const untilMs = this.#nowMs + limitMs;
    await settle();
    while (!done()) {
      if (!this.#fireNext(untilMs)) throw new Error(`not done after ${limitMs} ms of fake time`);
      await this.#step();
    }
  }

  async #step(): Promise<void> {
    await settle();
    this.onStep();
  }

  #fireNext(untilMs: number): boolean {
    const next = this.#peek();
    if (next === undefined || next.dueMs > untilMs) return false;
    this.#pop();
    this.#firedNow = next.dueMs > this.#nowMs ? 0 : this.#firedNow + 1;
    if (this.#firedNow > MAX_FIRED_AT_ONCE) throw new Error(`timers go in a circle at ${String(this.#nowMs)} ms`);
    this.#nowMs = Math.max(this.#nowMs, next.dueMs);
    next.cancelled = true; // a later cancel() changes nothing
    this.#pending--;
    next.fn();
    return true;
  }

  #peek(): Entry | undefined {
    while (this.#heap[0]?.cancelled === true) this.#pop();
    return this.#heap[0];
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let index = heap.push(entry) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(entry, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = last;
  }
}

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Numbers and ids that depend on `seed` alone (a Weyl sequence with a 32-bit finaliser: plenty for tests). */
export function seededRandom(seed: number): Random {
  let state = (seed ^ 0x2545f491) >>> 0;
  const word = (): number => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return (mixed ^ (mixed >>> 16)) >>> 0;
  };
  return {
    next: () => word() / 2 ** 32,
    id: (prefix) => `${prefix}_${Array.from({ length: 22 }, () => ALPHABET.charAt(word() % ALPHABET.length)).join('')}`,
  };
}
