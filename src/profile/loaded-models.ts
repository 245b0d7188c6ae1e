/**
 * Remembers which models on demand are loaded, so that a restart has them again: what was warm before is warm after. Looks now and
 * then, since nobody's request depends on it; resident models need no memory of ours.
 */
import { toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Clock, Timer } from '../base/ports.js';
import type { Journal } from '../journal/journal.js';
import type { Pool } from '../pool/pool.js';
import type { Profile } from '../schema/profile.js';

/** Key of the journal's state. */
export const LOADED_KEY = 'loaded-models';
/** Between two looks. */
export const LOOK_MS = 5000;

interface Remembered {
  readonly profile: string;
  readonly models: readonly string[];
}

export interface LoadedModelsParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly pool: Pick<Pool, 'status' | 'warm'>;
  readonly journal: Pick<Journal, 'getState' | 'setStates'>;
  readonly current: () => Profile;
}

export class LoadedModels {
  private timer: Timer | undefined;
  private written = '';
  private isClosed = false;

  constructor(private readonly parts: LoadedModelsParts) {}

  /** Loads what was loaded when a former process ended, one after the other; begins to look. Failures are only logged. */
  async restore(): Promise<void> {
    const { log, pool, current } = this.parts;
    const { profile, models } = await this.remembered();
    const wanted = profile === current().name ? models : [];
    for (const model of wanted) {
      // The profile may have been edited, or switched, meanwhile.
      if (!current().models.some(({ name, available }) => name === model && available)) continue;
      // To insist would forget how often it failed, and how long it is to be left alone.
      if (pool.status().models.some(({ name, state }) => name === model && state === 'failed')) continue;
      try {
        await pool.warm(model);
      } catch (thrown) {
        log.warn('a model that was loaded before is not loaded again', {
          model,
          error: toLlamaestroError(thrown).message,
        });
      }
    }
    if (!this.isClosed) this.look();
  }

  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
  }

  /** Nothing, where nothing is written or nobody can read it: the next look writes it anew. */
  private async remembered(): Promise<Remembered> {
    const { journal, log } = this.parts;
    const nothing: Remembered = { profile: '', models: [] };
    try {
      const text = await journal.getState(LOADED_KEY);
      if (text === undefined) return nothing;
      const { profile, models } = JSON.parse(text) as Remembered;
      return { profile, models: Array.isArray(models) ? models : [] };
    } catch (thrown) {
      log.warn('nobody knows which models were loaded before', { error: toLlamaestroError(thrown).message });
      return nothing;
    }
  }

  private look(): void {
    this.timer = this.parts.clock.setTimer(LOOK_MS, () => {
      this.note();
      this.look();
    });
  }

  private note(): void {
    const { pool, journal, current } = this.parts;
    const { name: profile, models: specs } = current();
    const passing = new Set(specs.filter(({ residency }) => residency === 'on-demand').map(({ name }) => name));
    const models = pool.status().models.filter(({ name, state }) => state === 'ready' && passing.has(name));
    const text = JSON.stringify({ profile, models: models.map(({ name }) => name) } satisfies Remembered);
    if (text === this.written) return;
    this.written = text;
    // The next look says it again.
    journal.setStates({ [LOADED_KEY]: text }).catch(() => (this.written = ''));
  }
}
