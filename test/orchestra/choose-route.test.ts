import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { chooseRoute, routableNames } from '../../src/orchestra/choose-route.js';
import type { Classification } from '../../src/orchestra/classifier.js';
import type { Profile } from '../../src/schema/profile.js';
import { modelSpec, profileOf } from '../support/profiles.js';

const judged: Classification = { kind: 'code', complexity: 'moderate', confidence: 0.7, reason: 'a code block' };
const general = modelSpec('general');
const coder = modelSpec('coder', { aliases: ['code-model'] });
const gone = modelSpec('gone', { available: false });

function refusal(run: () => unknown): LlamaestroError {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof LlamaestroError) return thrown;
  }
  throw new Error('it was not refused');
}

describe('orchestra/choose-route', () => {
  const profile = profileOf([general, coder, gone], {
    routes: [
      { kind: 'code', complexity: 'complex', model: 'general' },
      { kind: 'code', model: 'gone' },
      { kind: 'code', model: 'coder' },
    ],
  });

  it('takes a named model as named, by name or alias', () => {
    expect(chooseRoute(profile, 'code-model', judged).route).to.include({
      model: 'coder',
      source: 'explicit',
      confidence: 1,
    });
  });

  it('takes the first route that holds and whose file is there', () => {
    expect(chooseRoute(profile, 'auto', judged).route).to.include({ model: 'coder', source: 'rules', confidence: 0.7 });
  });

  it('says what is missing when neither a route nor the default can serve', () => {
    const without = profileOf([gone], { defaultModel: 'gone', fallbacks: { gone: ['nobody'] } });
    expect(refusal(() => chooseRoute(without, 'auto', judged)).code).to.equal('model_unusable');
  });

  it('holds a route to what it says of complexity', () => {
    const routes = [
      { complexity: 'simple', model: 'coder' },
      { complexity: 'moderate', model: 'general' },
    ] as const;
    expect(chooseRoute({ ...profile, routes }, 'auto', judged).route).to.include({ model: 'general', source: 'rules' });
  });

  it('takes the default where no route holds', () => {
    expect(chooseRoute(profile, 'auto', { ...judged, kind: 'chat' }).route).to.include({
      model: 'general',
      source: 'default',
      reason: 'no route matched',
    });
    expect(chooseRoute(profile, 'auto', { ...judged, kind: 'chat' }).specs.map(({ name }) => name)).to.deep.equal([
      'general',
    ]);
  });

  it('names those that stand in for a routed model, as far as their files are there', () => {
    const fallbacks = { coder: ['gone', 'general'], gone: ['general'] };
    const names = (requested: string, routes: Profile['routes']): readonly string[] =>
      chooseRoute({ ...profile, fallbacks, routes }, requested, judged).specs.map(({ name }) => name);
    expect(names('auto', [{ model: 'coder' }])).to.deep.equal(['coder', 'general']);
    expect(names('coder', []), 'a request that names a model gets no other').to.deep.equal(['coder']);
    expect(chooseRoute({ ...profile, fallbacks, routes: [{ model: 'gone' }] }, 'auto', judged).route).to.include({
      model: 'general',
      source: 'fallback',
      reason: "instead of 'gone': its file is missing",
    });
  });

  it('lists the names when a model is unknown', () => {
    const error = refusal(() => chooseRoute(profile, 'nobody', judged));
    expect(error.code).to.equal('model_not_found');
    expect(error.message).to.equal("profile 'test' has no model 'nobody'");
    expect(error.param).to.equal('model');
    expect(error.remedy).to.equal('Use one of: auto, general, coder, code-model, gone.');
    expect(routableNames(profile)).to.deep.equal(['auto', 'general', 'coder', 'code-model', 'gone']);
    expect(error.details?.['models']).to.deep.equal(routableNames(profile));
  });

  it('says which file is missing', () => {
    const error = refusal(() => chooseRoute(profile, 'gone', judged));
    expect(error.code).to.equal('model_unusable');
    expect(error.message).to.contain('/models/gone.gguf');
    expect(error).to.include({ param: 'model', remedy: 'Put the file there, or choose another model.' });
    const parts = modelSpec('parts', { available: false, missing: ['/models/draft.gguf'] });
    const refused = refusal(() => chooseRoute(profileOf([parts]), 'parts', judged));
    expect(refused.message).to.contain('/models/draft.gguf');
  });
});
