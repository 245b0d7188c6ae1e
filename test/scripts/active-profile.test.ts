/** Asking a gateway for its active profile, with stand-ins for what may answer at its address. */
import { expect } from 'chai';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { askActiveProfile } from '../../scripts/lifecycle/active-profile.mjs';

const profile = { name: 'dev', origin: '/profiles/dev.yaml', warnings: [] };
const pid = 4711;

async function ask(listener: RequestListener, answerMs?: number) {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    return await askActiveProfile({ url: `http://127.0.0.1:${port}`, pid }, answerMs);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

const answer =
  (body: unknown): RequestListener =>
  (_, response) =>
    response.end(JSON.stringify(body));

describe('askActiveProfile', () => {
  it('reads name and origin from the status', async () => {
    const { name, origin } = profile;
    expect(await ask(answer({ server: { pid }, profile }))).to.deep.equal({ name, origin });
  });

  it('does not know it when nothing answers, or not in time', async () => {
    expect(await askActiveProfile({ url: 'http://127.0.0.1:9', pid })).to.equal(undefined);
    expect(await ask(() => undefined, 50)).to.equal(undefined);
  });

  it('does not believe another process, nor an answer that it does not understand', async () => {
    expect(await ask(answer({ server: { pid: 4712 }, profile }))).to.equal(undefined);
    expect(await ask(answer({ server: { pid }, profile: {} }))).to.equal(undefined);
    expect(await ask(answer('hello'))).to.equal(undefined);
  });
});
