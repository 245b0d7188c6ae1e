/** Models that share a process, as profiles write it: what goes together and what is refused, at which place. */
import { expect } from 'chai';
import { checkProfile } from '../../src/profile/profile-check.js';
import { MAX_HOST_MODELS } from '../../src/profile/profile-defaults.js';

type Fields = Record<string, unknown>;

function problemsOf(models: Record<string, Fields>, defaults: Fields = {}): string[] {
  const files = Object.entries(models).map(([name, fields]) => [name, { file: `${name}.gguf`, ...fields }]);
  const flow = { default: Object.keys(models)[0] };
  const data = { version: 1, name: 'test', models: Object.fromEntries(files) as unknown, flow, defaults };
  return checkProfile(data).problems.map(({ path, message, remedy }) => `${path}: ${message}. ${remedy}`);
}

describe('checking host groups', () => {
  const host = 'small';

  it('passes models that go together, whatever only concerns one of them', () => {
    const models = {
      a: { host, ttl: '1m', priority: 9, slots: 4, gpu_layers: 2, devices: ['cuda0'] },
      b: { host, role: 'embedder', pin: true, gpu_layers: 9, devices: ['cuda0'] },
      c: { host: 'other', residency: 'resident' },
      d: { residency: 'resident', gpu_layers: 0 },
    };
    expect(problemsOf(models)).to.deep.equal([]);
  });

  const wrong: Record<string, readonly [Record<string, Fields>, string]> = {
    'one that stays with one that leaves': [
      { a: { host }, b: { host, residency: 'resident' } },
      "models.b.residency: 'b' is resident and 'a' on-demand, but they share the host 'small'. Models of one host come",
    ],
    'one that leaves with one that stays': [
      { a: { host, residency: 'resident' }, b: { host } },
      "models.b.host: 'b' is on-demand and 'a' resident",
    ],
    'a pin that is both wanted and not': [
      { a: { host, pin: true }, b: { host, pin: false } },
      "models.b.pin: one of 'a' and 'b' is pinned and one is not, but they share the host 'small'. The pin of one model",
    ],
    'models for different devices': [
      { a: { host, devices: ['cuda0'] }, b: { host, devices: ['cuda1'] } },
      "models.b.devices: 'b' is for cuda1 and 'a' for cuda0, but they share the host 'small'. Give both the same devices",
    ],
    'a model on the CPU with one on a GPU': [
      { a: { host, devices: ['cuda0'] }, b: { host, gpu_layers: 0 } },
      "models.b.gpu_layers: 'b' is for the CPU and 'a' for cuda0",
    ],
    'too many': [
      Object.fromEntries(Array.from({ length: MAX_HOST_MODELS + 1 }, (_, at) => [`m${at}`, { host }])),
      `models.m${MAX_HOST_MODELS}.host: ${MAX_HOST_MODELS + 1} models on the host 'small' are more than ${MAX_HOST_MODELS}`,
    ],
    'a host with a blank in its name': [{ a: { host: 'my host' } }, 'models.a.host: must be a name of 1 to 64 letters'],
  };
  for (const [name, [models, expected]] of Object.entries(wrong)) {
    it(`refuses ${name}`, () => {
      const problems = problemsOf(models);
      expect(problems).to.have.length(1);
      expect(problems[0]).to.contain(expected);
    });
  }

  it('compares with the defaults in', () => {
    expect(problemsOf({ a: { host }, b: { host, residency: 'resident' } }, { residency: 'resident' })).to.deep.equal(
      [],
    );
  });

  it('takes no host for all models at once', () => {
    const [problem] = problemsOf({ a: {} }, { host });
    expect(problem).to.contain("defaults.host: 'host' belongs to one model, not to the defaults");
  });
});
