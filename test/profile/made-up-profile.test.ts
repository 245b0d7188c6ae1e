import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { madeUpProfile, nameOfFile } from '../../src/profile/made-up-profile.js';
import { findModel } from '../../src/schema/profile.js';
import { damagedFacts, goodFacts, missingFacts } from './facts.js';

function failureOf(make: () => unknown): LlamaestroError {
  try {
    make();
  } catch (error) {
    if (error instanceof LlamaestroError) return error;
  }
  throw new Error('it did not fail');
}

describe('a profile made up for one file', () => {
  it('names the model after the file', () => {
    const names = {
      '/m/Qwen3-0.6B-Q8_0.gguf': 'Qwen3-0.6B-Q8_0',
      '/m/my model (v2).GGUF': 'my-model-v2-',
      '/m/.hidden.gguf': 'hidden',
      '/m/auto.gguf': 'auto-model',
      '/m/模型.gguf': 'model',
      '/m/big-00001-of-00003.gguf': 'big',
      'C:\\models\\x.gguf': 'x',
      '/m/noextension': 'noextension',
    };
    expect(Object.keys(names).map(nameOfFile)).to.deep.equal(Object.values(names));
    expect(nameOfFile(`/m/${'x'.repeat(200)}.gguf`)).to.have.length(64);
  });

  it('answers to its name, to default and to nothing else', () => {
    const profile = madeUpProfile(goodFacts('/m/tiny.gguf'));
    expect(profile.name).to.equal('tiny');
    expect(profile.origin).to.equal('made up for /m/tiny.gguf');
    expect(findModel(profile, 'default')?.name).to.equal('tiny');
    expect(findModel(profile, profile.defaultModel)?.name).to.equal('tiny');
    expect(profile.models).to.have.length(1);
    expect(profile.models[0]).to.include({ residency: 'resident', available: true });
  });

  it('spreads the context over the slots', () => {
    const { load } = madeUpProfile(goodFacts('/m/tiny.gguf'), { contextTokens: 8192, slots: 4 }).models[0]!;
    expect(load).to.include({ contextTokens: 8192, slots: 4, file: '/m/tiny.gguf' });
    expect(madeUpProfile(goodFacts('/m/tiny.gguf')).models[0]?.load).to.include({ contextTokens: 4096, slots: 1 });
  });

  it('needs no second name for a file called default', () => {
    expect(madeUpProfile(goodFacts('/m/default.gguf')).models[0]).to.deep.include({ name: 'default', aliases: [] });
  });

  it('refuses a file that is missing, damaged or makes no text', () => {
    const refused = [missingFacts('/m/x'), damagedFacts('/m/x'), goodFacts('/m/x', { purpose: 'embed' })];
    for (const facts of refused) {
      const error = failureOf(() => madeUpProfile(facts));
      expect(error.code).to.equal('model_unusable');
      expect(error.message).to.contain('/m/x');
    }
  });

  it('refuses numbers that do not work', () => {
    for (const options of [{ contextTokens: 0 }, { slots: 1000 }, { contextTokens: 64, slots: 64 }]) {
      expect(failureOf(() => madeUpProfile(goodFacts('/m/x.gguf'), options)).code).to.equal('profile_invalid');
    }
  });
});
