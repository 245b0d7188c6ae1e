/**
 * Structured log lines, one JSON object each, or readable ones for a terminal. The only file that knows pino. Fields
 * that could carry what people typed are withheld here, whatever the caller passes: the log is no place for prompts.
 */
import { pino } from 'pino';
import { toLlamaestroError } from './errors.js';

/** From the most to the least talkative. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Values must be JSON; an `error` field may be any thrown value. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Never throws. `message` is a fixed sentence; what varies goes into `fields`. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to each line, by custom `{ room: 'pool' }` and ids. */
  child(fields: LogFields): Logger;
}

/** What `createLogger` returns to the one who owns the destination. */
export interface RootLogger extends Logger {
  /** Writes what is buffered, synchronously; call before the process exits. */
  flush(): void;
}

export interface LogOptions {
  /** Lines below it are not written. Default 'info'. */
  readonly level?: LogLevel;
  /** A file that is appended to (made with its folder when absent), a descriptor, or a sink for lines. Default: stderr. */
  readonly destination?: string | number | { write(line: string): void };
  /**
   * Each line is written before the call returns. Always so for a file; default false for a descriptor, which may be a
   * terminal or a pipe that nobody reads. True suits a process that native code may abort.
   */
  readonly sync?: boolean;
  /** Readable lines instead of JSON. Default false. */
  readonly pretty?: boolean;
  /** Fields of every line. */
  readonly fields?: LogFields;
}

/** Bytes that may wait for a slow terminal or pipe; lines beyond it are dropped rather than the process held up. */
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;
/** Names of fields that could hold a prompt, an answer or a secret, at the top of the fields or one level below. */
const WITHHELD = [
  'prompt',
  'text',
  'task',
  'messages',
  'input',
  'inputs',
  'documents',
  'query',
  'body',
  'token',
  'pass',
];

interface Sink {
  write(line: string): void;
  flushSync?(): void;
}

/** An error as fields: operating errors by code, faults of ours with their stack. */
function errorFields(thrown: unknown): LogFields {
  const { code, message, details, cause, stack } = toLlamaestroError(thrown);
  const fault = cause instanceof Error ? (cause.stack ?? cause.message) : cause;
  return {
    code,
    message,
    ...(details === undefined ? {} : { details }),
    ...(code === 'internal' ? { stack: fault ?? stack } : fault === undefined ? {} : { cause: String(fault) }),
  };
}

function readable(line: string): string {
  const { time, level, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const at = new Date(time as number).toISOString().slice(11, 23);
  const shown = Object.entries(fields).map(([key, value]) => {
    const error = key === 'error' ? (value as Record<string, unknown>) : undefined;
    if (error !== undefined) return `error=${String(error['code'])}: ${String(error['stack'] ?? error['message'])}`;
    return `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`;
  });
  return `${at} ${String(level).padEnd(5)} ${[String(msg), ...shown].join('  ')}\n`;
}

function openSink({ destination = 2, sync = typeof destination === 'string' }: LogOptions): Sink {
  if (typeof destination === 'object') return destination;
  return pino.destination({ dest: destination, mkdir: true, sync, maxLength: sync ? 0 : MAX_BUFFERED_BYTES });
}

function wrap(inner: pino.Logger): Logger {
  return {
    debug: (message, fields) => inner.debug(fields ?? {}, message),
    info: (message, fields) => inner.info(fields ?? {}, message),
    warn: (message, fields) => inner.warn(fields ?? {}, message),
    error: (message, fields) => inner.error(fields ?? {}, message),
    child: (fields) => wrap(inner.child(fields)),
  };
}

/** Opens a log; the caller owns it for the life of the process. */
export function createLogger(options: LogOptions = {}): RootLogger {
  const sink = openSink(options);
  const stream: Sink = options.pretty === true ? { write: (line) => sink.write(readable(line)) } : sink;
  const inner = pino(
    {
      level: options.level ?? 'info',
      base: options.fields ?? null,
      serializers: { error: errorFields },
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: WITHHELD.flatMap((name) => [name, `*.${name}`]), censor: '[withheld]' },
    },
    stream,
  );
  return { ...wrap(inner), flush: () => sink.flushSync?.() };
}

/** Says nothing: for tests, and for callers that are given no log. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};
