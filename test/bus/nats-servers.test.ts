import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { parseNatsServers } from '../../src/bus/nats-servers.js';

describe('the address of a bus', () => {
  it('may be short, long, encrypted, with credentials, or several', () => {
    expect(parseNatsServers('localhost')).to.deep.equal({ addresses: ['localhost:4222'], tls: false });
    expect(parseNatsServers('nats://10.0.0.1:5000')).to.deep.equal({ addresses: ['10.0.0.1:5000'], tls: false });
    expect(parseNatsServers('nats://[::1]:5000').addresses).to.deep.equal(['[::1]:5000']);
    expect(parseNatsServers('tls://bus.example:1')).to.deep.equal({ addresses: ['bus.example:1'], tls: true });
    expect(parseNatsServers('nats://ann:p%40ss@h')).to.deep.include({ user: 'ann', pass: 'p@ss' });
    expect(parseNatsServers('nats://t0ken@h')).to.deep.equal({ addresses: ['h:4222'], tls: false, token: 't0ken' });
    const two = { addresses: ['a:4222', 'b:9'], tls: false };
    expect(parseNatsServers('nats://a, b:9')).to.deep.equal(two);
    expect(parseNatsServers(['a', 'nats://b:9'])).to.deep.equal(two);
  });

  it('is refused with a remedy and without its secret', () => {
    for (const text of ['', ' , ', 'http://h', 'nats://', 'nats://ann:secret@h:port', 'nats://ann:secret@']) {
      expect(() => parseNatsServers(text), text)
        .to.throw(LlamaestroError)
        .that.satisfies((error: LlamaestroError) => {
          return error.code === 'invalid_request' && !error.message.includes('secret');
        });
    }
  });
});
