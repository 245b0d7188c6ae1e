import { expect } from 'chai';
import { checkProfile, purposeOf, withDefaults } from '../../src/profile/profile-check.js';
import { MAX_MODELS } from '../../src/profile/profile-defaults.js';

type Data = Record<string, unknown>;
const base = { version: 1, name: 'test', models: { fast: { file: 'f.gguf' } }, flow: { default: 'fast' } };
const withFast = (fields: Data): Data => ({ ...base, models: { fast: { file: 'f.gguf', ...fields } } });
const withModels = (models: Data): Data => ({ ...base, models: { ...base.models, ...models } });
const withFlow = (flow: Data): Data => ({ ...base, flow: { ...base.flow, ...flow } });

/** Every problem as 'path: message'. */
function problemsOf(data: unknown): string[] {
  return checkProfile(data).problems.map(({ path, message }) => `${path}: ${message}`);
}

describe('checking a profile', () => {
  it('passes a small one', () => {
    expect(checkProfile(base)).to.deep.equal({ file: base, problems: [] });
  });

  const NAME_RULE = 'must be a name of 1 to 64 letters, digits, dots, dashes and underscores';
  const wrong: Readonly<Record<string, readonly [unknown, string]>> = {
    'not a mapping': [['a'], ': must be a mapping with version, name, models and flow, got a list of 1'],
    'no version': [{ ...base, version: undefined }, 'version: must be 1, got nothing'],
    'another version': [{ ...base, version: 2 }, 'version: must be 1, got 2'],
    'no name': [{ ...base, name: undefined }, `name: ${NAME_RULE}, got nothing`],
    'a name with a blank': [{ ...base, name: 'my profile' }, `name: ${NAME_RULE}, got "my profile"`],
    'no flow': [{ ...base, flow: undefined }, 'flow: must be a mapping with default'],
    'no default': [{ ...base, flow: {} }, `flow.default: ${NAME_RULE}, got nothing`],
    'models in a list': [{ ...base, models: [] }, 'models: must be a mapping from names to models, got a list of 0'],
    'no models': [{ ...base, models: {} }, 'models: a profile needs at least one model'],
    'a model that is nothing': [
      { ...base, models: { fast: null } },
      'models.fast: must be a mapping with the settings of a model, got null',
    ],
    'an unknown key with a likely meaning': [
      withFast({ slot: 2 }),
      "models.fast.slot: unknown key 'slot': did you mean 'slots'?",
    ],
    'an unknown key without one': [
      withFlow({ zzz: 1 }),
      "flow.zzz: unknown key 'zzz': known here: default, router, routes, timeouts, retries",
    ],
    'an unknown key at the top': [{ ...base, budget: {} }, "budget: unknown key 'budget': did you mean 'budgets'?"],
    'an unknown key deep down': [
      withFast({ sampling: { temprature: 1 } }),
      "models.fast.sampling.temprature: unknown key 'temprature': did you mean 'temperature'?",
    ],
    'a text for a number': [
      withFast({ slots: '2' }),
      'models.fast.slots: must be a whole number from 1 to 256, got "2"',
    ],
    'a fraction for a count': [withFast({ slots: 1.5 }), 'models.fast.slots: must be a whole number'],
    'a number out of range': [withFast({ slots: 257 }), 'models.fast.slots: must be a whole number from 1 to 256'],
    'a word out of a choice': [withFast({ role: 'boss' }), 'models.fast.role: must be one of router, fast, general'],
    'gpu_layers of many': [
      withFast({ gpu_layers: 'all' }),
      "models.fast.gpu_layers: must be a whole number from 0 to 1024, or 'auto'",
    ],
    'a duration without a unit': [
      withFast({ ttl: 300 }),
      'models.fast.ttl: must be a duration such as 250ms, 30s, 5m or 1h, got 300',
    ],
    'a duration in days': [withFast({ ttl: '1d' }), 'models.fast.ttl: must be a duration'],
    'a duration too long': [withFast({ ttl: '200h' }), 'models.fast.ttl: 200h is longer than a week'],
    'a size without a unit': [{ ...base, budgets: { cpu: 4 } }, 'budgets.cpu: must be a size such as 512MiB'],
    'a budget for no device': [{ ...base, budgets: { gpu: '2GiB' } }, "budgets.gpu: 'gpu' is not a device"],
    'top_p of nothing': [withFast({ sampling: { top_p: 0 } }), 'models.fast.sampling.top_p: must be a number above 0'],
    'no file': [{ ...base, models: { fast: {} } }, "models.fast: the model needs 'file'"],
    'purpose vocab': [withFast({ purpose: 'vocab' }), 'models.fast.purpose: must be one of generate, embed, rerank'],
    'a role against its purpose': [
      withModels({ e: { file: 'e', role: 'embedder', purpose: 'generate' } }),
      'models.e.purpose: the role embedder needs purpose embed, not generate',
    ],
    'a context too small for its slots': [
      withFast({ context: 100, slots: 16 }),
      'models.fast.context: 100 tokens over 16 slots leave 6 each',
    ],
    'quantised KV without flash attention': [
      withFast({ kv_type: 'q8_0', flash_attention: 'off' }),
      'models.fast.kv_type: kv_type q8_0 needs flash attention',
    ],
    'a model called auto': [withModels({ auto: { file: 'a' } }), "models.auto: 'auto' cannot be a model's name"],
    'a model name with a slash': [withModels({ 'a/b': { file: 'a' } }), "models.a/b: 'a/b' is not a name for a model"],
    'a model name too long': [withModels({ ['x'.repeat(65)]: { file: 'a' } }), 'is not a name for a model'],
    'an alias called auto': [withFast({ aliases: ['auto'] }), "models.fast.aliases[0]: 'auto' cannot be an alias"],
    'an alias of itself': [
      withFast({ aliases: ['fast'] }),
      "models.fast.aliases[0]: 'fast' already means the model 'fast'",
    ],
    'an alias twice': [withFast({ aliases: ['a', 'a'] }), "models.fast.aliases[1]: 'a' already means the model 'fast'"],
    'an alias that is another model': [
      withModels({ slow: { file: 's', aliases: ['fast'] } }),
      "models.slow.aliases[0]: 'fast' already means the model 'fast'",
    ],
    'an alias two models share': [
      withModels({ slow: { file: 's', aliases: ['x'] }, big: { file: 'b', aliases: ['y', 'x'] } }),
      "models.big.aliases[1]: 'x' already means the model 'slow'",
    ],
    'a default that does not exist': [
      withFlow({ default: 'fats' }),
      "flow.default: there is no model 'fats': did you mean 'fast'?",
    ],
    'a router that does not exist': [
      withFlow({ router: 'judge' }),
      "flow.router: there is no model 'judge': the profile has fast",
    ],
    'a route to nowhere': [
      withFlow({ routes: [{ model: 'fast' }, { model: 'gone' }] }),
      "flow.routes[1].model: there is no model 'gone'",
    ],
    'a route to an embedder': [
      { ...withModels({ e: { file: 'e', role: 'embedder' } }), flow: { default: 'fast', routes: [{ model: 'e' }] } },
      "flow.routes[0].model: the model 'e' has purpose embed",
    ],
    'a condition that does not exist': [
      withFlow({ routes: [{ model: 'fast', when: { kind: 'poetry' } }] }),
      'flow.routes[0].when.kind: must be one of chat, code',
    ],
    'a timeout of nothing': [withFlow({ timeouts: { queue: '0s' } }), 'flow.timeouts.queue: a timeout must be longer'],
    'a timeout without end': [withFlow({ timeouts: { request: '999h' } }), 'flow.timeouts.request: 999h is longer'],
    'an unknown timeout': [
      withFlow({ timeouts: { queu: '1s' } }),
      "flow.timeouts.queu: unknown key 'queu': did you mean 'queue'?",
    ],
    'a default file': [{ ...base, defaults: { file: 'f' } }, "defaults.file: 'file' belongs to one model"],
    'too many models': [
      withModels(Object.fromEntries(Array.from({ length: MAX_MODELS }, (_, index) => [`m${index}`, { file: 'f' }]))),
      `models: ${MAX_MODELS + 1} models are more than ${MAX_MODELS}`,
    ],
  };
  for (const [name, [data, expected]] of Object.entries(wrong)) {
    it(`refuses ${name}`, () => {
      const problems = problemsOf(data);
      expect(
        problems.some((problem) => problem.includes(expected)),
        problems.join('\n'),
      ).to.equal(true);
    });
  }

  it('finds every problem, not only the first', () => {
    const data = { ...withFast({ slot: 1, context: 8, slots: 8 }), flow: { default: 'nobody', router: 'nobody' } };
    expect(problemsOf(data)).to.have.length(4);
  });

  it('blames the defaults of a model at the model', () => {
    const data = { ...base, defaults: { context: 64, slots: 32 } };
    expect(problemsOf(data)).to.deep.equal(['models.fast: 64 tokens over 32 slots leave 2 each; 32 is the least']);
  });

  it('lets default, router and routes use aliases', () => {
    const data = {
      ...withFast({ aliases: ['quick'] }),
      flow: { default: 'quick', router: 'quick', routes: [{ model: 'quick' }] },
    };
    expect(problemsOf(data)).to.deep.equal([]);
  });
});

describe('defaults of a profile', () => {
  it('give way to what a model says, sampling key by key', () => {
    const { file } = checkProfile({
      ...base,
      defaults: { slots: 4, ttl: '5m', sampling: { temperature: 0, top_k: 5 } },
    });
    const fields = withDefaults(file!, { file: 'f', slots: 2, sampling: { top_k: 9 } });
    expect(fields).to.deep.equal({ file: 'f', slots: 2, ttl: '5m', sampling: { temperature: 0, top_k: 9 } });
  });

  it('know the purpose from the role', () => {
    expect(purposeOf({})).to.equal('generate');
    expect(purposeOf({ role: 'coder' })).to.equal('generate');
    expect(purposeOf({ role: 'embedder' })).to.equal('embed');
    expect(purposeOf({ role: 'reranker' })).to.equal('rerank');
    expect(purposeOf({ purpose: 'embed' })).to.equal('embed');
  });
});
