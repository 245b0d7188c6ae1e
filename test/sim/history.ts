/**
 * What is known about a simulated run when it is over: the clients' own notes, the journal, what a watcher of leases saw.
 * Plain data, so that the invariants can be pure.
 */
import type { RunRecord } from '../../src/journal/journal.js';
import type { JournalFact } from '../../src/journal/memory-journal.js';
import type { RunEvent } from '../../src/schema/run.js';
import type { Kind } from './weather.js';

/** One request of one client, as the client saw it. */
export interface Visit {
  readonly name: string;
  /** Which life of the gateway it went to, from 1. */
  readonly gateway: number;
  readonly askedAtMs: number;
  readonly budgetMs: number;
  readonly ignoreEos: boolean;
  /**
   * pending: nothing came back (a fault unless the gateway died). refused: by `refusal`. read: to the end of the events.
   * left: the client went away. lost: the gateway died meanwhile.
   */
  outcome: 'pending' | 'refused' | 'read' | 'left' | 'lost';
  refusal?: string;
  runId?: string;
  cancelledAtMs?: number;
  /** When the run itself ended; a slow reader hears of it later. */
  endedAtMs?: number;
  readonly events: RunEvent[];
  /** The same events asked for again after the end, from some number on. */
  replay?: { readonly afterSeq: number; readonly events: readonly RunEvent[] };
}

/** One lease, as seen between orchestra and pool. */
export interface LeaseNote {
  readonly rid: string;
  readonly model: string;
  readonly hid: string;
  readonly gateway: number;
  readonly grantedAtMs: number;
  released: number;
  lost: boolean;
  settledAtMs?: number;
}

export interface History {
  readonly seed: number;
  /** In a calm one no fault was injected: then nothing may have been retried, repeated or refused for lack of a host. */
  readonly kind: Kind;
  /** Hosts that were frozen, or whose engine had a fault. */
  readonly troubledHosts: ReadonlySet<string>;
  /** How often a gateway started; all but the last life ended in a crash. */
  readonly lives: number;
  /** How long the machine slept, all in all. */
  readonly sleptMs: number;
  readonly visits: readonly Visit[];
  readonly leases: readonly LeaseNote[];
  readonly records: readonly RunRecord[];
  readonly facts: readonly JournalFact[];
  /** What a model says to everything, by model name. */
  readonly answers: Readonly<Record<string, string>>;
  /** Rules broken on the way, noticed by whoever watched. */
  readonly noticed: readonly string[];
  /** Lines of level error, and of level warn in a calm run. */
  readonly complaints: readonly string[];
  readonly atEnd: {
    /** Leases out and requests queued, summed over the models, when nobody wanted anything any more. */
    readonly leased: number;
    readonly queued: number;
    /** Timers of orchestra and receiver a second later. */
    readonly requestTimers: number;
    /** Host processes after the models' time to live. */
    readonly hosts: number;
    /** Whether a model that needs all bytes could still be loaded: undefined when it could, else what went wrong. */
    readonly biggest: string | undefined;
    /** Timers left when everything was closed. */
    readonly timers: number;
    /** Bytes that are booked or held when everything is closed. */
    readonly heldBytes: number;
    /** Unloads by command without an answer. */
    readonly unloading: number;
    /** Streams open at the receiver. */
    readonly streams: number;
    /** Counters of the frame receiver that stay 0 on a healthy bus, added up over the lives of the gateway. */
    readonly busTrouble: Readonly<Record<string, number>>;
  };
}
