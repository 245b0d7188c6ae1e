/**
 * Who runs and who waits on one model, as plain data: slots, leases, a bounded queue in which classes have weighted turns,
 * clients of a class equal ones, and requests of a client go in order of coming. Knows neither promises nor hosts: a grant
 * counts only when the driver says it was taken, and a waiter that left before is simply skipped.
 */
import { assert } from '../base/assert.js';
import { PRIORITIES, type Priority } from '../schema/run.js';
import { dueOf, joined, NO_TURNS, served, tidied, type Turns } from './turns.js';

/** What a turn costs: while all wait, interactive ones get 16 turns and normal ones 4 for each one of the background. */
export const TURN_COSTS: Readonly<Record<Priority, number>> = { interactive: 1, normal: 4, background: 16 };

/** Who asks, as far as the order goes. */
export interface Claim {
  readonly priority: Priority;
  /** Whose request it is; '' is nobody in particular. Each gets equal turns within a class. */
  readonly tenant: string;
}

export interface Waiting extends Claim {
  readonly id: string;
}

export interface LeaseQueue {
  /** Longest queue; `ask` refuses beyond it. */
  readonly maxWaiting: number;
  /** Sequences the host runs at a time; 0 while there is no host. */
  readonly slots: number;
  /** False while the host is missing or leaving: leases may still be out, none is added. */
  readonly granting: boolean;
  readonly leases: readonly string[];
  /** In order of coming; `order` says who is next. */
  readonly waiting: readonly Waiting[];
  /** Turns of the classes, and of the tenants within each. */
  readonly classes: Turns;
  readonly tenants: Readonly<Record<Priority, Turns>>;
}

export function emptyQueue(maxWaiting: number): LeaseQueue {
  const tenants = { interactive: NO_TURNS, normal: NO_TURNS, background: NO_TURNS };
  return { maxWaiting, slots: 0, granting: false, leases: [], waiting: [], classes: NO_TURNS, tenants };
}

/** True when one more of that class may wait. Background work fills half the queue at most, so that others find room. */
export function hasRoom({ maxWaiting, waiting }: LeaseQueue, priority: Priority): boolean {
  if (waiting.length >= maxWaiting) return false;
  return priority !== 'background' || ofClass(waiting, priority).length < Math.ceil(maxWaiting / 2);
}

/** A new id begins to wait; undefined when the queue is full. */
export function ask(queue: LeaseQueue, waiter: Waiting): LeaseQueue | undefined {
  const { id, priority } = waiter;
  assert(!queue.waiting.some((other) => other.id === id) && !queue.leases.includes(id), `${id} asks twice`);
  return hasRoom(queue, priority) ? arrived(queue, waiter) : undefined;
}

/** Ids in the order in which they are granted if nobody else comes or goes. */
export function order({ waiting, classes, tenants }: LeaseQueue): readonly string[] {
  const due = PRIORITIES.flatMap((priority, rank) =>
    inClass(ofClass(waiting, priority), tenants[priority]).map((id, ahead) => ({
      ...{ id, rank, at: dueOf(classes, priority, ahead, TURN_COSTS[priority]) },
    })),
  );
  return due.sort((one, other) => one.at - other.at || one.rank - other.rank).map(({ id }) => id);
}

/** Which place in the order one more of that kind would have, counted from 1. */
export function placeOf(queue: LeaseQueue, claim: Claim): number {
  const id = 'one more';
  return order(arrived(queue, { ...claim, id })).indexOf(id) + 1;
}

/** Who would get the free slot; undefined when nobody waits or no slot is free. */
export function nextGrant(queue: LeaseQueue): string | undefined {
  return queue.granting && queue.leases.length < queue.slots ? order(queue)[0] : undefined;
}

/** The grant was taken: the waiter becomes a lease. Only what `nextGrant` named may be taken. */
export function take(queue: LeaseQueue, id: string): LeaseQueue {
  const waiter = queue.waiting.find((other) => other.id === id);
  assert(waiter !== undefined && nextGrant(queue) === id, `${id} takes a lease that is not offered`);
  const { priority, tenant } = waiter;
  const rivals = ofClass(queue.waiting, priority).map((other) => [other.tenant, 1] as const);
  const costs = queue.waiting.map((other) => [other.priority, TURN_COSTS[other.priority]] as const);
  const classes = served(queue.classes, priority, new Map(costs));
  const own = served(queue.tenants[priority], tenant, new Map(rivals));
  const tenants = { ...queue.tenants, [priority]: own };
  return without({ ...queue, classes, tenants, leases: [...queue.leases, id] }, [id]);
}

/** A waiter goes; nothing when it does not wait. */
export function leave(queue: LeaseQueue, id: string): LeaseQueue {
  return without(queue, [id]);
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
  return without(
    queue,
    queue.waiting.map(({ id }) => id),
  );
}

/** Those of one class, in order of coming. */
export function ofClass(waiting: readonly Waiting[], priority: Priority): readonly Waiting[] {
  return waiting.filter((waiter) => waiter.priority === priority);
}

/** The order within a class: tenants in turn, each in order of coming. */
function inClass(waiting: readonly Waiting[], turns: Turns): readonly string[] {
  const seen = new Map<string, number>();
  const due = waiting.map(({ id, tenant }) => {
    const ahead = seen.get(tenant) ?? 0;
    seen.set(tenant, ahead + 1);
    return { id, at: dueOf(turns, tenant, ahead, 1) };
  });
  // Sorting is stable: equal ones stay in order of coming.
  return due.sort((one, other) => one.at - other.at).map(({ id }) => id);
}

function arrived(queue: LeaseQueue, waiter: Waiting): LeaseQueue {
  const { priority, tenant } = waiter;
  const peers = ofClass(queue.waiting, priority);
  const classes = peers.length === 0 ? joined(queue.classes, priority) : queue.classes;
  const isNew = !peers.some((peer) => peer.tenant === tenant);
  const own = isNew ? joined(queue.tenants[priority], tenant) : queue.tenants[priority];
  return {
    ...{ ...queue, classes, tenants: { ...queue.tenants, [priority]: own } },
    waiting: [...queue.waiting, waiter],
  };
}

function without(queue: LeaseQueue, ids: readonly string[]): LeaseQueue {
  const waiting = queue.waiting.filter(({ id }) => !ids.includes(id));
  const tidy = (priority: Priority): Turns =>
    tidied(queue.tenants[priority], new Set(ofClass(waiting, priority).map(({ tenant }) => tenant)));
  return {
    ...{ ...queue, waiting },
    classes: tidied(queue.classes, new Set(waiting.map(({ priority }) => priority))),
    tenants: { interactive: tidy('interactive'), normal: tidy('normal'), background: tidy('background') },
  };
}
