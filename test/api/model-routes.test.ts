/** The command to unload over HTTP: what goes to the pool and what comes back. */
import { expect } from 'chai';
import type { ApiParts } from '../../src/api/api-parts.js';
import { createApp } from '../../src/api/app.js';
import { listen, type HttpServer } from '../../src/api/server.js';
import { LlamaestroError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/log.js';
import { systemClock } from '../../src/base/system-ports.js';
import type { Verdict } from '../../src/pool/release-proof.js';
import type { UnloadReport } from '../../src/pool/unload.js';
import { seededRandom } from '../support/fake-clock.js';

interface Answer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

describe('POST /v1/models/:id/unload', () => {
  let server: HttpServer;
  let asked: unknown[];
  let answer: () => Promise<UnloadReport>;

  beforeEach(async () => {
    asked = [];
    const pool = { unload: (...words: unknown[]) => (asked.push(words), answer()) };
    const parts = { pool, random: seededRandom(1), log: silentLogger };
    server = await listen(createApp(parts as unknown as ApiParts), '127.0.0.1', 0);
  });
  afterEach(() => server.close(systemClock));

  async function unload(model: string, body?: string): Promise<Answer> {
    const response = await fetch(`${server.url}/v1/models/${model}/unload`, {
      method: 'POST',
      ...(body === undefined ? {} : { body }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  function report(...verdicts: Verdict[]): UnloadReport {
    const devices = verdicts.map((verdict, index) => ({
      ...{
        device: `cuda${index}`,
        expectedBytes: 100,
        measuredBytes: 90,
        residualBytes: 10,
        toleranceBytes: 20,
        verdict,
      },
    }));
    return { model: 'coder', hid: 'h', process: 'exited with code 0', cutRequests: 1, devices, ms: 12.3 };
  }

  it('answers with the proof', async () => {
    answer = () => Promise.resolve(report('returned'));
    expect(await unload('coder', '{"drain_ms": 500}')).to.deep.equal({
      status: 200,
      body: {
        ...{ model: 'coder', was_loaded: true, host: 'h', process: 'exited with code 0', cut_requests: 1, ms: 12 },
        returned: true,
        devices: [
          {
            ...{ device: 'cuda0', expected_bytes: 100, measured_bytes: 90, residual_bytes: 10, tolerance_bytes: 20 },
            verdict: 'returned',
          },
        ],
      },
    });
    expect(asked).to.deep.equal([['coder', 500]]);
  });

  it('takes no body for an empty one, and says what cannot be told and what is missing', async () => {
    answer = () => Promise.resolve(report('returned', 'disturbed'));
    expect((await unload('coder')).body).to.include({ returned: null });
    answer = () => Promise.resolve(report('disturbed', 'missing'));
    expect((await unload('coder', '{}')).body).to.include({ returned: false });
    answer = () => Promise.resolve({ model: 'coder', cutRequests: 0, devices: [], ms: 0 });
    expect((await unload('coder')).body).to.include({ was_loaded: false, host: null, returned: true });
    expect(asked).to.deep.equal(Array.from({ length: 3 }, () => ['coder', undefined]));
  });

  it('refuses a drain that is no time, and passes on what the pool refuses', async () => {
    expect((await unload('coder', '{"drain_ms": -1}')).status).to.equal(400);
    answer = () => Promise.reject(new LlamaestroError('pinned', 'it is pinned'));
    const { status, body } = await unload('coder');
    expect([status, (body['error'] as { code: string }).code]).to.deep.equal([409, 'pinned']);
  });
});
