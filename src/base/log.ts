/**
 * The log port and its one implementation over pino: a line is a message plus fields, as JSON. Nobody above passes
 * prompt or output text here; whoever logs names ids, counts and codes. Knows no file names and no rotation.
 */
import pino from 'pino';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Ids, counts, codes; never prompt or output text. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with `fields` on every line. */
  child(fields: LogFields): Logger;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** Fields of every line. */
  readonly fields?: LogFields;
  /** File descriptor the lines go to; default 1. Written synchronously, so that last words are not lost. */
  readonly fd?: number;
}

/** A log to a file descriptor, one JSON object per line. */
export function createLogger(options: LogOptions): Logger {
  const destination = pino.destination({ fd: options.fd ?? 1, sync: true });
  return wrap(pino({ level: options.level, base: options.fields ?? null }, destination));
}

/** A log that says nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};

function wrap(logger: pino.Logger): Logger {
  return {
    debug: (message, fields) => logger.debug(fields ?? {}, message),
    info: (message, fields) => logger.info(fields ?? {}, message),
    warn: (message, fields) => logger.warn(fields ?? {}, message),
    error: (message, fields) => logger.error(fields ?? {}, message),
    child: (fields) => wrap(logger.child(fields)),
  };
}
