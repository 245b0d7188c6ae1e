import { expect } from 'chai';
import { checkProfile } from '../../src/profile/profile-check.js';
import { configHashOf } from '../../src/profile/model-spec.js';
import { resolveProfile } from '../../src/profile/profile-resolver.js';
import type { Profile } from '../../src/schema/profile.js';
import type { ModelFacts } from '../../src/store/model-facts.js';
import { damagedFacts, goodFacts, missingFacts } from './facts.js';

function resolved(data: Record<string, unknown>, facts: Record<string, ModelFacts> = {}): Profile {
  const { file, problems } = checkProfile({
    version: 1,
    name: 'test',
    models: { fast: { file: 'fast.gguf' } },
    flow: { default: 'fast' },
    ...data,
  });
  if (file === undefined) throw new Error(JSON.stringify(problems));
  const known = new Map(Object.entries({ 'fast.gguf': goodFacts('/m/fast.gguf'), ...facts }));
  return resolveProfile({ file, origin: '/p/test.yaml', facts: known });
}

function fastProfile(fields: Record<string, unknown>): Profile {
  return resolved({ models: { fast: { file: 'fast.gguf', ...fields } } });
}

function fast(fields: Record<string, unknown>, facts?: ModelFacts): Profile['models'][number] {
  const models = { fast: { file: 'fast.gguf', ...fields } };
  const [model] = resolved({ models }, facts === undefined ? {} : { 'fast.gguf': facts }).models;
  return model!;
}

