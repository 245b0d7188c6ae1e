/** Runs whose profile changes under them: nothing is lost while no token was delivered, and nothing is answered twice. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { modelSpec, profileOf } from '../support/profiles.js';
import { play, types } from './play.js';
import { delta, FINAL, PROFILE, STARTED } from './stage.js';

const gone = new LlamaestroError('profile_switching', "model 'general' leaves: the profile is being switched");

describe('orchestra: a switch of profiles under a run', () => {
  it('asks the model of that name under the profile that is served by then, as often as it takes', async () => {
    const world = await play({ model: 'general' }, undefined, profileOf(PROFILE.models, { name: 'old', retries: 0 }));
    const next = profileOf([modelSpec('general', { lora: [{ name: 'new', scale: 1 }] })], { name: 'next' });
    for (let times = 0; times < 4; times++) {
      world.pool.lastLease.lose(gone);
      if (times === 2) world.switchTo(next);
      await world.clock.run(50);
    }
    world.host.say([STARTED, delta(0, 'ok'), FINAL]);
    await world.clock.run(20);
    expect(world.result()).to.include({ status: 'completed', profile: 'next', text: 'ok' });
    expect(world.host.gens.at(-1)).to.deep.include({ att: 5, lora: [{ name: 'new', scale: 1 }] });
    expect(types(world.events).filter((type) => type === 'routed')).to.have.length(5);
  });

  it('lets the new profile choose where the request leaves it open', async () => {
    const world = await play();
    world.switchTo(profileOf([modelSpec('tiny')]));
    world.pool.lastLease.lose(gone);
    await world.clock.run(50);
    expect(world.pool.lastAsk.request.model).to.equal('tiny');
    world.host.say([STARTED, FINAL]);
    await world.clock.run(20);
    expect(world.result().route).to.include({ model: 'tiny', source: 'default' });
  });

  it('goes past a model of the new profile that cannot take the request', async () => {
    const world = await play();
    const models = [modelSpec('full', { available: false, missing: ['x'] }), modelSpec('vectors'), modelSpec('good')];
    models[1] = modelSpec('vectors', { load: { ...models[1]!.load, purpose: 'embed' } });
    world.switchTo(profileOf(models, { defaultModel: 'full', fallbacks: { full: ['good'] } }));
    world.pool.lastLease.lose(gone);
    await world.clock.run(50);
    expect(world.pool.lastAsk.request.model).to.equal('good');
  });

  it('tells what the new profile says against a name that it does not have', async () => {
    const world = await play({ model: 'general' });
    world.switchTo(profileOf([modelSpec('tiny')]));
    world.pool.lastLease.lose(gone);
    await world.clock.run(50);
    expect(world.result()).to.include({ status: 'failed' });
    expect(world.result().error).to.include({ code: 'model_not_found', remedy: 'Use one of: auto, tiny.' });
  });

  it('takes a name that the pool does not know any more as a sign of it', async () => {
    const world = await play({ model: 'coder' }, ({ pool }) => (pool.hid = undefined));
    world.switchTo(profileOf([modelSpec('coder'), modelSpec('general')], { name: 'next' }));
    world.pool.lastAsk.refuse(new LlamaestroError('model_not_found', 'who?'));
    await world.clock.run(50);
    world.pool.lastAsk.grant('hid_a');
    await world.clock.run(20);
    world.host.say([STARTED, FINAL]);
    await world.clock.run(20);
    expect(world.result()).to.include({ status: 'completed', profile: 'next' });
  });

  const lora = (name: string): { lora: readonly { name: string; scale: number }[] } => ({ lora: [{ name, scale: 1 }] });

  it('is shaped for the model as it is by then when its lease comes from the other profile', async () => {
    const old = profileOf([modelSpec('general', lora('old'))], { name: 'old' });
    const world = await play({ model: 'general', maxTokens: 50 }, ({ pool }) => (pool.hid = undefined), old);
    world.pool.counted = () => Promise.resolve({ tokens: 3, contextTokensPerSlot: 20 });
    world.pool.refuses = new LlamaestroError('queue_full', 'only for those who have no lease');
    world.switchTo(profileOf([modelSpec('general', lora('new'))], { name: 'next' }));
    const lease = world.pool.lastAsk.grant('hid_a');
    await world.clock.run(20);
    expect(world.host.gens).to.have.length(1);
    expect(world.host.gens[0]).to.deep.include({ att: 1, maxTokens: 17, ...lora('new') });
    world.host.say([STARTED, FINAL]);
    await world.clock.run(20);
    expect(world.result()).to.include({ status: 'completed', profile: 'next' });
    expect([world.pool.asks.length, lease.releases]).to.deep.equal([1, 1]);
  });

  it('gives such a lease back and is routed anew when the model cannot take it any more', async () => {
    const world = await play({}, ({ pool }) => (pool.hid = undefined));
    world.switchTo(profileOf([modelSpec('tiny')], { name: 'next' }));
    const lease = world.pool.lastAsk.grant('hid_a');
    await world.clock.run(20);
    expect([lease.releases, world.host.gens.length]).to.deep.equal([1, 0]);
    expect(world.pool.lastAsk.request.model).to.equal('tiny');
    world.pool.lastAsk.grant('hid_a');
    await world.clock.run(20);
    world.host.say([STARTED, FINAL]);
    await world.clock.run(20);
    expect(world.result()).to.include({ status: 'completed', profile: 'next' });
  });

  it('ends with the error when tokens were delivered', async () => {
    const world = await play();
    world.host.say([STARTED, delta(0, 'Hel')]);
    await world.clock.run(20);
    world.pool.lastLease.lose(gone);
    await world.clock.run(50);
    expect(world.result()).to.include({ status: 'failed', text: 'Hel' });
    expect(world.result().error).to.include({ code: 'profile_switching' });
    expect(world.host.gens).to.have.length(1);
  });

  it('leaves no timer behind when the client cancels in the middle of it', async () => {
    const world = await play({ model: 'general' }, ({ pool }) => (pool.hid = undefined));
    world.pool.lastAsk.refuse(gone);
    await world.clock.run(20);
    world.run.cancel('enough');
    await world.clock.run(20);
    expect(world.result().status).to.equal('cancelled');
    await world.strike();
    expect(world.clock.pendingTimers).to.equal(0);
  });
});
