/** The two models of the demo profile that make no text, asked through the pool and their hosts' own verbs. */
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { silentLogger } from '../../src/base/log.js';
import { startGateway, type Gateway } from '../../src/gateway.js';
import { readGatewayConfig } from '../../src/schema/config.js';
import { dispose, makeHome } from '../support/gateway.js';
import { demoModels } from '../support/models.js';

describe('e2e: embedder and reranker', function () {
  this.timeout(60_000);
  let gateway: Gateway;
  const never = new AbortController().signal;

  before(async () => {
    const home = await makeHome();
    symlinkSync(await demoModels(), join(home, 'models'));
    const config = readGatewayConfig({ LLAMAESTRO_HOME: home, LLAMAESTRO_PORT: '0', LLAMAESTRO_LOG_LEVEL: 'silent' });
    gateway = await startGateway(config, { profile: 'demo' }, 'test', silentLogger);
  });
  after(async () => {
    await gateway.stop();
    await dispose();
  });

  it('give one vector of length one per input, nearer for what is alike', async () => {
    const [cat, kitten, tax] = await gateway.pool.embed(
      'embedder',
      ['the cat sat', 'the cat sat down', 'annual tax return form'],
      never,
    );
    const dot = (a: readonly number[] = [], b: readonly number[] = []): number =>
      a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);
    expect(cat?.length).to.be.greaterThan(16);
    expect(dot(cat, cat)).to.be.closeTo(1, 1e-3);
    expect(dot(cat, kitten)).to.be.greaterThan(dot(cat, tax));
  });

  it('score documents by what they share with the query', async () => {
    const scores = await gateway.pool.rerank(
      'reranker',
      'how to bake bread',
      ['bake bread with flour', 'engine oil'],
      never,
    );
    expect(scores).to.have.lengthOf(2);
    expect(scores[0]).to.be.greaterThan(scores[1] ?? Infinity);
  });
});