describe('resolving a profile', () => {
  it('fills in what is not said', () => {
    const { models, ...profile } = resolved({});
    expect(profile).to.deep.equal({
      name: 'test',
      description: '',
      origin: '/p/test.yaml',
      router: undefined,
      defaultModel: 'fast',
      rules: [],
      routes: [],
      fallbacks: {},
      timeouts: { queueMs: 30_000, requestMs: 600_000, loadMs: 120_000, ackMs: 5000, tokenMs: 60_000 },
      retries: 2,
      budgets: {},
      headrooms: {},
      switching: { policy: 'wait', drainMs: 30_000 },
      reload: 'manual',
      files: [],
      warnings: [],
    });
    const { configHash, ...model } = models[0]!;
    expect(configHash).to.match(/^[0-9a-f]{64}$/);
    expect(model).to.deep.equal({
      name: 'fast',
      role: 'general',
      aliases: [],
      description: '',
      capabilities: [],
      load: { file: '/m/fast.gguf', purpose: 'generate', contextTokens: 4096, slots: 1 },
      sampling: {},
      forced: { sampling: {} },
      stripped: [],
      chat: {},
      lora: [],
      missing: [],
      residency: 'on-demand',
      pinned: false,
      ttlMs: 300_000,
      priority: 5,
      available: true,
    });
  });

  it('takes over everything that is said', () => {
    const model = fast({
      role: 'coder',
      aliases: ['code'],
      description: 'd',
      capabilities: ['text'],
      context: 8192,
      slots: 4,
      gpu_layers: 'auto',
      kv_type: { k: 'q8_0' },
      context_per_slot: 4096,
      devices: ['cuda0', 'cuda1'],
      split_mode: 'none',
      main_device: 'cuda1',
      tensor_split: [1, 2],
      cpu_moe_layers: 3,
      tensor_overrides: [{ pattern: 'exps', device: 'cuda0' }],
      chunk_tokens: 64,
      prefix_cache: '1GiB',
      kv_layout: 'unified',
      flash_attention: 'on',
      threads: 2,
      mmap: true,
      residency: 'resident',
      pin: true,
      ttl: '90s',
      priority: 9,
      sampling: { temperature: 0, top_k: 1, top_p: 0.5, min_p: 0 },
      force: { temperature: 0.5, max_tokens: 7, stop: ['x'] },
      strip: ['top_k', 'ignore_eos'],
      chat: { thinking: false, arguments: { style: 'short' } },
      source: { repo: 'a/b', bytes: '1GiB' },
    });
    const { configHash, ...rest } = model;
    expect(configHash).to.have.length(64);
    expect(rest).to.deep.equal({
      name: 'fast',
      role: 'coder',
      aliases: ['code'],
      description: 'd',
      capabilities: ['text'],
      load: {
        file: '/m/fast.gguf',
        purpose: 'generate',
        contextTokens: 8192,
        slots: 4,
        gpuLayers: 'auto',
        contextTokensPerSlot: 4096,
        kvTypeK: 'q8_0',
        flashAttention: 'on',
        kvLayout: 'unified',
        devices: ['cuda0', 'cuda1'],
        splitMode: 'none',
        mainDevice: 'cuda1',
        tensorSplit: [1, 2],
        cpuMoeLayers: 3,
        tensorOverrides: [{ pattern: 'exps', device: 'cuda0' }],
        chunkTokens: 64,
        prefixCacheBytes: 2 ** 30,
        threads: 2,
        mmap: true,
      },
      sampling: { temperature: 0, topK: 1, topP: 0.5, minP: 0 },
      residency: 'resident',
      pinned: true,
      ttlMs: 90_000,
      priority: 9,
      forced: { sampling: { temperature: 0.5 }, maxTokens: 7, stop: ['x'] },
      stripped: ['topK', 'ignoreEos'],
      chat: { thinking: false, templateArguments: { style: 'short' } },
      lora: [],
      missing: [],
      source: { repo: 'a/b', bytes: 2 ** 30 },
      available: true,
    });
  });

  it('merges the defaults into every model', () => {
    const profile = resolved({
      defaults: { slots: 2, ttl: '1m', sampling: { temperature: 0 } },
      models: { fast: { file: 'fast.gguf' }, slow: { file: 'fast.gguf', slots: 8, sampling: { top_k: 3 } } },
    });
    expect(profile.models.map(({ load, ttlMs, sampling }) => [load.slots, ttlMs, sampling])).to.deep.equal([
      [2, 60_000, { temperature: 0 }],
      [8, 60_000, { temperature: 0, topK: 3 }],
    ]);
  });

  it('converts budgets and timeouts', () => {
    const profile = resolved({
      budgets: { cpu: '2GiB', cuda0: { limit: '500MB', headroom: '1GiB' }, cuda1: { headroom: '0B' } },
      flow: { default: 'fast', retries: 0, timeouts: { queue: '1.5s', token: '2m', ack: '250ms' } },
    });
    expect(profile.budgets).to.deep.equal({ cpu: 2 ** 31, cuda0: 5e8 });
    expect(profile.headrooms).to.deep.equal({ cuda0: 2 ** 30, cuda1: 0 });
    expect(profile.timeouts).to.include({ queueMs: 1500, tokenMs: 120_000, ackMs: 250, requestMs: 600_000 });
    expect(profile.retries).to.equal(0);
  });

  it('settles aliases to names wherever the flow uses them', () => {
    const profile = resolved({
      models: { fast: { file: 'fast.gguf', aliases: ['quick'] }, slow: { file: 'fast.gguf', aliases: ['deep'] } },
      flow: {
        default: 'quick',
        router: 'deep',
        routes: [{ when: { kind: 'code', complexity: 'simple' }, model: 'deep' }],
        fallback: { deep: ['quick'] },
      },
    });
    expect(profile).to.include({ defaultModel: 'fast', router: 'slow' });
    expect(profile.routes).to.deep.equal([{ model: 'slow', kind: 'code', complexity: 'simple' }]);
    expect(profile.fallbacks).to.deep.equal({ slow: ['fast'] });
  });

  it('gives no slot more context by default than the model was trained for', () => {
    expect(fast({ slots: 3 }, goodFacts('/m', { contextLength: 512 })).load.contextTokens).to.equal(1536);
    expect(fast({ slots: 3 }, goodFacts('/m', { contextLength: undefined })).load.contextTokens).to.equal(12_288);
    expect(fast({ slots: 3 }, missingFacts('/m')).load.contextTokens).to.equal(12_288);
  });

  it('lists a missing file as unavailable and warns where it was expected', () => {
    const profile = resolved({}, { 'fast.gguf': missingFacts('/home/models/fast.gguf') });
    expect(profile.models[0]).to.include({ available: false });
    expect(profile.models[0]?.load.file).to.equal('/home/models/fast.gguf');
    expect(profile.warnings).to.deep.equal(["model 'fast': there is no file /home/models/fast.gguf"]);
  });

  it('loads adapters with the model, and lets every request use them', () => {
    const lora = [
      { name: 'tone', file: 'tone.gguf' },
      { name: 'facts', file: 'facts.gguf', scale: -0.5 },
    ];
    const files = { 'tone.gguf': goodFacts('/m/tone.gguf'), 'facts.gguf': missingFacts('/m/facts.gguf') };
    const profile = resolved({ models: { fast: { file: 'fast.gguf', lora } } }, files);
    const [model] = profile.models;
    expect(model?.load.adapters).to.deep.equal([
      { name: 'tone', file: '/m/tone.gguf' },
      { name: 'facts', file: '/m/facts.gguf' },
    ]);
    expect(model).to.deep.include({
      lora: [
        { name: 'tone', scale: 1 },
        { name: 'facts', scale: -0.5 },
      ],
      missing: ['/m/facts.gguf'],
      available: false,
    });
    expect(profile.warnings).to.deep.equal(["model 'fast': there is no file /m/facts.gguf"]);
    const changed = { ...files, 'tone.gguf': goodFacts('/m/tone.gguf', {}, { mtimeMs: 7 }) };
    const [other] = resolved({ models: { fast: { file: 'fast.gguf', lora } } }, changed).models;
    expect(other?.configHash).to.not.equal(model?.configHash);
  });

  it('expects a model without a file where its source says', () => {
    const models = { fast: { source: { repo: 'org/name', file: 'x.gguf' } } };
    const profile = resolved({ models }, { 'org/name/x.gguf': missingFacts('/m/org/name/x.gguf') });
    expect(profile.models[0]?.load.file).to.equal('/m/org/name/x.gguf');
  });

  it('warns of a file of another size, and of settings without an effect', () => {
    const other = fastProfile({ source: { bytes: '1000B' } });
    expect(other.warnings).to.deep.equal(["model 'fast': the file has 2000 bytes, its source says 1000"]);
    expect(fastProfile({ source: { bytes: '2000B' } }).warnings).to.deep.equal([]);
    expect(fastProfile({ residency: 'resident', ttl: '1s' }).warnings.join()).to.contain('ttl has no effect');
    expect(fastProfile({ pin: true, ttl: '1s' }).warnings.join()).to.contain('ttl has no effect');
    const mute = { 'fast.gguf': goodFacts('/m', { hasChatTemplate: false }) };
    const chat = resolved({ models: { fast: { file: 'fast.gguf', chat: { thinking: true } } } }, mute);
    expect(chat.warnings.join()).to.contain('no chat template');
  });

  it('says that a router model is not asked yet', () => {
    expect(resolved({ flow: { default: 'fast', router: 'fast' } }).warnings.join()).to.contain(
      'flow.router: rules alone',
    );
  });

  it('reads rules in any case', () => {
    const rules = [{ contains: ['SQL'], longer_than: 5, shorter_than: 9, kind: 'code', complexity: 'simple' }];
    expect(resolved({ flow: { default: 'fast', rules } }).rules).to.deep.equal([
      { contains: ['sql'], longerThan: 5, shorterThan: 9, kind: 'code', complexity: 'simple' },
    ]);
  });

  it('warns of a damaged file, a context too long, a model without text, and dead routes', () => {
    const damaged = resolved({}, { 'fast.gguf': damagedFacts('/m/fast.gguf') });
    expect(damaged.warnings).to.deep.equal(["model 'fast': /m/fast.gguf: the file is cut off"]);
    const long = resolved(
      { models: { fast: { file: 'fast.gguf', context: 4096, slots: 2 } } },
      { 'fast.gguf': goodFacts('/m', { contextLength: 1024 }) },
    );
    expect(long.warnings).to.deep.equal(["model 'fast': 2048 tokens per slot, but it was trained for 1024"]);
    const encoder = resolved({}, { 'fast.gguf': goodFacts('/m', { purpose: 'embed', architecture: 'bert' }) });
    expect(encoder.warnings.join()).to.contain('vectors or scores (bert)');
    const dead = resolved({ flow: { default: 'fast', routes: [{ model: 'fast' }, { model: 'fast' }] } });
    expect(dead.warnings).to.deep.equal(['routes after number 1 are never reached, since that one has no condition']);
  });
});

