/**
 * Who hears llama.cpp's log in this environment. Knows levels and listeners, and of the addon only that it takes the
 * lowest level somebody wants.
 */
import { LlamaestroError } from '../base/errors.js';
import type { LogLine, NativeLog } from './addon-types.js';
import { callListener } from './fan-out.js';

/** The levels of the log, by the number that a `LogLine` has. */
export const LOG_LEVELS = { debug: 1, info: 2, warn: 3, error: 4 } as const;

export type LogLevel = keyof typeof LOG_LEVELS;

/**
 * Called from the event loop, in order. `dropped` counts the lines that this environment has lost so far: 256 wait for an
 * event loop that is busy, more are not kept.
 */
export type LogListener = (line: LogLine, dropped: number) => void;

export class LogListeners {
  private readonly entries = new Set<{ readonly listener: LogListener; readonly level: number }>();

  /** `setLevel` is told the lowest level that anybody listens to, 0 for nobody. */
  constructor(private readonly setLevel: (level: number) => void) {}

  /** Returns the function that removes the listener. Errors: `invalid_request`. */
  add(listener: LogListener, level: LogLevel): () => void {
    if (typeof listener !== 'function') throw new LlamaestroError('invalid_request', 'listener must be a function');
    if (!Object.hasOwn(LOG_LEVELS, level)) {
      const words = Object.keys(LOG_LEVELS).join(', ');
      throw new LlamaestroError('invalid_request', `level must be one of ${words}`, { param: 'level' });
    }
    const entry = { listener, level: LOG_LEVELS[level] };
    this.entries.add(entry);
    this.tell();
    return () => {
      if (this.entries.delete(entry)) this.tell();
    };
  }

  take({ lines, dropped }: NativeLog): void {
    for (const line of lines) {
      for (const { listener, level } of [...this.entries]) {
        if (line.level >= level) callListener(listener, line, dropped);
      }
    }
  }

  private tell(): void {
    const levels = [...this.entries].map(({ level }) => level);
    this.setLevel(levels.length === 0 ? 0 : Math.min(...levels));
  }
}
