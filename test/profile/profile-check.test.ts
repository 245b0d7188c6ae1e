import { expect } from 'chai';
import { purposeOf, withDefaults } from '../../src/profile/model-check.js';
import { checkProfile } from '../../src/profile/profile-check.js';
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
  const wrong: Record<string, readonly [unknown, string]> = {
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
      "flow.zzz: unknown key 'zzz': known here: default, router, rules, routes, fallback, timeouts, retries",
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
  Object.assign(wrong, {
    'a budget as a number': [{ ...base, budgets: { cpu: 4 } }, 'budgets.cpu: must be a size such as 512MiB'],
    'a budget with a stray key': [
      { ...base, budgets: { cpu: { limt: '1GiB' } } },
      "budgets.cpu.limt: unknown key 'limt': did you mean 'limit'?",
    ],
    'a KV type that does not exist': [withFast({ kv_type: 'q9' }), 'models.fast.kv_type: must be one of f32, f16'],
    'half a KV type that does not exist': [
      withFast({ kv_type: { k: 'f16', v: 'q9' } }),
      'models.fast.kv_type.v: must be one of f32, f16',
    ],
    'a quantised half without flash attention': [
      withFast({ kv_type: { v: 'q8_0' }, flash_attention: 'off' }),
      'models.fast.kv_type: kv_type q8_0 needs flash attention',
    ],
    'a draft model': [withFast({ draft: 'x' }), 'models.fast.draft: is not possible yet: speculative decoding'],
    'an adapter without a file': [
      withFast({ lora: [{ name: 'a' }] }),
      'models.fast.lora[0].file: must be a string of 1 to 4096',
    ],
    'two adapters of one name': [
      withFast({
        lora: [
          { name: 'a', file: 'a' },
          { name: 'a', file: 'b' },
        ],
      }),
      "models.fast.lora: two adapters are called 'a'",
    ],
    'an adapter that does nothing': [
      withFast({ lora: [{ name: 'a', file: 'a', scale: 0 }] }),
      "models.fast.lora: the adapter 'a' has no effect with a scale of 0",
    ],
    'a chat template': [withFast({ chat: { template: 'x' } }), 'models.fast.chat.template: is not possible yet'],
    'several steps': [withFlow({ steps: [] }), 'flow.steps: is not possible yet: version 1 takes one step'],
    'settings of a breaker': [withFlow({ breaker: {} }), 'flow.breaker: is not possible yet'],
    labels: [withFlow({ labels: ['a'] }), 'flow.labels: is not possible yet'],
    'a source without a file': [
      { ...base, models: { fast: { source: { repo: 'a/b' } } } },
      "models.fast: the model needs 'file'",
    ],
    'a checksum of another kind': [withFast({ source: { sha256: 'abc' } }), 'source.sha256: must be 64 hexadecimal'],
    'long sequences in a split layout': [
      withFast({ context: 4096, slots: 4, context_per_slot: 4096 }),
      'models.fast.context_per_slot: sequences of another length than context / slots need kv_layout unified',
    ],
    'sequences longer than everything': [
      withFast({ context: 4096, context_per_slot: 8192, kv_layout: 'unified' }),
      'models.fast.context_per_slot: one sequence cannot have 8192 tokens',
    ],
    'a main device that nothing asks for': [
      withFast({ main_device: 'cuda0' }),
      'models.fast.main_device: main_device alone has no effect',
    ],
    'a main device outside of the list': [
      withFast({ devices: ['cuda1'], split_mode: 'none', main_device: 'cuda0' }),
      "models.fast.main_device: 'cuda0' is not among the devices",
    ],
    'a device twice': [withFast({ devices: ['cuda0', 'cuda0'] }), 'models.fast.devices: a device is named twice'],
    'the CPU as a device': [withFast({ devices: ['cpu'] }), 'models.fast.devices: the CPU is always used'],
    'no share for anybody': [withFast({ tensor_split: [0, 0] }), 'models.fast.tensor_split: no device gets a share'],
    'shares for other devices': [
      withFast({ devices: ['cuda0'], tensor_split: [1, 2] }),
      'models.fast.tensor_split: 2 shares for 1 devices',
    ],
    'too many devices': [
      withFast({ devices: Array.from({ length: 17 }, (_, index) => `cuda${index}`) }),
      'models.fast.devices: has 17 items, of which there may be 16',
    ],
    'a split of a model on the CPU': [
      withFast({ gpu_layers: 0, split_mode: 'layer' }),
      'models.fast.split_mode: split_mode has no effect on a model that is on the CPU',
    ],
    'sampling of an embedder': [
      withModels({ e: { file: 'e', role: 'embedder', sampling: { seed: 1 } } }),
      'models.e.sampling: sampling has no effect on a model of purpose embed',
    ],
    'a parameter both forced and stripped': [
      withFast({ force: { seed: 1 }, strip: ['seed'] }),
      "models.fast.strip: 'seed' is both forced and stripped",
    ],
    'a parameter that does not exist': [withFast({ strip: ['topk'] }), 'models.fast.strip[0]: must be one of'],
    'a forced value out of range': [
      withFast({ force: { top_p: 0 } }),
      'models.fast.force.top_p: must be a number above 0',
    ],
    'a rule that says nothing': [withFlow({ rules: [{ contains: ['x'] }] }), 'flow.rules[0]: the rule says nothing'],
    'a rule for no text': [
      withFlow({ rules: [{ contains: [], kind: 'code' }] }),
      'flow.rules[0].contains: no task can hold one of no texts',
    ],
    'a rule for no length': [
      withFlow({ rules: [{ longer_than: 10, shorter_than: 11, kind: 'code' }] }),
      'flow.rules[0].shorter_than: no task is longer than 10 and shorter than 11',
    ],
    'a fallback from nobody': [
      withFlow({ fallback: { nobody: [] } }),
      "flow.fallback.nobody: there is no model 'nobody'",
    ],
    'a fallback to nobody': [withFlow({ fallback: { fast: ['nobody'] } }), 'flow.fallback.fast[0]: there is no model'],
    'a fallback to itself': [
      withFlow({ fallback: { fast: ['fast'] } }),
      "flow.fallback.fast[0]: 'fast' cannot stand in",
    ],
  } satisfies Record<string, readonly [unknown, string]>);
  for (const [name, [data, expected]] of Object.entries(wrong)) {
    it(`refuses ${name}`, () => {
      const problems = problemsOf(data);
      expect(
        problems.some((problem) => problem.includes(expected)),
        problems.join('\n'),
      ).to.equal(true);
    });
  }

  it('says how to mend each', () => {
    for (const [name, [data]] of Object.entries(wrong)) {
      const remedies = checkProfile(data).problems.map(({ remedy }) => remedy);
      expect(
        remedies.every((remedy) => /^[A-Z].*\.$/s.test(remedy)),
        `${name}: ${remedies.join(' | ')}`,
      ).to.equal(true);
    }
  });

  const units: readonly (readonly [Data, string])[] = [
    [{ ...base, budgets: { cpu: '22G' } }, 'Write 22GiB (or 22GB for powers of ten).'],
    [{ ...base, budgets: { cpu: '22gib' } }, 'Write 22GiB.'],
    [{ ...base, budgets: { cpu: 'much' } }, 'Write a size such as 512MiB, 24GiB or 2GB, or a mapping with limit'],
    [withFast({ ttl: 300 }), 'Write 300s.'],
    [withFast({ ttl: '5 min' }), 'Write 5m.'],
    [withFast({ ttl: '1d' }), 'Write a duration such as 250ms, 30s, 5m or 1h.'],
  ];
  for (const [data, expected] of units) {
    it(`knows the unit that was meant: ${expected}`, () => {
      expect(checkProfile(data).problems[0]?.remedy).to.contain(expected);
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
