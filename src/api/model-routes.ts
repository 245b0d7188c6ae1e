/** What is done with a single model by command: for now, unloading it, with the proof that its memory came back. */
import Router from '@koa/router';
import type { UnloadReport } from '../pool/unload.js';
import { decode } from '../schema/decode.js';
import { UnloadBodyCodec } from '../schema/requests.js';
import type { ApiParts } from './api-parts.js';
import { readJsonOrNothing } from './read-body.js';

/** `returned` is null where that cannot be told, false as soon as a device misses something. */
function unloadBody({ model, hid, process, cutRequests, devices, ms }: UnloadReport): Record<string, unknown> {
  const verdicts = devices.map(({ verdict }) => verdict);
  const returned = verdicts.includes('missing') ? false : verdicts.includes('disturbed') ? null : true;
  return {
    model,
    was_loaded: hid !== undefined,
    host: hid ?? null,
    process: process ?? null,
    cut_requests: cutRequests,
    returned,
    devices: devices.map((row) => ({
      device: row.device,
      expected_bytes: row.expectedBytes,
      measured_bytes: row.measuredBytes ?? null,
      residual_bytes: row.residualBytes ?? null,
      tolerance_bytes: row.toleranceBytes,
      verdict: row.verdict,
    })),
    ms: Math.round(ms),
  };
}

export function modelRoutes(parts: ApiParts): Router {
  const router = new Router();
  router.post('/v1/models/:id/unload', async (ctx) => {
    const { drain_ms: drainMs } = decode(UnloadBodyCodec, await readJsonOrNothing(ctx.req));
    ctx.body = unloadBody(await parts.pool.unload(String(ctx.params['id']), drainMs ?? undefined));
  });
  return router;
}
