/** The routes of a switch over real HTTP: a manager whose pool does what the test says. */
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import type { ApiParts } from '../../src/api/api-parts.js';
import { createApp } from '../../src/api/app.js';
import { listen, type HttpServer } from '../../src/api/server.js';
import { LlamaestroError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/log.js';
import { deferred } from '../../src/base/signals.js';
import { systemClock } from '../../src/base/system-ports.js';
import type { SwitchProgress } from '../../src/schema/profile-switch.js';
import { started, type Scene } from '../profile/switch-scene.js';
import { seededRandom } from '../support/fake-clock.js';
import { post, sseAll } from '../support/gateway.js';

describe('api: a switch of profiles', () => {
  let server: HttpServer;
  let world: Scene;
  let path: string;

  beforeEach(async () => {
    world = await started();
    const parts = { profiles: world.manager, clock: systemClock, random: seededRandom(1), log: silentLogger };
    server = await listen(createApp(parts as unknown as ApiParts), '127.0.0.1', 0);
    path = `${server.url}/v1/profiles/switch`;
  });
  afterEach(() => server.close(systemClock));

  const body = async <T>(response: Response): Promise<T> => (await response.json()) as T;
  const codeOf = async (response: Response): Promise<unknown> => {
    const { error } = await body<{ error: { code: string } }>(response);
    return [response.status, error.code];
  };

  it('answers at once with how far it is, and later with how it ended', async () => {
    const hold = deferred<undefined>();
    world.stage.script = { 'load new': () => hold.promise };
    const begun = await post(path, { name: 'second', drain_ms: 5 });
    expect([begun.status, begun.headers.get('location')]).to.deep.equal([202, '/v1/profiles/switch']);
    expect(await body<SwitchProgress>(begun)).to.include({ from: 'first', to: 'second', active: 'first' });
    expect((await post(path, { name: 'second' })).status).to.equal(202);
    expect(await codeOf(await post(path, { name: 'first' }))).to.deep.equal([409, 'switch_conflict']);
    const events = sseAll(await fetch(`${path}/events`));
    hold.resolve(undefined);
    const seen = await events;
    expect(seen.at(-1)?.event).to.equal('switch.over');
    expect(seen.slice(0, -1).map(({ event }) => event)).to.include('switch.progress');
    const last = JSON.parse(seen.at(-1)?.data ?? '{}') as SwitchProgress;
    expect(last).to.deep.include({ state: 'stable', active: 'second' });
    expect(last.last).to.include({ result: 'done', to: 'second' });
    expect(await body(await fetch(path))).to.deep.include({ active: 'second' });
    expect(world.stage.calls).to.include('flip 5');
  });

  it('waits for the end where that is wanted, and answers with what went wrong', async () => {
    expect((await post(path, { name: 'second', wait: true })).status).to.equal(200);
    world.stage.script = { cleared: () => Promise.resolve() };
    expect((await post(path, { name: 'first', wait: true })).status).to.equal(200);
    world.stage.script = { 'load new': () => Promise.reject(new LlamaestroError('load_failed', 'broken')) };
    world.stage.ready = [];
    expect(await codeOf(await post(path, { name: 'second', wait: true }))).to.deep.equal([503, 'load_failed']);
  });

  it('is taken back by DELETE, until the flip', async () => {
    world.stage.script = { 'load new': () => new Promise(() => undefined) };
    await post(path, { name: 'second' });
    const waiting = post(path, { name: 'second', wait: true });
    await pause(200); // until it has joined
    expect((await fetch(path, { method: 'DELETE' })).status).to.equal(202);
    expect(await codeOf(await waiting)).to.deep.equal([499, 'cancelled']);
    world.stage.script = { cleared: () => new Promise(() => undefined) };
    await post(path, { name: 'second' });
    await world.clock.run(10);
    expect(await codeOf(await fetch(path, { method: 'DELETE' }))).to.deep.equal([409, 'switch_conflict']);
  });

  it('shows one event and ends where nothing is under way', async () => {
    const events = await sseAll(await fetch(`${path}/events`));
    expect(events.map(({ event }) => event)).to.deep.equal(['switch.over']);
    expect((await fetch(path, { method: 'DELETE' })).status).to.equal(202);
  });

  it('refuses what it does not understand', async () => {
    for (const wrong of [{}, { name: 'second', drain_ms: -1 }, { name: 'second', wait: 'yes' }]) {
      expect(await codeOf(await post(path, wrong))).to.deep.equal([400, 'invalid_request']);
    }
    expect(await codeOf(await post(path, { name: 'third' }))).to.deep.equal([404, 'profile_not_found']);
  });

  it('reloads in the same way', async () => {
    world.text = { ...world.manager.current(), description: 'edited' };
    const reload = `${server.url}/v1/profiles/reload`;
    expect((await post(reload, { wait: true })).status).to.equal(200);
    expect(world.manager.current().description).to.equal('edited');
    world.text = undefined;
    expect(await codeOf(await fetch(reload, { method: 'POST' }))).to.deep.equal([422, 'profile_invalid']);
  });
});