describe('the configuration hash', () => {
  const same = (a: Record<string, unknown>, b: Record<string, unknown>, facts?: ModelFacts): boolean =>
    fast(a).configHash === fast(b, facts).configHash;

  it('is equal for what the same process can serve', () => {
    expect(same({ slots: 2, context: 4096 }, { context: 4096, slots: 2 })).to.equal(true);
    const differing = { description: 'x', ttl: '1s', pin: true, role: 'coder', aliases: ['y'], sampling: { top_k: 1 } };
    expect(same({}, differing)).to.equal(true);
  });

  it('differs with every option of the load and with the file', () => {
    for (const fields of [
      { slots: 2 },
      { context: 64 },
      { threads: 3 },
      { kv_type: 'f32' },
      { mmap: true },
      { gpu_layers: 0 },
    ]) {
      expect(same({}, fields), JSON.stringify(fields)).to.equal(false);
    }
    for (const facts of [
      goodFacts('/m/fast.gguf', {}, { mtimeMs: 1001 }),
      goodFacts('/m/fast.gguf', {}, { bytes: 2001 }),
      goodFacts('/m/other.gguf'),
      missingFacts('/m/fast.gguf'),
    ]) {
      expect(same({}, {}, facts), JSON.stringify(facts)).to.equal(false);
    }
  });

  it('does not depend on the order of the options', () => {
    const facts = goodFacts('/m');
    const load = { file: '/m', purpose: 'generate', slots: 2, threads: 1 } as const;
    const { threads, slots, purpose, file } = load;
    expect(configHashOf({ threads, slots, purpose, file }, facts)).to.equal(configHashOf(load, facts));
  });
});
