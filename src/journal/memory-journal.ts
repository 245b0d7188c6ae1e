/**
 * The journal in memory, for tests and the simulator. It keeps the promise of the real one (resolved means durable) and can
 * break like it: refuse writes, or crash with writes still queued. `clone` is the disk as the next process finds it.
 * Knows no time but the clock it is given.
 */
import { assert } from '../base/assert.js';
import { LlamaestroError } from '../base/errors.js';
import type { Clock } from '../base/ports.js';
import type { RouteDecision } from '../schema/run.js';
import { boundedError } from './bounded-error.js';
import { KEPT_NOTES } from './journal.js';
import type {
  AcceptRecord,
  Journal,
  MemoryNote,
  OpenReport,
  RunRecord,
  TerminalRecord,
  TerminalStatus,
} from './journal.js';
import { SCHEMA_VERSION } from './migrations.js';

/** One change that took effect, in the order in which it did. */
export type JournalFact =
  | { readonly kind: 'accept'; readonly id: string }
  | { readonly kind: 'route'; readonly id: string }
  | { readonly kind: 'dispatch'; readonly id: string; readonly attempt: number }
  | { readonly kind: 'delivered'; readonly id: string }
  | { readonly kind: 'finish'; readonly id: string; readonly status: TerminalStatus };

export interface MemoryJournalOptions {
  /** With both given, a write is durable and answered this much later; else in the same turn. */
  readonly clock?: Clock;
  readonly commitMs?: number;
  /** Keeps every change for `facts`; grows without bound, so for tests only. */
  readonly keepFacts?: boolean;
}

/** What survives a crash. */
interface Disk {
  readonly runs: Map<string, RunRecord>;
  readonly states: Map<string, string>;
  /** By host and device, in the order of their first writing. */
  readonly notes: Map<string, MemoryNote>;
  readonly facts: JournalFact[];
}

function unavailable(message: string): LlamaestroError {
  return new LlamaestroError('journal_unavailable', message);
}

/** Whole numbers, as a database keeps them. */
function wholeNote(note: MemoryNote): MemoryNote {
  const { measuredBytes, peakBytes } = note;
  return {
    ...note,
    atMs: Math.round(note.atMs),
    plannedBytes: Math.round(note.plannedBytes),
    allocatedBytes: Math.round(note.allocatedBytes),
    ...(measuredBytes === undefined ? {} : { measuredBytes: Math.round(measuredBytes) }),
    ...(peakBytes === undefined ? {} : { peakBytes: Math.round(peakBytes) }),
  };
}

export class MemoryJournal implements Journal {
  readonly #options: MemoryJournalOptions;
  readonly #disk: Disk;
  /** In order. Each job changes the disk and returns the function that answers its caller. */
  readonly #queued: (() => () => void)[] = [];
  #state: 'new' | 'open' | 'closed' | 'crashed' = 'new';
  #unclean = false;
  #committing = false;
  #failing = false;

  constructor(options: MemoryJournalOptions = {}, disk?: Disk) {
    this.#options = options;
    this.#disk = disk ?? { runs: new Map(), states: new Map(), notes: new Map(), facts: [] };
  }

  /** While true every write is refused with `journal_unavailable`, as by a full disk. */
  set failing(failing: boolean) {
    this.#failing = failing;
  }

  /** Every change in order, over all lives of this disk; empty unless `keepFacts`. */
  get facts(): readonly JournalFact[] {
    return this.#disk.facts;
  }

  /** The process dies: writes still queued are never answered. `keepQueued`: they had reached the disk all the same. */
  crash(keepQueued = false): void {
    this.#state = 'crashed';
    for (const job of this.#queued.splice(0)) if (keepQueued) job();
  }

  /** A new journal, not yet open, on a copy of what is durable now. */
  clone(): MemoryJournal {
    const { runs, states, notes, facts } = this.#disk;
    const copy = { runs: new Map(runs), states: new Map(states), notes: new Map(notes), facts: [...facts] };
    const next = new MemoryJournal(this.#options, copy);
    next.#unclean = this.#state !== 'closed' && this.#state !== 'new';
    return next;
  }

  open(): Promise<OpenReport> {
    assert(this.#state === 'new', 'a journal is opened once');
    this.#state = 'open';
    return Promise.resolve({
      migratedFrom: SCHEMA_VERSION,
      schemaVersion: SCHEMA_VERSION,
      uncleanStop: this.#unclean,
    });
  }

  accept(record: AcceptRecord): Promise<void> {
    return this.#write(() => {
      if (this.#disk.runs.has(record.id)) {
        throw new LlamaestroError('internal', `the run ${record.id} was accepted before`);
      }
      const { id, gid, profile, model, door, promptHash, acceptedAtMs } = record;
      const run = { id, gid, profile, model, door, promptHash, acceptedAtMs: Math.round(acceptedAtMs) };
      this.#disk.runs.set(id, { ...run, attempt: 0, delivered: false });
      this.#note({ kind: 'accept', id });
    });
  }

  route(id: string, route: RouteDecision): Promise<void> {
    return this.#write(() => {
      if (this.#update(id, { route })) this.#note({ kind: 'route', id });
    });
  }

