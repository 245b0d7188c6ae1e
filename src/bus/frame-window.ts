/**
 * The sending side of one attempt: numbers frames, holds back what the receiver has no room for, keeps the last ones for
 * a repeat, lets exactly one terminal frame through. Pure: no bus, no clock.
 *
 * Frames are numbered when they leave, not when they come: what is held can still be dropped for an earlier end.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Frame, FrameBody } from '../schema/bus-messages.js';

/** Frames kept for a repeat; also the largest window, so that everything not yet confirmed is among them. */
export const RING_FRAMES = 512;
/** Window of an attempt when nobody says otherwise. */
export const DEFAULT_CREDIT_FRAMES = 256;
/** Frames held for lack of credit before the receiver counts as too slow; many waiting deltas are joined. */
export const MAX_HELD_FRAMES = 512;
/** From so many held frames on, deltas are joined to the last one. */
const JOIN_FROM_FRAMES = 256;
/** A held delta takes up more tokens while its text is shorter than this; all held text is then 2 MiB at most. */
const JOINED_UNITS = 4096;

/** taken: on its way or held. ended: dropped, the attempt has its terminal frame. overflow: dropped, too much is held. */
export type PushResult = 'taken' | 'ended' | 'overflow';

/** The window both sides use for the `creditFrames` of a request: 1 to `RING_FRAMES - 1`. */
export function creditOf(creditFrames: number): number {
  return Math.max(1, Math.min(RING_FRAMES - 1, Math.floor(creditFrames)));
}

export function isTerminal(frame: { readonly type: Frame['type'] }): boolean {
  return frame.type === 'final' || frame.type === 'error' || frame.type === 'cancelled';
}

function tooSlow(): FrameBody {
  const error = new LlamaestroError('client_too_slow', 'the stream was not read fast enough');
  return { type: 'error', error: error.toWire() };
}

export class FrameWindow {
  #nextSeq = 0;
  /** Frames that may have been sent in all, the terminal one aside. */
  #allowed: number;
  readonly #credit: number;
  #held: FrameBody[] = [];
  #ring: Frame[] = [];
  #ending = false;
  #ended = false;
  #overflowed = false;
  #thinned = false;

  /** `creditFrames`: how far sending may be ahead of the receiver's consumption (`creditOf`). */
  constructor(
    readonly rid: string,
    readonly att: number,
    creditFrames: number,
  ) {
    this.#credit = creditOf(creditFrames);
    this.#allowed = this.#credit;
  }

  /** The terminal frame has left. */
  get ended(): boolean {
    return this.#ended;
  }

  /** A terminal frame has come; it may still be held. */
  get ending(): boolean {
    return this.#ending;
  }

  /** Frames wait for credit. */
  get starved(): boolean {
    return this.#held.length > 0;
  }

  get keptFrames(): number {
    return this.#thinned ? 1 : Math.min(this.#nextSeq, RING_FRAMES);
  }

  /**
   * Takes one more frame. After an overflow nothing but an end is taken, and a `final` becomes `client_too_slow`: text is
   * missing. An `error` or `cancelled` drops what is held, a `final` waits behind it.
   */
  push(body: FrameBody): PushResult {
    if (this.#ending) return 'ended';
    if (!isTerminal(body)) {
      // A receiver that stalls for a moment is not too slow: what waits for it is joined, not counted.
      if (this.#joinToLast(body)) return 'taken';
      this.#overflowed ||= this.#held.length >= MAX_HELD_FRAMES;
      if (this.#overflowed) return 'overflow';
      this.#held.push(body);
      return 'taken';
    }
    this.#ending = true;
    if (body.type !== 'final' || this.#overflowed) this.#held = [];
    this.#held.push(body.type === 'final' && this.#overflowed ? tooSlow() : body);
    return 'taken';
  }

  #joinToLast(body: FrameBody): boolean {
    const last = this.#held.at(-1);
    if (this.#overflowed || body.type !== 'delta' || last?.type !== 'delta') return false;
    if (this.#held.length < JOIN_FROM_FRAMES || last.text.length + last.ids.length >= JOINED_UNITS) return false;
    this.#held[this.#held.length - 1] = {
      type: 'delta',
      firstIndex: last.firstIndex,
      ids: [...last.ids, ...body.ids],
      text: last.text + body.text,
    };
    return true;
  }

  /** Numbers and gives out what may leave now. */
  take(): Frame[] {
    const out: Frame[] = [];
    let count = 0;
    for (const body of this.#held) {
      if (this.#nextSeq >= this.#allowed && !isTerminal(body)) break;
      const frame: Frame = { rid: this.rid, att: this.att, seq: this.#nextSeq++, ...body };
      this.#ring[frame.seq % RING_FRAMES] = frame;
      this.#ended = isTerminal(frame);
      out.push(frame);
      count++;
    }
    if (count > 0) this.#held = this.#held.slice(count);
    return out;
  }

  /** `totalFrames` may have been sent in all since the attempt began. Repeats and late smaller numbers change nothing. */
  grant(totalFrames: number): void {
    this.#allowed = Math.max(this.#allowed, totalFrames);
  }

  /** Frames already sent from `fromSeq` on; undefined when some of them are no longer kept. */
  repeat(fromSeq: number): Frame[] | undefined {
    const frames: Frame[] = [];
    for (let seq = Math.max(0, fromSeq); seq < this.#nextSeq; seq++) {
      const frame = this.#ring[seq % RING_FRAMES];
      if (frame?.seq !== seq) return undefined;
      frames.push(frame);
    }
    return frames;
  }

  /** What was sent and may not have arrived: everything since the consumption that the receiver last told. */
  unconfirmed(): Frame[] {
    return this.repeat(Math.min(this.#allowed - this.#credit, this.#nextSeq)) ?? [];
  }

  /** Lets go of all but the terminal frame. */
  forgetAllButEnd(): void {
    const last = this.#ring[(this.#nextSeq - 1) % RING_FRAMES];
    this.#ring = [];
    this.#thinned = true;
    if (last !== undefined) this.#ring[last.seq % RING_FRAMES] = last;
  }
}
