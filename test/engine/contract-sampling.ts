/** The part of the engine contract about sampling options, log probabilities and constrained answers. */
import { expect } from 'chai';
import type { Engine, SequenceRequest, TokenLogprob } from '../../src/engine/engine.js';
import type { ContractSubject } from './contract.js';
import { expectError, runSequence, say } from './run-sequence.js';

const nested = (levels: number): Record<string, unknown> => {
  let schema: Record<string, unknown> = {};
  for (let level = 0; level < levels; level++) schema = { type: 'array', items: schema };
  return schema;
};
const circle: Record<string, unknown> = {};
circle['properties'] = circle;

const BAD_REQUESTS: readonly [string, Record<string, unknown>][] = [
  ['typicalP', { typicalP: 0 }],
  ['repeatPenalty', { repeatPenalty: 0 }],
  ['repeatLastN', { repeatLastN: 65537 }],
  ['frequencyPenalty', { frequencyPenalty: 11 }],
  ['presencePenalty', { presencePenalty: NaN }],
  ['dryMultiplier', { dryMultiplier: -1 }],
  ['dryBase', { dryBase: 0.9 }],
  ['dryAllowedLength', { dryAllowedLength: 1.5 }],
  ['dryPenaltyLastN', { dryPenaltyLastN: -1 }],
  ['drySequenceBreakers', { drySequenceBreakers: [''] }],
  ['drySequenceBreakers', { drySequenceBreakers: Array.from({ length: 17 }, () => 'x') }],
  ['xtcProbability', { xtcProbability: 1.1 }],
  ['xtcThreshold', { xtcThreshold: '0.1' }],
  ['mirostat', { mirostat: 3 }],
  ['mirostatTau', { mirostatTau: 101 }],
  ['mirostatEta', { mirostatEta: -0.1 }],
  ['dynatempRange', { dynatempRange: Infinity }],
  ['dynatempExponent', { dynatempExponent: -1 }],
  ['logitBias', { logitBias: { 1000000: 1 } }],
  ['logitBias', { logitBias: { '-1': 1 } }],
  ['logitBias', { logitBias: { 1: 101 } }],
  ['logitBias', { logitBias: { 1: undefined } }],
  ['logitBias', { logitBias: [1] }],
  ['logprobs', { logprobs: 21 }],
  ['grammar', { grammar: '' }],
  ['grammar', { grammar: 7 }],
  ['grammar', { grammar: `root ::= ${'('.repeat(65)}"a"${')'.repeat(65)}` }],
  ['grammar', { grammar: `root ::= "${'a'.repeat(65536)}"` }],
  ['grammar', { grammar: 'root ::= "a"', jsonSchema: {} }],
  ['jsonSchema', { jsonSchema: '{' }],
  ['jsonSchema', { jsonSchema: [] }],
  ['jsonSchema', { jsonSchema: circle }],
  ['jsonSchema', { jsonSchema: { title: 'x'.repeat(65536) } }],
];

export function samplingContract(subject: () => ContractSubject): void {
  let talk: Engine;
  let endless: Engine;

  before(async () => {
    const { driver, files } = subject();
    const shared = { purpose: 'generate', threads: 1, contextTokens: 1024 } as const;
    talk = await driver.load({ ...shared, file: files.talk });
    endless = await driver.load({ ...shared, file: files.endless });
  });

  after(() => Promise.all([talk.close(), endless.close()]));

  it('accepts every sampling option at once, and says the same again for the same seed', async () => {
    const request: SequenceRequest = {
      prompt: say('everything'),
      maxTokens: 24,
      ignoreEos: true,
      seed: 11,
      temperature: 1.2,
      typicalP: 0.9,
      repeatPenalty: 1.2,
      repeatLastN: 32,
      frequencyPenalty: 0.5,
      presencePenalty: -0.5,
      dryMultiplier: 0.8,
      dryBase: 2,
      dryAllowedLength: 1,
      dryPenaltyLastN: 128,
      drySequenceBreakers: ['\n', 'é'],
      xtcProbability: 0.5,
      xtcThreshold: 0.05,
      dynatempRange: 0.5,
      dynatempExponent: 1.5,
      logitBias: { 3: -100, 5: 1.5 },
    };
    const { ids } = await runSequence(endless, request);
    expect(ids).to.have.length(24);
    expect((await runSequence(endless, request)).ids).to.deep.equal(ids);
    for (const mirostat of [1, 2] as const) {
      const run = await runSequence(endless, { ...request, mirostat, mirostatTau: 4, mirostatEta: 0.2 });
      expect(run.ids).to.have.length(24);
    }
  });

  it('gives log probabilities that belong to the tokens and to the text', async () => {
    const { events, ids, text } = await runSequence(talk, { prompt: say('hi'), temperature: 0, logprobs: 3 });
    const logprobs: TokenLogprob[] = [];
    for (const event of events) if (event.type === 'tokens') logprobs.push(...(event.logprobs ?? []));
    expect(logprobs.map(({ id }) => id)).to.deep.equal(ids);
    expect(Buffer.concat(logprobs.map(({ bytes }) => bytes)).toString('utf8')).to.equal(text);
    for (const { id, logprob, top } of logprobs) {
      expect(logprob).to.be.at.most(0);
      expect(top).to.have.length(3);
      expect(top[0]?.id).to.equal(id);
      const total = top.reduce((sum, other) => sum + Math.exp(other.logprob), 0);
      expect(total).to.be.at.most(1.0001);
    }
    const bare = await runSequence(talk, { prompt: say('hi'), temperature: 0, logprobs: 0, maxTokens: 2 });
    const first = bare.events.find((event) => event.type === 'tokens');
    expect(first?.logprobs?.[0]?.top).to.deep.equal([]);
    const without = await runSequence(talk, { prompt: say('hi'), temperature: 0, maxTokens: 2 });
    expect(without.events.some((event) => 'logprobs' in event)).to.equal(false);
  });

  it('accepts a grammar, and a schema as object and as text', async () => {
    for (const constraint of [
      { grammar: 'root ::= "(" [^)\\]]* ")" # (((' },
      { jsonSchema: { type: 'object', properties: { a: { type: 'boolean' } }, required: ['a'] } },
      { jsonSchema: '{"enum":["yes","no"]}' },
    ]) {
      const { finished } = await runSequence(endless, { prompt: say('hi'), maxTokens: 40, ...constraint });
      expect(finished.reason).to.be.oneOf(['stop', 'length']);
    }
  });

  for (const [param, changes] of BAD_REQUESTS) {
    const shown = changes['jsonSchema'] === circle ? 'a circle' : JSON.stringify(changes).slice(0, 60);
    it(`refuses the option ${shown} by name`, async () => {
      const bad = { prompt: say('hi'), ...changes } as SequenceRequest;
      const error = await expectError('invalid_request', () => endless.submit(bad, () => expect.fail('an event')));
      expect(error.param).to.equal(param);
    });
  }

  it('refuses a schema that nests without end', async () => {
    for (const levels of [2000, 100_000]) {
      const bad = { prompt: say('hi'), jsonSchema: nested(levels) };
      const error = await expectError('invalid_request', () => endless.submit(bad, () => expect.fail('an event')));
      expect(error.param).to.equal('jsonSchema');
    }
  });
}
