/** The Koa application: boundary, routes, nothing else. Built without a socket, so that tests can call it. */
import Koa from 'koa';
import type { Logger } from '../base/log.js';
import type { Clock, Random } from '../base/ports.js';
import type { Orchestra } from '../orchestra/orchestra.js';
import type { Pool } from '../pool/pool.js';
import type { ProfileManager } from '../profile/profile-manager.js';
import { boundary } from './boundary.js';
import { infoRoutes } from './info-routes.js';
import { runRoutes } from './run-routes.js';

export interface ApiParts {
  readonly orchestra: Orchestra;
  readonly pool: Pool;
  readonly profiles: ProfileManager;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** What the status says about the server itself; constant while it runs. */
  readonly identity: Identity;
}

export interface Identity {
  readonly version: string;
  readonly gid: string;
  readonly pid: number;
  /** 'embedded' or 'nats'. */
  readonly bus: string;
  /** Which llama.cpp the addon is built from, and the addon's own version. */
  readonly engine: string;
}

export function createApp(parts: ApiParts): Koa {
  const app = new Koa();
  // The boundary has answered already; what still arrives here is a client that left in the middle of a stream.
  app.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ERR_STREAM_PREMATURE_CLOSE' || error.code === 'ECONNRESET' || error.code === 'EPIPE') return;
    parts.log.error('koa reported an error', { error: String(error) });
  });
  app.use(boundary(parts.random, parts.log));
  for (const router of [runRoutes(parts), infoRoutes(parts)]) app.use(router.routes()).use(router.allowedMethods());
  return app;
}
