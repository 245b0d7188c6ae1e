/**
 * Remembers, beyond the end of the gateway, which models fail again and again: a restart must not be a way around the pause
 * before the next load. Knows no instances; without a journal that works it goes on with what it has.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock } from '../base/ports.js';
import type { Journal } from '../journal/journal.js';
import { CrashNotesCodec, type CrashNote } from '../schema/crash-notes.js';
import { decode } from '../schema/decode.js';
import type { Failure } from './failure.js';
import { DEFAULT_LIMITS, type PoolLimits } from './limits.js';

/** Where the notes are kept. */
export type CrashKeeper = Pick<Journal, 'getState' | 'setState'>;

export interface CrashBookParts {
  readonly keeper: CrashKeeper;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits?: Pick<PoolLimits, 'forgetCrashMs' | 'backoffLastMs'>;
}

const STATE_KEY = 'crashes';
/** Configurations that are remembered; the ones that failed last stay. */
export const MAX_CRASH_NOTES = 64;
/** The pause is spread by a fifth beyond the longest. */
const MOST_SPREAD = 1.2;

export class CrashBook {
  /** The one that failed last comes last. */
  private notes: readonly CrashNote[] = [];

  constructor(private readonly parts: CrashBookParts) {}

  /** Reads what former lives left; before anything else, never fails. */
  async open(): Promise<void> {
    const { keeper, clock, limits = DEFAULT_LIMITS, log } = this.parts;
    try {
      const text = await keeper.getState(STATE_KEY);
      if (text === undefined) return;
      const notes = decode(CrashNotesCodec, JSON.parse(text), 'internal');
      this.notes = notes.filter(({ atMs }) => clock.wallMs() - atMs < limits.forgetCrashMs).slice(-MAX_CRASH_NOTES);
    } catch (error) {
      log.warn('the failures of models before this start could not be read', { error });
    }
  }

  /** The failure that a configuration ended with in a former life or this one, if it has not stood since. */
  of(config: string): Failure | undefined {
    const note = this.notes.find((other) => other.config === config);
    if (note === undefined) return undefined;
    const { clock, limits = DEFAULT_LIMITS } = this.parts;
    // A wall clock that was set back must not make the pause longer than it can be.
    const leftMs = Math.min(note.retryAtMs - clock.wallMs(), limits.backoffLastMs * MOST_SPREAD);
    const { crash, failures } = note;
    const error = LlamaestroError.fromWire(note.error);
    return { error, crash, deterministic: false, failures, retryAtMs: clock.nowMs() + Math.max(0, leftMs) };
  }

  /** One more failure; what would only repeat itself is not kept, for a restart may well follow its repair. */
  note(config: string, model: string, { error, crash, deterministic, failures, retryAtMs }: Failure): void {
    if (deterministic) return;
    const { clock } = this.parts;
    const atMs = clock.wallMs();
    const retryAtWallMs = atMs + Math.round(retryAtMs - clock.nowMs());
    const note = { config, model, failures, crash, error: error.toWire(), atMs, retryAtMs: retryAtWallMs };
    this.keep([...this.others(config), note]);
  }

  /** It has stood for long enough, or somebody gave it another chance. */
  forget(config: string): void {
    if (this.notes.some((note) => note.config === config)) this.keep(this.others(config));
  }

  private others(config: string): readonly CrashNote[] {
    return this.notes.filter((note) => note.config !== config);
  }

  private keep(notes: readonly CrashNote[]): void {
    this.notes = notes.slice(-MAX_CRASH_NOTES);
    this.parts.keeper.setState(STATE_KEY, JSON.stringify(this.notes)).catch((error: unknown) => {
      this.parts.log.warn('the failures of models could not be journalled', { error });
    });
  }
}
