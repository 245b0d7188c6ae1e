/** The app over real HTTP, with runs that the test speaks for. */
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { ApiParts } from '../../src/api/api-parts.js';
import { createApp } from '../../src/api/app.js';
import { CUT_MS, STALL_MS } from '../../src/api/sse.js';
import { listen, type HttpServer } from '../../src/api/server.js';
import { silentLogger } from '../../src/base/log.js';
import { systemClock } from '../../src/base/system-ports.js';
import type { Orchestra, Run } from '../../src/orchestra/orchestra.js';
import { RunLog } from '../../src/orchestra/run-log.js';
import type { RunRequest } from '../../src/schema/run.js';
import { FakeClock, seededRandom, settle } from '../support/fake-clock.js';
import { post, sse, sseAll } from '../support/gateway.js';

/** Events that a run of these tests keeps. */
const KEPT = 8;

class SpokenRun implements Run {
  readonly id = 'run_1';
  readonly log = new RunLog(KEPT);
  readonly cancels: string[] = [];
  readonly result = new Promise<never>(() => undefined);
  private said = 0;

  constructor() {
    this.log.append({ type: 'accepted', id: this.id, profile: 'test', model: 'auto', warnings: [] });
  }

  say(text: string): void {
    this.log.append({ type: 'delta', choice: 0, firstIndex: this.said, ids: [this.said++], text });
  }

  events(afterSeq = 0, signal?: AbortSignal): ReturnType<Run['events']> {
    return this.log.read(afterSeq, signal);
  }

  cancel(reason: string): void {
    this.cancels.push(reason);
  }
}

interface Failure {
  readonly error: { readonly code: string; readonly message: string; readonly type: string };
  readonly status: number;
  readonly run_id: string;
  readonly remedy: string;
}
const failure = (data: string | undefined): Failure => JSON.parse(data ?? '{}') as Failure;

/** A stream that nobody reads yet. */
async function streamOf(url: string): Promise<IncomingMessage> {
  const outgoing = request(`${url}/v1/execute`, { method: 'POST' }).on('error', () => undefined);
  outgoing.end(JSON.stringify({ task: 'hi', stream: true }));
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  return response.on('error', () => undefined);
}

/** More than sockets hold. */
const PIECES = 400;
async function sayMuch(run: SpokenRun): Promise<void> {
  const piece = 'x'.repeat(64 * 1024);
  for (let said = 0; said < PIECES; said++) {
    run.say(piece);
    await settle(1);
  }
}

