/** What the pool asks a node agent, when the answer does not come. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import type { Bus } from '../../src/bus/bus.js';
import { nodeClient } from '../../src/pool/node-client.js';
import { codeOf } from './bench.js';

/** A bus on which the first `silent` requests get no answer, and what was sent. */
function sleepyBus(silent: number): { bus: Bus; sent: string[] } {
  const sent: string[] = [];
  const request = (_subject: string, body: unknown): Promise<unknown> => {
    sent.push((body as { op: string }).op);
    if (sent.length <= silent) return Promise.reject(new LlamaestroError('ack_timeout', 'no answer in time'));
    return Promise.resolve({ ok: true, body: { hosts: [] } });
  };
  return { bus: { request } as unknown as Bus, sent };
}

describe('node client', () => {
  it('asks a question again when the first answer is overdue, as after a sleep of the machine', async () => {
    const { bus, sent } = sleepyBus(1);
    expect(await nodeClient(bus, 'node').hosts()).to.deep.equal([]);
    expect(sent).to.deep.equal(['hosts', 'hosts']);
  });

  it('gives up after two', async () => {
    const { bus, sent } = sleepyBus(9);
    expect(
      codeOf(
        await nodeClient(bus, 'node')
          .hosts()
          .catch((thrown: unknown) => thrown),
      ),
    ).to.equal('ack_timeout');
    expect(sent).to.have.length(2);
  });

  it('gives an order once', async () => {
    const { bus, sent } = sleepyBus(9);
    expect(
      codeOf(
        await nodeClient(bus, 'node')
          .kill('host', 100)
          .catch((thrown: unknown) => thrown),
      ),
    ).to.equal('ack_timeout');
    expect(sent).to.deep.equal(['kill']);
  });
});
