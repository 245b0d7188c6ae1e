/**
 * The receiving side of one attempt: puts frames back in order, each exactly once. Pure: no bus, no clock; what to do
 * about a gap is the receiver's business.
 */
import type { Frame } from '../schema/bus-messages.js';
import { RING_FRAMES } from './frame-window.js';

/** duplicate: dropped. early: kept until the gap before it is filled, or dropped when too far ahead. next: can be taken. */
export type Placement = 'duplicate' | 'early' | 'next';

export class FrameOrder {
  #nextSeq = 0;
  readonly #waiting = new Map<number, Frame>();

  /** The first number not taken yet. */
  get nextSeq(): number {
    return this.#nextSeq;
  }

  /** Frames wait behind one that is missing. */
  get hasGap(): boolean {
    return this.#waiting.size > 0 && !this.#waiting.has(this.#nextSeq);
  }

  /** Files one frame. At most `RING_FRAMES` wait: the sender can repeat no more than that anyway. */
  place(frame: Frame): Placement {
    const { seq } = frame;
    if (!Number.isSafeInteger(seq) || seq < this.#nextSeq || this.#waiting.has(seq)) return 'duplicate';
    if (seq < this.#nextSeq + RING_FRAMES) this.#waiting.set(seq, frame);
    return seq === this.#nextSeq ? 'next' : 'early';
  }

  /** The next frame in order, once it is there. */
  take(): Frame | undefined {
    const frame = this.#waiting.get(this.#nextSeq);
    if (frame === undefined) return undefined;
    this.#waiting.delete(this.#nextSeq++);
    return frame;
  }
}
