/**
 * Turns the plain queue of one model into promises and signals: each request is granted, refused or gone, each lease ends by
 * release or by loss, always exactly once. Knows no processes; the instance says when to open, shut and lose.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError } from '../base/errors.js';
import type { Clock } from '../base/ports.js';
import { USUAL_PRIORITY, type Priority } from '../schema/run.js';
import * as queues from './lease-queue.js';
import type { Lease, LeaseClaim, LeaseRequest, Patience } from './pool.js';
import { shedOf } from './shedding.js';
import { estimateWaits } from './wait-estimate.js';
import { WaitRecord } from './wait-record.js';

export interface AttemptName {
  readonly rid: string;
  readonly att: number;
}

export interface DeskParts {
  readonly clock: Clock;
  readonly maxWaiting: number;
  /** Slots a host of this model will have, for guesses before there is one. */
  readonly plannedSlots: () => number;
  /** An attempt not listed by its host for so long ends its lease. */
  readonly unlistedMs: number;
  /** Leases or waiters changed. */
  readonly onChange: (desk: LeaseDesk) => void;
  readonly onBegin: () => void;
}

interface Waiter {
  id: string;
  readonly request: LeaseRequest;
  readonly signal: AbortSignal;
  readonly askedAtMs: number;
  readonly grant: (lease: Lease) => void;
  readonly refuse: (reason: unknown) => void;
  desk: LeaseDesk;
  toldPosition: number;
}

interface HeldLease {
  readonly rid: string;
  readonly sinceMs: number;
  readonly lost: AbortController;
  attempt?: { readonly att: number; listedAtMs: number };
}

/** The host that is being leased, and when its load began and ended. */
interface OpenHost {
  readonly hid: string;
  readonly loadStartedAtMs: number;
  readonly openedAtMs: number;
}

export class LeaseDesk {
  private queue: queues.LeaseQueue;
  private readonly waiters = new Map<string, Waiter>();
  private readonly held = new Map<string, HeldLease>();
  private host: OpenHost | undefined;
  private readonly record = new WaitRecord();
  private asked = 0;
  private grants = 0;
  private changedAtMs: number;

  constructor(
    private model: string,
    private readonly parts: DeskParts,
  ) {
    this.queue = queues.emptyQueue(parts.maxWaiting);
    this.changedAtMs = parts.clock.nowMs();
  }

  get leased(): number {
    return this.queue.leases.length;
  }
  get waiting(): number {
    return this.queue.waiting.length;
  }
  /** Sequences the host runs at a time; 0 while there is none. */
  get slots(): number {
    return this.queue.slots;
  }
  get waitingByClass(): Readonly<Record<Priority, number>> {
    const count = (priority: Priority): number => queues.ofClass(this.queue.waiting, priority).length;
    return { interactive: count('interactive'), normal: count('normal'), background: count('background') };
  }
  /** Leases granted so far. */
  get granted(): number {
    return this.grants;
  }
  /** Since when nobody leases or waits; undefined while somebody does. */
  get idleSinceMs(): number | undefined {
    return this.leased + this.waiting === 0 ? this.changedAtMs : undefined;
  }
  /** Attempts that run under a lease now. */
  get attempts(): readonly AttemptName[] {
    return [...this.held.values()].flatMap(({ rid, attempt }) => (attempt ? [{ rid, att: attempt.att }] : []));
  }

  rename(model: string): void {
    this.model = model;
  }

  /** Why one more would not be let in now; see `Pool.refusal`. */
  refusal(claim: LeaseClaim, patience: Patience): LlamaestroError | undefined {
    const asked = claimOf(claim);
    if (!queues.hasRoom(this.queue, asked.priority)) return this.full();
    if (this.waiting === 0 && (this.host === undefined || this.leased < this.queue.slots)) return undefined;
    const position = queues.placeOf(this.queue, asked);
    const loadMs = this.host === undefined ? this.record.restOfLoadMs(this.parts.clock.nowMs()) : 0;
    const shed = shedOf({ position, waitMs: this.estimates(position).at(-1), loadMs }, patience);
    if (shed === undefined) return undefined;
    const { estimatedMs, budgetMs } = shed;
    const message = `model '${this.model}' would keep this request waiting for about ${estimatedMs} ms, which is longer than its ${budgetMs} ms`;
    return new LlamaestroError('queue_full', message, { details: { ...shed } });
  }

