/**
 * Server-sent events through koa-sse-stream, the only file that knows it. The library is used by these rules, each for a
 * defect of its own: the stream becomes the body only after the handler returns, so nothing is awaited inside; `write`
 * and `drain` carry backpressure, `send` does not; its own ping logs to the console and cannot be stopped, so it is put
 * off for ever and ours is a comment per stream; only `sendEnd` with data ends cleanly.
 */
import { once } from 'node:events';
import type { Context } from 'koa';
import createSse, { type SseStream } from 'koa-sse-stream';
import { LlamaestroError } from '../base/errors.js';
import type { Clock } from '../base/ports.js';
import type { SseFrame } from './rendering.js';

/** Comments on a silent stream: clients and proxies give up after much longer silences. */
export const PING_MS = 10_000;
/** A client whose socket takes nothing for so long reads no more. */
export const STALL_MS = 5 * 60_000;
/** What a client gets to take the end of a stream that broke off. */
export const CUT_MS = 5000;
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
    void pump(ctx, stream, events, framesOf, options);
    return Promise.resolve();
  });
}

/** Resolves when the next frame may be written. Rejects when the client left, `client_too_slow` when it reads no more. */
async function drained(stream: SseStream, clock: Clock, left: AbortSignal): Promise<void> {
  const stalled = new AbortController();
  const timer = clock.setTimer(STALL_MS, () => stalled.abort());
  try {
    await once(stream, 'drain', { signal: AbortSignal.any([left, stalled.signal]) });
  } catch (thrown) {
    if (!stalled.signal.aborted) throw thrown;
    throw new LlamaestroError('client_too_slow', `nothing of the stream was read for ${String(STALL_MS)} ms`);
  } finally {
    timer.cancel();
  }
}

async function pump<T>(
  ctx: Context,
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
        if (!send(frame)) await drained(stream, options.clock, left.signal);
        if (ended) return;
      }
    }
  } catch (thrown) {
    if (left.signal.aborted || ended) return;
    for (const frame of options.onBreak(thrown)) send(frame);
    // It may have stopped reading for good.
    const cut = options.clock.setTimer(CUT_MS, () => ctx.res.destroy());
    ctx.res.once('close', () => cut.cancel());
  } finally {
    ping.cancel();
    if (!ended) stream.destroy();
  }
}