  dispatch(id: string, attempt: number, hid: string): Promise<boolean> {
    return this.#write(() => {
      const run = this.#disk.runs.get(id);
      if (run === undefined || attempt <= run.attempt || !this.#update(id, { attempt, hid })) return false;
      this.#note({ kind: 'dispatch', id, attempt });
      return true;
    });
  }

  delivered(id: string): Promise<void> {
    return this.#write(() => {
      if (this.#update(id, { delivered: true })) this.#note({ kind: 'delivered', id });
    });
  }

  finish(id: string, terminal: TerminalRecord): Promise<boolean> {
    const { status, atMs, usage, error } = terminal;
    const stored: TerminalRecord = {
      status,
      atMs: Math.round(atMs),
      ...(usage === undefined ? {} : { usage }),
      ...(error === undefined ? {} : { error: boundedError(error) }),
    };
    return this.#write(() => {
      if (!this.#update(id, { terminal: stored })) return false;
      this.#note({ kind: 'finish', id, status: terminal.status });
      return true;
    });
  }

  get(id: string): Promise<RunRecord | undefined> {
    return this.#read(() => this.#disk.runs.get(id));
  }

  unfinished(): Promise<readonly RunRecord[]> {
    return this.#read(() => [...this.#disk.runs.values()].filter((run) => run.terminal === undefined));
  }

  scan(limit: number, afterId?: string): Promise<readonly RunRecord[]> {
    return this.#read(() => {
      const runs = [...this.#disk.runs.values()];
      const before = runs.findIndex((run) => run.id === afterId);
      if (afterId !== undefined && before === -1) return [];
      return runs.slice(before + 1, before + 1 + limit);
    });
  }

  getState(key: string): Promise<string | undefined> {
    return this.#read(() => this.#disk.states.get(key));
  }

  setState(key: string, value: string): Promise<void> {
    return this.setStates({ [key]: value });
  }

  setStates(values: Readonly<Record<string, string>>): Promise<void> {
    return this.#write(() => {
      for (const [key, value] of Object.entries(values)) this.#disk.states.set(key, value);
    });
  }

  noteMemory(note: MemoryNote): Promise<void> {
    return this.#write(() => {
      const { notes } = this.#disk;
      notes.set(`${note.hid} ${note.device}`, wholeNote(note));
      const same = ({ config, device, build }: MemoryNote): boolean =>
        config === note.config && device === note.device && build === note.build;
      const keys = [...notes].filter(([, other]) => same(other)).map(([key]) => key);
      for (const key of keys.slice(0, -KEPT_NOTES)) notes.delete(key);
    });
  }

  memoryNotes(limit: number): Promise<readonly MemoryNote[]> {
    return this.#read(() => [...this.#disk.notes.values()].reverse().slice(0, limit));
  }

  prune(beforeMs: number): Promise<number> {
    return this.#write(() => {
      for (const [key, { atMs }] of [...this.#disk.notes]) if (atMs < beforeMs) this.#disk.notes.delete(key);
      const old = [...this.#disk.runs.values()].filter((run) => run.terminal && run.terminal.atMs < beforeMs);
      for (const run of old) this.#disk.runs.delete(run.id);
      return old.length;
    });
  }

  close(): Promise<void> {
    if (this.#state !== 'crashed') {
      this.#commit();
      this.#state = 'closed';
    }
    return Promise.resolve();
  }

  /** False when the run is unknown or terminal; then nothing changed. */
  #update(id: string, change: Partial<RunRecord>): boolean {
    const run = this.#disk.runs.get(id);
    if (run === undefined || run.terminal !== undefined) return false;
    this.#disk.runs.set(id, { ...run, ...change });
    return true;
  }

  #note(fact: JournalFact): void {
    if (this.#options.keepFacts === true) this.#disk.facts.push(fact);
  }

  /** Reads see every write queued before them, as with the real queue. */
  #read<T>(look: () => T): Promise<T> {
    return this.#enqueue(look);
  }

  #write<T>(change: () => T): Promise<T> {
    if (this.#failing) return Promise.reject(unavailable('the disk refused'));
    return this.#enqueue(change);
  }

  #enqueue<T>(job: () => T): Promise<T> {
    if (this.#state === 'crashed') return new Promise(() => undefined);
    if (this.#state !== 'open') return Promise.reject(unavailable('the journal is not open'));
    return new Promise((resolve, reject) => {
      this.#queued.push(() => {
        try {
          const answer = job();
          return () => resolve(answer);
        } catch (error) {
          return () => reject(error as Error);
        }
      });
      this.#schedule();
    });
  }

  #schedule(): void {
    const { clock, commitMs } = this.#options;
    if (clock === undefined || commitMs === undefined) return this.#commit();
    if (this.#committing) return;
    this.#committing = true;
    clock.setTimer(commitMs, () => {
      this.#committing = false;
      if (this.#state === 'open') this.#commit();
    });
  }

  #commit(): void {
    for (const job of this.#queued.splice(0)) job()();
  }
}
