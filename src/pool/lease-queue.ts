/**
 * Who runs and who waits on one model, as plain data: slots, leases, a bounded first-come queue. Knows neither promises nor
 * hosts: a grant counts only when the driver says it was taken, and a waiter that left before is simply skipped.
 */
import { assert } from '../base/assert.js';

export interface LeaseQueue {
  /** Longest queue; `ask` refuses beyond it. */
  readonly maxWaiting: number;
  /** Sequences the host runs at a time; 0 while there is no host. */
  readonly slots: number;
  /** False while the host is missing or leaving: leases may still be out, none is added. */
  readonly granting: boolean;
  readonly leases: readonly string[];
  /** First is next. */
  readonly waiting: readonly string[];
}

export function emptyQueue(maxWaiting: number): LeaseQueue {
  return { maxWaiting, slots: 0, granting: false, leases: [], waiting: [] };
}

export function hasRoom(queue: LeaseQueue): boolean {
  return queue.waiting.length < queue.maxWaiting;
}

/** Appends a new id, or undefined when the queue is full. */
export function ask(queue: LeaseQueue, id: string): LeaseQueue | undefined {
  assert(!queue.waiting.includes(id) && !queue.leases.includes(id), `${id} asks twice`);
  return hasRoom(queue) ? { ...queue, waiting: [...queue.waiting, id] } : undefined;
}

/** Who would get the free slot; undefined when nobody waits or no slot is free. */
export function nextGrant(queue: LeaseQueue): string | undefined {
  return queue.granting && queue.leases.length < queue.slots ? queue.waiting[0] : undefined;
}

/** The grant was taken: the waiter becomes a lease. Only what `nextGrant` named may be taken. */
export function take(queue: LeaseQueue, id: string): LeaseQueue {
  assert(nextGrant(queue) === id, `${id} takes a lease that is not offered`);
  return { ...queue, waiting: queue.waiting.slice(1), leases: [...queue.leases, id] };
}

/** A waiter goes; nothing when it does not wait. */
export function leave(queue: LeaseQueue, id: string): LeaseQueue {
  return { ...queue, waiting: queue.waiting.filter((waiter) => waiter !== id) };
}

/** A lease comes back; nothing when it is not out. */
export function giveBack(queue: LeaseQueue, id: string): LeaseQueue {
  return { ...queue, leases: queue.leases.filter((lease) => lease !== id) };
}

/** A host with `slots` slots is ready; only after the former one's leases are over. */
export function open(queue: LeaseQueue, slots: number): LeaseQueue {
  assert(slots > 0 && queue.leases.length === 0, 'a queue opens on an empty host');
  return { ...queue, slots, granting: true };
}

/** The host is leaving: leases run on, none is added. */
export function shut(queue: LeaseQueue): LeaseQueue {
  return { ...queue, granting: false };
}

/** The host stays after all. */
export function resume(queue: LeaseQueue): LeaseQueue {
  assert(queue.slots > 0, 'only a queue that was shut is resumed');
  return { ...queue, granting: true };
}

/** The host is gone: its leases are over, those who wait stay in order. */
export function lose(queue: LeaseQueue): LeaseQueue {
  return { ...queue, slots: 0, granting: false, leases: [] };
}

/** Nobody waits any more. */
export function dismiss(queue: LeaseQueue): LeaseQueue {
  return { ...queue, waiting: [] };
}