  /** A lease; rejects with `queue_full`, the error of `reject`, or the signal's reason, and then nothing is held. */
  ask(request: LeaseRequest, signal: AbortSignal): Promise<Lease> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      const id = `${request.rid}#${++this.asked}`;
      const queue = queues.ask(this.queue, { id, ...claimOf(request) });
      if (queue === undefined) return reject(this.full());
      const onAbort = (): void => waiter.desk.abandon(waiter);
      const end = (): void => signal.removeEventListener('abort', onAbort);
      const waiter: Waiter = {
        id,
        request,
        signal,
        askedAtMs: this.parts.clock.nowMs(),
        grant: (lease) => (end(), resolve(lease)),
        refuse: (reason) => (end(), reject(reason as Error)),
        desk: this,
        toldPosition: 0,
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.queue = queue;
      this.waiters.set(id, waiter);
      this.serve();
      if (this.record.fraction !== undefined) this.tell(waiter, this.record.fraction);
    });
  }

  /** The host is ready: the first in the queue are granted. */
  open(hid: string, slots: number, loadStartedAtMs: number): void {
    const openedAtMs = this.parts.clock.nowMs();
    this.host = { hid, loadStartedAtMs, openedAtMs };
    this.record.loadEnded(openedAtMs - loadStartedAtMs);
    this.queue = queues.open(this.queue, slots);
    this.serve();
  }

  shut(): void {
    this.queue = queues.shut(this.queue);
  }

  /** The host stays after all: those who wait are granted again. */
  resume(): void {
    this.queue = queues.resume(this.queue);
    this.serve();
  }

  /** Tells everybody who waits how far the load is that began at `startedAtMs`. */
  progress(fraction: number, startedAtMs: number): void {
    this.record.loadGoesOn(fraction, startedAtMs);
    for (const waiter of [...this.waiters.values()]) this.tell(waiter, fraction);
  }

  /** The host is gone or given up: every lease is over. */
  lose(error: LlamaestroError): void {
    const held = [...this.held.values()];
    this.held.clear();
    this.queue = queues.lose(this.queue);
    this.host = undefined;
    this.record.hostLost();
    for (const { lost } of held) lost.abort(error);
    if (held.length > 0) this.changed();
  }

  /** Refuses everybody who waits. */
  reject(error: LlamaestroError): void {
    const waiters = [...this.waiters.values()];
    this.waiters.clear();
    this.queue = queues.dismiss(this.queue);
    for (const waiter of waiters) waiter.refuse(error);
    if (waiters.length > 0) this.changed();
  }

  /** Those who wait here go on waiting there, in order; who finds no room is refused. */
  moveWaitersTo(other: LeaseDesk): void {
    for (const waiter of [...this.waiters.values()]) {
      this.waiters.delete(waiter.id);
      this.queue = queues.leave(this.queue, waiter.id);
      other.adopt(waiter);
    }
    other.serve();
    this.changed();
  }

  /** The host's own list of what runs there. A lease whose attempt is missing for long is over: its slot must not leak. */
  listed(attempts: readonly AttemptName[]): void {
    const nowMs = this.parts.clock.nowMs();
    const names = new Set(attempts.map(({ rid, att }) => `${rid} ${att}`));
    for (const [id, { rid, lost, attempt }] of [...this.held]) {
      if (attempt === undefined) continue;
      if (names.has(`${rid} ${attempt.att}`)) attempt.listedAtMs = nowMs;
      if (nowMs - attempt.listedAtMs < this.parts.unlistedMs) continue;
      this.giveBack(id);
      // The host lives, and only its last frame for this attempt did not come: nothing died of the request.
      lost.abort(new LlamaestroError('stream_gap', 'the model host no longer runs this request'));
    }
  }

  private full(): LlamaestroError {
    const { maxWaiting } = this.parts;
    const message = `${this.waiting} requests already wait for model '${this.model}'`;
    const [firstMs] = this.estimates(1);
    // A place is free when the next in the queue gets its lease.
    const retry = firstMs === undefined ? {} : { retryAfterMs: firstMs };
    return new LlamaestroError('queue_full', message, { details: { limit: maxWaiting, ...retry } });
  }

  private adopt(waiter: Waiter): void {
    waiter.desk = this;
    waiter.id = `${waiter.request.rid}#${++this.asked}`;
    waiter.toldPosition = 0;
    const queue = queues.ask(this.queue, { id: waiter.id, ...claimOf(waiter.request) });
    if (queue === undefined) return waiter.refuse(this.full());
    this.queue = queue;
    this.waiters.set(waiter.id, waiter);
  }

  private abandon(waiter: Waiter): void {
    this.waiters.delete(waiter.id);
    this.queue = queues.leave(this.queue, waiter.id);
    waiter.refuse(waiter.signal.reason);
    this.changed();
    this.tellPositions();
  }

  /** Grants what can be granted; harmless at any time. A caller that has gone is passed over: only a grant that is taken counts. */
  serve(): void {
    for (let id = queues.nextGrant(this.queue); id !== undefined; id = queues.nextGrant(this.queue)) {
      const waiter = this.waiters.get(id);
      assert(waiter !== undefined && this.host !== undefined, 'a grant has a waiter and a host');
      if (waiter.signal.aborted) {
        // Its own abort listener has not run yet and will refuse it.
        this.queue = queues.leave(this.queue, id);
        continue;
      }
      this.queue = queues.take(this.queue, id);
      this.waiters.delete(id);
      this.grants++;
      waiter.grant(this.leaseFor(waiter, this.host));
    }
    this.changed();
    this.tellPositions();
  }

  private leaseFor(waiter: Waiter, { hid, loadStartedAtMs, openedAtMs }: OpenHost): Lease {
    const { id, request, askedAtMs } = waiter;
    const sinceMs = this.parts.clock.nowMs();
    const held: HeldLease = { rid: request.rid, sinceMs, lost: new AbortController() };
    this.held.set(id, held);
    const waitedMs = sinceMs - askedAtMs;
    const loadMs = Math.max(0, openedAtMs - Math.max(askedAtMs, loadStartedAtMs));
    return {
      model: this.model,
      hid,
      lost: held.lost.signal,
      queueMs: waitedMs - loadMs,
      loadMs,
      begin: (att) => {
        held.attempt = { att, listedAtMs: this.parts.clock.nowMs() };
        this.parts.onBegin();
      },
      release: () => {
        if (!this.held.has(id)) return;
        this.record.leaseEnded(this.parts.clock.nowMs() - sinceMs);
        this.giveBack(id);
      },
    };
  }

  private giveBack(id: string): void {
    this.held.delete(id);
    this.queue = queues.giveBack(this.queue, id);
    this.serve();
  }

  private changed(): void {
    this.changedAtMs = this.parts.clock.nowMs();
    this.parts.onChange(this);
  }

  private tell(waiter: Waiter, fraction: number): void {
    if (!this.waiters.has(waiter.id)) return;
    const estimatedMs = this.record.restOfLoadMs(this.parts.clock.nowMs());
    const estimate = estimatedMs === undefined ? {} : { estimatedMs: Math.round(estimatedMs) };
    waiter.request.onProgress?.({ state: 'loading', fraction, ...estimate });
  }

  private tellPositions(): void {
    if (this.waiting === 0) return;
    const waits = this.estimates(this.waiting);
    queues.order(this.queue).forEach((id, index) => {
      const waiter = this.waiters.get(id);
      const position = index + 1;
      if (waiter === undefined || waiter.toldPosition === position) return;
      waiter.toldPosition = position;
      const estimatedMs = waits[index];
      const estimate = estimatedMs === undefined ? {} : { estimatedMs };
      waiter.request.onProgress?.({ state: 'queued', position, ...estimate });
    });
  }

  /** Milliseconds to the grant of each of the first places in the order, as far as anybody can tell. */
  private estimates(places: number): readonly (number | undefined)[] {
    const nowMs = this.parts.clock.nowMs();
    if (this.host === undefined) {
      return estimateWaits(this.record.withoutHost(this.parts.plannedSlots(), nowMs), places);
    }
    const heldMs = [...this.held.values()].map(({ sinceMs }) => nowMs - sinceMs);
    return estimateWaits(this.record.withHost(this.queue.slots, heldMs), places);
  }
}

function claimOf({ priority = USUAL_PRIORITY, tenant = '' }: LeaseClaim): queues.Claim {
  return { priority, tenant };
}