describe('api/app', () => {
  let server: HttpServer;
  let run: SpokenRun;
  let asked: RunRequest[];
  let clock: FakeClock;

  beforeEach(async () => {
    run = new SpokenRun();
    asked = [];
    clock = new FakeClock();
    const orchestra: Pick<Orchestra, 'submit'> = {
      submit(wanted) {
        asked.push(wanted);
        return Promise.resolve(run);
      },
    };
    const parts = { orchestra, clock, random: seededRandom(1), log: silentLogger };
    server = await listen(createApp(parts as unknown as ApiParts), '127.0.0.1', 0);
  });
  afterEach(() => server.close(systemClock));

  describe('a stream whose reader is further behind than events are kept', () => {
    beforeEach(() => {
      for (let spoken = 0; spoken < 2 * KEPT; spoken++) run.say('x');
    });

    it('ends with one run.failed that says so, and the run is cancelled', async () => {
      const response = await post(`${server.url}/v1/execute`, { task: 'hi', stream: true });
      const events = await sseAll(response);
      expect(events.map(({ event, data }) => event ?? data)).to.deep.equal(['run.failed', '[DONE]']);
      const { error, status, run_id, remedy } = failure(events[0]?.data);
      expect({ ...error, status, run_id }).to.include({ code: 'client_too_slow', status: 499, run_id: 'run_1' });
      expect(remedy).to.contain('Read the stream faster');
      expect(run.cancels).to.have.lengthOf(1);
    });

    it('leaves the run alone that was to go on without its client', async () => {
      const body = { task: 'hi', stream: true, on_disconnect: 'continue' };
      const events = await sseAll(await post(`${server.url}/v1/execute`, body));
      expect(failure(events[0]?.data).error.code).to.equal('client_too_slow');
      expect(run.cancels).to.deep.equal([]);
    });

    for (const [route, body] of [
      ['chat/completions', { messages: [{ role: 'user', content: 'hi' }] }],
      ['completions', { prompt: 'hi' }],
    ] as const) {
      it(`ends on /v1/${route} with one error and no [DONE]`, async () => {
        const events = await sseAll(await post(`${server.url}/v1/${route}`, { ...body, stream: true }));
        expect(events).to.have.lengthOf(1);
        expect(failure(events[0]?.data).error).to.include({ code: 'client_too_slow' });
        expect(run.cancels).to.have.lengthOf(1);
      });
    }
  });

  it('tells a reader that stops in the middle what it missed, once it reads again', async () => {
    const response = await post(`${server.url}/v1/execute`, { task: 'hi', stream: true });
    const kinds: string[] = [];
    let last = '';
    for await (const { event, data } of sse(response)) {
      if (kinds.length === 0) await sayMuch(run); // while nobody reads
      kinds.push(event ?? data);
      if (event !== undefined) last = data;
    }
    expect(kinds[0]).to.equal('run.accepted');
    expect(kinds.slice(-3)).to.deep.equal(['run.delta', 'run.failed', '[DONE]']);
    expect(kinds.length).to.be.lessThan(PIECES);
    expect(failure(last).error.code).to.equal('client_too_slow');
    expect(run.cancels).to.have.lengthOf(1);
  });

  it('cuts a reader off that does not read any more, and cancels its run', async () => {
    const response = await streamOf(server.url);
    await sayMuch(run);
    clock.advance(STALL_MS - 1);
    await settle();
    expect(run.cancels).to.deep.equal([]);
    clock.advance(1);
    await settle();
    expect(run.cancels).to.have.lengthOf(1);
    clock.advance(CUT_MS);
    const closed = new Promise((resolve) => response.once('close', resolve));
    response.resume();
    await closed;
    expect(response.complete).to.equal(false);
    expect(clock.pendingTimers).to.equal(0);
  });

  it('ends a stream that broke through a fault of ours without its details', async () => {
    run.events = () => {
      throw new Error('secret path');
    };
    const events = await sseAll(await post(`${server.url}/v1/execute`, { task: 'hi', stream: true }));
    expect(events.map(({ event, data }) => event ?? data)).to.deep.equal(['run.failed', '[DONE]']);
    expect(failure(events[0]?.data).error.code).to.equal('internal');
    expect(events[0]?.data).to.not.contain('secret');
  });

  it('cancels once when the client leaves in the middle', async () => {
    const response = await streamOf(server.url);
    await once(response, 'data');
    response.destroy();
    while (run.cancels.length === 0) await settle(1);
    await settle(5);
    expect(run.cancels).to.deep.equal(['the client closed the connection']);
  });

  describe('a body that is too large', () => {
    const body = 'x'.repeat(9 * 1024 * 1024);
    const ways = {
      'with its length': [`Content-Length: ${String(body.length)}`, '', body],
      'in chunks': ['Transfer-Encoding: chunked', '', body.length.toString(16), body, '0', '', ''],
    };
    for (const [name, rest] of Object.entries(ways)) {
      it(`is refused with an answer that a client finds which writes all before it reads, ${name}`, async () => {
        const { hostname, port } = new URL(server.url);
        const socket = connect(Number(port), hostname).pause();
        const head = ['POST /v1/execute HTTP/1.1', 'Host: localhost', 'Connection: close'];
        await new Promise<void>((resolve, reject) => {
          socket.on('error', reject);
          socket.write([...head, ...rest].join('\r\n'), () => resolve());
        });
        let answer = '';
        for await (const chunk of socket as AsyncIterable<Buffer>) answer += chunk.toString();
        expect(answer).to.match(/^HTTP\/1\.1 413 /);
        expect(answer).to.contain('"payload_too_large"');
        expect(asked).to.deep.equal([]);
      });
    }
  });

  describe('a body in an encoding', () => {
    const send = (path: string, encoding: string, body: Uint8Array | string): Promise<Response> => {
      const headers = { 'content-type': 'application/json', 'content-encoding': encoding };
      return fetch(`${server.url}${path}`, { method: 'POST', headers, body });
    };
    const text = JSON.stringify({ task: 'hi', stream: true });

    for (const path of ['/v1/execute', '/v1/chat/completions', '/v1/profiles/switch']) {
      it(`is refused on ${path} in the one error shape, and the run is not made`, async () => {
        const response = await send(path, 'gzip', gzipSync(text));
        expect(response.status).to.equal(415);
        expect(response.headers.get('accept-encoding')).to.equal('identity');
        const problem = (await response.json()) as Failure;
        expect(problem.error).to.include({ code: 'invalid_request', type: 'invalid_request_error' });
        expect(problem.error.message).to.contain('content-encoding').and.to.contain('gzip');
        expect(problem).to.include.all.keys('title', 'status', 'detail', 'remedy', 'run_id');
        expect(problem.status).to.equal(415);
        expect(asked).to.deep.equal([]);
      });
    }

    for (const encoding of ['identity', 'Identity']) {
      it(`is taken as it is when that is ${encoding}`, async () => {
        for (let spoken = 0; spoken < 2 * KEPT; spoken++) run.say('x');
        expect((await send('/v1/execute', encoding, text)).status).to.equal(200);
        expect(asked).to.have.lengthOf(1);
      });
    }
  });
});
