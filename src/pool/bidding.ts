/**
 * What is wanted of one model beyond what its queue asks for: that it goes for good, that it stays away for now, or that it comes
 * although nobody waits. Turns each wish into an event for the model's machine and answers those who called; knows no process.
 */
import { LlamaestroError } from '../base/errors.js';
import type { InstanceEvent, InstanceState } from './instance.js';
import type { Departure } from './occupancy.js';

/** The model whose wishes these are. */
export interface Wished {
  /** Nothing of it is known but this. */
  readonly state: () => InstanceState;
  readonly desk: () => { readonly waiting: number; shut(): void; resume(): void; reject(error: LlamaestroError): void };
  /** Resolves when the process that is there now is gone; undefined when there is none. */
  readonly departure: () => Promise<Departure> | undefined;
  readonly tell: (event: InstanceEvent) => void;
}

interface Caller {
  readonly resolve: () => void;
  readonly reject: (error: LlamaestroError) => void;
}

export class Bidding {
  private retired = false;
  /** Unloaded by command: not loaded again until somebody asks for it, resident or not. */
  private isDismissed = false;
  private held = false;
  private callers: readonly Caller[] = [];

  constructor(private readonly model: Wished) {}

  /** No longer of a profile. */
  get isRetired(): boolean {
    return this.retired;
  }
  /** It leaves soon. */
  get isHeld(): boolean {
    return this.held;
  }
  /** Those who called and were not answered yet. */
  get calls(): number {
    return this.callers.length;
  }

  /** Whether a process is wanted; `isResident`: also when nobody waits. */
  wants(isResident: boolean, waiting: number): boolean {
    if (this.retired || this.held) return false;
    return (isResident && !this.isDismissed) || waiting > 0;
  }

  /** Somebody asked for a lease. */
  asked(): void {
    this.isDismissed = false;
  }

  /** Loads it although nobody waits; resolves when it is ready, rejects as those who wait are refused. */
  async call(): Promise<void> {
    const { name } = this.model.state();
    if (name === 'ready') return;
    // A failure that is still remembered is no answer to somebody who insists.
    if (name === 'failed') this.model.tell({ type: 'unload', cause: new LlamaestroError('draining', 'called anew') });
    this.isDismissed = false;
    const answer = new Promise<void>((resolve, reject) => (this.callers = [...this.callers, { resolve, reject }]));
    this.model.tell({ type: 'demand' });
    return answer;
  }

  /** It is ready. */
  arrived(): void {
    const { callers } = this;
    this.callers = [];
    for (const { resolve } of callers) resolve();
  }

  /** Everybody who waits or called is refused. */
  refuse(error: LlamaestroError): void {
    const { callers } = this;
    this.callers = [];
    for (const { reject } of callers) reject(error);
    this.model.desk().reject(error);
  }

  /** It leaves soon: starts no process any more, whoever waits, until `free`. One that is there serves on. */
  hold(): void {
    this.held = true;
    this.model.tell({ type: 'demand' });
  }

  /** And what is there grants nothing more. */
  pause(): void {
    this.hold();
    if (this.model.state().name === 'ready') this.model.desk().shut();
  }

  /** It stays after all. */
  free(): void {
    this.held = false;
    if (this.model.state().name === 'ready') this.model.desk().resume();
    this.model.tell({ type: 'demand' });
  }

  /** No longer of a profile: finishes its leases, then ends for good. A lease that does not end in time is lost with `cause`. */
  retire(cause: LlamaestroError, drainMs?: number): void {
    this.retired = true;
    const { callers } = this;
    this.callers = [];
    for (const { reject } of callers) reject(cause);
    this.unload(cause, drainMs);
  }

  /** Unloads the host, if there is one, after what runs or `drainMs`; what does not end in time is lost with `cause`. */
  dismiss(cause: LlamaestroError, drainMs: number | undefined): Promise<Departure> | undefined {
    this.isDismissed = this.model.desk().waiting === 0;
    const departure = this.model.departure();
    // A load that has not begun and is waited for begins all the same.
    if (departure !== undefined || this.isDismissed) this.unload(cause, drainMs);
    return departure;
  }

  /** Another process comes in the place of this one: what runs ends first, however long it takes. */
  recycle(cause: LlamaestroError): void {
    this.unload(cause, Infinity);
  }

  /** Ends the host now; leases are lost and waiters refused, both with `cause`. */
  shutDown(cause: LlamaestroError): void {
    this.retired = true;
    this.refuse(cause);
    this.model.tell({ type: 'shutdown', cause });
  }

  private unload(cause: LlamaestroError, drainMs: number | undefined): void {
    this.model.tell({ type: 'unload', cause, ...(drainMs === undefined ? {} : { drainMs }) });
  }
}
