/** The outermost middleware: request ids, the one error shape for everything that fails, JSON for koa's own 404 and 405. */
import type { Context, Middleware, Next } from 'koa';
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Random } from '../base/ports.js';
import { headersOf, problemOf, publicError } from './problem.js';

const PLAIN_ID = /^[A-Za-z0-9._-]{1,128}$/;
/** HTTP's own word for a body that is packed in some way; ours is `invalid_request`. */
const UNSUPPORTED_MEDIA_TYPE = 415;
const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** A web page of another site must not drive a server on its reader's machine; programs send no Origin. */
function refuseForeignPage(ctx: Context): void {
  const origin = ctx.get('origin');
  if (origin === '' || (URL.canParse(origin) && LOOPBACK.test(new URL(origin).hostname))) return;
  throw new LlamaestroError('forbidden', `pages of '${origin.slice(0, 200)}' may not use this server`, {
    remedy: 'Use it from a page of this machine, or from a program.',
  });
}

/** What is wrong with a body before it is looked at, if anything: bodies are read as they are. */
function encodedBody(ctx: Context): LlamaestroError | undefined {
  const encoding = ctx.get('content-encoding');
  if (encoding === '' || encoding.toLowerCase() === 'identity') return undefined;
  return new LlamaestroError('invalid_request', `the content-encoding '${encoding.slice(0, 60)}' is not supported`, {
    remedy: 'Send the body without an encoding.',
  });
}

function answer(ctx: Context, error: LlamaestroError, status?: number): void {
  const runId = error.details?.['runId'];
  const problem = problemOf(error.toWire(), typeof runId === 'string' ? runId : undefined);
  ctx.status = status ?? problem.status;
  ctx.body = status === undefined ? problem : { ...problem, status };
  // OpenAI's clients expect plain JSON on their routes; everybody else gets the media type of RFC 9457.
  const openAi = /^\/v1\/(chat\/|completions|models)/.test(ctx.path);
  ctx.type = openAi ? 'application/json' : 'application/problem+json';
  ctx.set(headersOf(error.toWire()));
  // What is left of the body is not read.
  if (error.code === 'payload_too_large') ctx.set('Connection', 'close');
}

export function boundary(random: Random, log: Logger): Middleware {
  return async (ctx: Context, next: Next) => {
    const asked = ctx.get('x-request-id');
    const requestId = PLAIN_ID.test(asked) ? asked : random.id('req');
    ctx.set('x-request-id', requestId);
    try {
      refuseForeignPage(ctx);
      const encoded = encodedBody(ctx);
      if (encoded !== undefined) {
        ctx.set('Accept-Encoding', 'identity');
        return answer(ctx, encoded, UNSUPPORTED_MEDIA_TYPE);
      }
      await next();
      if (ctx.body !== undefined || ctx.status < 400) return;
      const { method, path, status } = ctx;
      const text = status === 405 ? `${path} does not take ${method}` : `there is no route ${method} ${path}`;
      answer(ctx, new LlamaestroError('invalid_request', text, { remedy: 'See the README for the routes.' }), status);
    } catch (thrown) {
      if (ctx.headerSent) return;
      const error = publicError(thrown);
      if (error.code === 'internal')
        log.error('a request failed', {
          requestId,
          path: ctx.path,
          error: String(thrown),
          stack: (thrown as Error).stack,
        });
      answer(ctx, error);
    }
  };
}
