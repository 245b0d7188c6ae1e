/** What the doors say about the server's own health: no green light over a scheduler that does nothing. */
import { expect } from 'chai';
import type { ApiParts } from '../../src/api/api-parts.js';
import { createApp } from '../../src/api/app.js';
import { listen, type HttpServer } from '../../src/api/server.js';
import { silentLogger } from '../../src/base/log.js';
import { systemClock } from '../../src/base/system-ports.js';
import type { PoolStatus } from '../../src/pool/pool.js';
import { seededRandom } from '../support/fake-clock.js';
import { profileOf } from '../support/profiles.js';

describe('health over HTTP', () => {
  let server: HttpServer;
  let status: PoolStatus;

  beforeEach(async () => {
    status = { models: [], nodes: [], vigil: { eventLoopLagMs: 12, cpuPressure: 0, neglects: [] } };
    const parts = {
      pool: { status: () => status },
      orchestra: { status: () => ({ accepting: true }) },
      profiles: { current: () => profileOf([]), edit: () => undefined, progress: () => ({ missing: [] }) },
      identity: {},
      clock: systemClock,
      ...{ random: seededRandom(1), log: silentLogger },
    };
    server = await listen(createApp(parts as unknown as ApiParts), '127.0.0.1', 0);
  });
  afterEach(() => server.close(systemClock));

  async function get(path: string): Promise<{ code: number; body: Record<string, unknown> }> {
    const response = await fetch(`${server.url}${path}`);
    return { code: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  it('is green while requests are worked on', async () => {
    expect(await get('/healthz')).to.deep.equal({ code: 200, body: { status: 'alive' } });
    expect((await get('/v1/status')).body).to.deep.include({
      ...{ health: 'ok', scheduler: { event_loop_lag_ms: 12, cpu_pressure: 0, stuck: [] } },
    });
  });

  it('is red when requests wait for nobody, and says for which model and why', async () => {
    const neglects = [{ model: 'coder', why: 'nobody loads it', sinceMs: 5 }];
    status = { ...status, vigil: { eventLoopLagMs: 0, cpuPressure: 0, neglects } };
    const reasons = ["requests for model 'coder' wait for nobody: nobody loads it"];
    expect(await get('/healthz')).to.deep.equal({ code: 503, body: { status: 'stuck', reasons } });
    const { body } = await get('/v1/status');
    expect(body).to.deep.include({ health: 'degraded', reasons });
    expect(body['scheduler']).to.have.nested.property('stuck[0].model', 'coder');
  });
});
