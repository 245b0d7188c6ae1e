/**
 * Server-sent events through koa-sse-stream, the only file that knows it. The library is used by these rules, each for a
 * defect of its own: the stream becomes the body only after the handler returns, so nothing is awaited inside; `write`
 * and `drain` carry backpressure, `send` does not; its own ping logs to the console and cannot be stopped, so it is put
 * off for ever and ours is a comment per stream; only `sendEnd` with data ends cleanly.
 */
import { once } from 'node:events';
import type { Context } from 'koa';
import createSse, { type SseStream } from 'koa-sse-stream';
import type { Clock } from '../base/ports.js';
import type { SseFrame } from './rendering.js';

/** Comments on a silent stream: clients and proxies give up after much longer silences. */
export const PING_MS = 10_000;
/** The longest timer there is: the library's own ping must never come. */
const NEVER_MS = 2 ** 31 - 1;

const middleware = createSse({ maxClients: Number.MAX_SAFE_INTEGER, pingInterval: NEVER_MS });

export interface SseOptions {
  readonly clock: Clock;
  /** Called once, when the client left before the last frame. */
  readonly onLeave: () => void;
  /** The frames that end a stream whose events broke off with `thrown`. Called at most once, and never with `onLeave`. */
  readonly onBreak: (thrown: unknown) => readonly SseFrame[];
}

/**
 * Answers with a stream of `framesOf` each of `events`; returns at once, the frames follow. The frame marked `last` closes
 * the stream. When the client leaves, `signal` given to `events` aborts.
 */
export async function streamSse<T>(
  ctx: Context,
  events: (signal: AbortSignal) => AsyncIterable<T>,
  framesOf: (event: T) => readonly SseFrame[],
  options: SseOptions,
): Promise<void> {
  await middleware(ctx, () => {
    const stream = (ctx as Context & { sse: SseStream }).sse;
    void pump(stream, events, framesOf, options);
    return Promise.resolve();
  });
}

async function pump<T>(
  stream: SseStream,
  events: (signal: AbortSignal) => AsyncIterable<T>,
  framesOf: (event: T) => readonly SseFrame[],
  options: SseOptions,
): Promise<void> {
  const left = new AbortController();
  let ended = false;
  stream.on('error', () => undefined); // koa reports a premature close here as well; `close` is what counts
  stream.once('close', () => {
    left.abort();
    if (!ended) options.onLeave();
  });
  /** False when the next frame has to wait for `drain`. */
  const send = (frame: SseFrame): boolean => {
    if (frame.last !== true) return stream.write(frame);
    ended = true;
    stream.sendEnd(frame);
    return true;
  };
  let ping = schedulePing();
  function schedulePing(): { cancel(): void } {
    return options.clock.setTimer(PING_MS, () => {
      if (left.signal.aborted || ended) return;
      stream.write({ data: ': ping' });
      ping = schedulePing();
    });
  }
  try {
    for await (const event of events(left.signal)) {
      for (const frame of framesOf(event)) {
        if (left.signal.aborted) return;
        if (!send(frame)) await once(stream, 'drain', { signal: left.signal });
        if (ended) return;
      }
    }
  } catch (thrown) {
    if (left.signal.aborted || ended) return;
    // The client may have stopped reading, so that nothing here waits for it.
    for (const frame of options.onBreak(thrown)) send(frame);
  } finally {
    ping.cancel();
    if (!ended) stream.destroy();
  }
}
