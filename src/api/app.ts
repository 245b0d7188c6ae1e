/** The Koa application: boundary, routes, nothing else. Built without a socket, so that tests can call it. */
import Koa from 'koa';
import type { ApiParts } from './api-parts.js';
import { boundary } from './boundary.js';
import { infoRoutes } from './info-routes.js';
import { modelRoutes } from './model-routes.js';
import { runRoutes } from './run-routes.js';
import { switchRoutes } from './switch-routes.js';

export function createApp(parts: ApiParts): Koa {
  const app = new Koa();
  // The boundary has answered already; what still arrives here is a client that left in the middle of a stream.
  app.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ERR_STREAM_PREMATURE_CLOSE' || error.code === 'ECONNRESET' || error.code === 'EPIPE') return;
    parts.log.error('koa reported an error', { error: String(error) });
  });
  app.use(boundary(parts.random, parts.log));
  for (const router of [runRoutes(parts), infoRoutes(parts), modelRoutes(parts), switchRoutes(parts)])
    app.use(router.routes()).use(router.allowedMethods());
  return app;
}
