/** The routes that run something: execute and the OpenAI pair. One handler serves all; the doors differ in two functions. */
import Router from '@koa/router';
import type { Context } from 'koa';
import { LlamaestroError } from '../base/errors.js';
import type { Run } from '../orchestra/orchestra.js';
import type { RunResult } from '../schema/run.js';
import type { ApiParts } from './api-parts.js';
import type { Parsed } from './doors.js';
import { parseExecute, renderExecute } from './execute-door.js';
import { parseChat, parseCompletion, renderChat, renderCompletion } from './openai-door.js';
import { publicError } from './problem.js';
import { readJson } from './read-body.js';
import type { Rendering, SseFrame } from './rendering.js';
import { streamSse } from './sse.js';

/** Why the run of a client that left was cancelled. */
const LEFT = 'the client closed the connection';
/** Why the run of a stream was cancelled that could not be shown to its end. */
const BROKEN = 'the stream to the client broke off';

function leaving(run: Run, parsed: Parsed): (reason: string) => void {
  return (reason) => {
    if (parsed.request.onDisconnect === 'cancel') run.cancel(reason);
  };
}

/** The stream of a run. When it breaks off, as a slow reader's does, it ends with the reason, as if the client had left. */
function stream(
  ctx: Context,
  { clock, log }: ApiParts,
  run: Run,
  rendered: Rendering,
  leave: (reason: string) => void,
): Promise<void> {
  const onBreak = (thrown: unknown): readonly SseFrame[] => {
    const error = publicError(thrown);
    if (error.code === 'internal') log.error('a stream broke off', { rid: run.id, error: String(thrown) });
    leave(BROKEN);
    return rendered.broken(error.toWire(), run.id);
  };
  const options = { clock, onLeave: () => leave(LEFT), onBreak };
  return streamSse(
    ctx,
    (signal) => run.events(0, signal),
    (event) => rendered.frames(event),
    options,
  );
}

/** Waits for the end; the client may leave meanwhile. */
async function resultOf(ctx: Context, run: Run, onLeave: () => void): Promise<RunResult> {
  const closed = (): void => {
    if (!ctx.res.writableFinished) onLeave();
  };
  ctx.res.once('close', closed);
  const result = await run.result;
  ctx.res.off('close', closed);
  return result;
}

async function serve<P extends Parsed>(
  ctx: Context,
  parts: ApiParts,
  parse: (body: unknown) => P,
  rendering: (parsed: P) => Rendering,
): Promise<void> {
  const parsed = parse(await readJson(ctx.req));
  const gone = new AbortController();
  const onClose = (): void => gone.abort(new LlamaestroError('cancelled', LEFT));
  ctx.res.once('close', onClose);
  const run = await parts.orchestra.submit(parsed.request, gone.signal);
  ctx.res.off('close', onClose);
  const rendered = rendering(parsed);
  const leave = leaving(run, parsed);
  ctx.set('x-run-id', run.id);
  if (gone.signal.aborted || ctx.res.destroyed) return leave(LEFT);
  if (parsed.stream) return stream(ctx, parts, run, rendered, leave);
  const result = await resultOf(ctx, run, () => leave(LEFT));
  if (result.error === undefined) {
    ctx.body = rendered.body(result);
    return;
  }
  const { code, message, details, ...options } = result.error;
  const known = { ...details, runId: result.id, attempts: result.attempts };
  throw new LlamaestroError(code, message, { ...options, details: known });
}

export function runRoutes(parts: ApiParts): Router {
  const router = new Router();
  const createdS = (): number => Math.floor(parts.clock.wallMs() / 1000);
  router.post('/v1/execute', (ctx) => serve(ctx, parts, parseExecute, renderExecute));
  router.post('/v1/chat/completions', (ctx) =>
    serve(ctx, parts, parseChat, (parsed) => renderChat(createdS(), parsed.includeUsage)),
  );
  router.post('/v1/completions', (ctx) =>
    serve(ctx, parts, parseCompletion, (parsed) => renderCompletion(createdS(), parsed.includeUsage)),
  );
  return router;
}
