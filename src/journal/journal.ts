/**
 * The journal port: the truth about requests. Accepted means journalled; each run reaches exactly one terminal state by
 * compare-and-set; attempts are fenced by number. Two implementations pass one contract suite: SQLite and memory.
 * Every promise resolves when the fact is durable; failures are `journal_unavailable`. Holds no prompt text.
 */
import type { WireError } from '../base/errors.js';
import type { Usage } from '../schema/bus-messages.js';
import type { RouteDecision } from '../schema/run.js';

export type TerminalStatus = 'completed' | 'failed' | 'cancelled' | 'interrupted';

export interface AcceptRecord {
  readonly id: string;
  readonly gid: string;
  readonly profile: string;
  /** As the client asked: 'auto' or a name. */
  readonly model: string;
  readonly door: string;
  /** Hex SHA-256 of the prompt. */
  readonly promptHash: string;
  readonly acceptedAtMs: number;
}

export interface TerminalRecord {
  readonly status: TerminalStatus;
  readonly atMs: number;
  readonly usage?: Usage;
  readonly error?: WireError;
}

export interface RunRecord extends AcceptRecord {
  readonly route?: RouteDecision;
  /** Highest attempt dispatched; 0 before the first. */
  readonly attempt: number;
  readonly hid?: string;
  /** A token reached the client's side of the gateway. */
  readonly delivered: boolean;
  readonly terminal?: TerminalRecord;
}

/** Prediction and measurement side by side: one life of one model host on one device. */
export interface MemoryNote {
  readonly hid: string;
  readonly device: string;
  /** Name in the profile, for people; `config` tells models apart. */
  readonly model: string;
  /** Hash of what decides bytes: file and load options. */
  readonly config: string;
  /** Build of the engine that predicted and loaded. */
  readonly build: string;
  readonly atMs: number;
  /** What the simulation said, uncorrected. */
  readonly plannedBytes: number;
  /** What the buffers hold. */
  readonly allocatedBytes: number;
  /** What the system showed right after the load, and the most it showed later; absent where it shows nothing. */
  readonly measuredBytes?: number;
  readonly peakBytes?: number;
}

/** What opening found. */
export interface OpenReport {
  /** Path of the damaged database that was set aside, if one was. */
  readonly setAside?: string;
  /** 0 for a new database. */
  readonly migratedFrom: number;
  readonly schemaVersion: number;
  /** True when the last process did not close it; it was checked then. */
  readonly uncleanStop?: boolean;
}

/** Memory notes kept of each configuration, device and build. */
export const KEPT_NOTES = 8;

export interface Journal {
  /** Migrates, checks, sets a damaged file aside. Must be called once, before anything else. */
  open(): Promise<OpenReport>;
  /** A repeated id is `internal`. */
  accept(record: AcceptRecord): Promise<void>;
  /** Changes nothing when the run is unknown or terminal. */
  route(id: string, route: RouteDecision): Promise<void>;
  /** Fence: resolves to false, changing nothing, when `attempt` is not above the last one or the run is terminal. */
  dispatch(id: string, attempt: number, hid: string): Promise<boolean>;
  /** Changes nothing when the run is unknown or terminal. */
  delivered(id: string): Promise<void>;
  /** Compare-and-set from non-terminal; true for the single winner. An error too large to keep is shortened. */
  finish(id: string, terminal: TerminalRecord): Promise<boolean>;
  get(id: string): Promise<RunRecord | undefined>;
  /** Runs without a terminal record, oldest first. */
  unfinished(): Promise<readonly RunRecord[]>;
  /** At most `limit` runs in the order of acceptance, after the run `afterId` (unknown: nothing) or from the first. */
  scan(limit: number, afterId?: string): Promise<readonly RunRecord[]>;
  /** Small values that survive a restart (active profile, epoch); undefined when never set. */
  getState(key: string): Promise<string | undefined>;
  setState(key: string, value: string): Promise<void>;
  /** Several at once: all of them or none, whatever ends the process. At least one. */
  setStates(values: Readonly<Record<string, string>>): Promise<void>;
  /** Keeps a note in place of an earlier one of the same host and device; of one configuration, device and build the latest `KEPT_NOTES` stay. */
  noteMemory(note: MemoryNote): Promise<void>;
  /** At most `limit` notes, the one last written for the first time first. */
  memoryNotes(limit: number): Promise<readonly MemoryNote[]>;
  /** Deletes terminal runs older than `beforeMs` and returns how many; older memory notes go too. */
  prune(beforeMs: number): Promise<number>;
  /** Commits what is queued, then closes. Idempotent. */
  close(): Promise<void>;
}
