/** The same chain with a real nats-server in the place of the embedded bus. */
import { expect } from 'chai';
import { findNatsServer, sayNoNatsServer, startNatsServer, type NatsServer } from '../bus/nats-server.js';
import { dispose, post, sseAll, startProcess } from '../support/gateway.js';
import { scriptedModel, scriptedSentence } from '../support/models.js';

const binary = findNatsServer();

describe('e2e: NATS_URL', function () {
  this.timeout(60_000);
  let server: NatsServer | undefined;
  after(async () => {
    await dispose();
    await server?.stop();
  });

  it('streams over a real nats-server', async function () {
    if (binary === undefined) {
      sayNoNatsServer();
      this.skip();
    }
    server = await startNatsServer(binary);
    const gateway = await startProcess({ args: ['--model', await scriptedModel()], env: { NATS_URL: server.url } });
    const status = (await (await fetch(`${gateway.url}/v1/status`)).json()) as { server: { bus: string } };
    expect(status.server.bus).to.equal('nats');
    const events = await sseAll(await post(`${gateway.url}/v1/execute`, { task: 'hi', stream: true }));
    const deltas = events.filter((event) => event.event === 'run.delta');
    const text = deltas.map((event) => (JSON.parse(event.data) as { text: string }).text).join('');
    expect(text).to.equal(scriptedSentence());
    expect(await gateway.stop()).to.equal(0);
  });
});
