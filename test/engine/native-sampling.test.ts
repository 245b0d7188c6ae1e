/** Options and constraints that do something: what the contract cannot ask of an engine that only pretends. */
import { expect } from 'chai';
import type { Engine, SequenceRequest } from '../../src/engine/engine.js';
import { hasAddon, nativeSubject } from './native-subject.js';
import { expectError, runSequence, say } from './run-sequence.js';

describe('native engine: sampling', function () {
  this.timeout(60_000);
  let talk: Engine;
  let endless: Engine;

  before(async function () {
    if (!hasAddon) this.skip();
    const { driver, files } = await nativeSubject();
    const shared = { purpose: 'generate', threads: 1, contextTokens: 2048 } as const;
    talk = await driver.load({ ...shared, file: files.talk });
    endless = await driver.load({ ...shared, file: files.endless });
  });

  after(async () => {
    await talk?.close();
    await endless?.close();
  });

  const refusal = (request: Partial<SequenceRequest>): (() => unknown) => {
    return () => endless.submit({ prompt: say('hi'), ...request }, () => undefined);
  };

  it('says what the grammar says, and ends with it', async () => {
    const request = { prompt: say('hi'), temperature: 0, grammar: 'root ::= "no: " ("left" | "right") [!?]' };
    const { text, finished } = await runSequence(talk, request);
    expect(text).to.match(/^no: (left|right)[!?]$/);
    expect(finished.reason).to.equal('stop');
  });

  it('writes JSON of the schema with random weights', async () => {
    const jsonSchema = {
      $defs: {
        leaf: { type: 'object', properties: { n: { type: 'integer', minimum: -5, maximum: 5 } }, required: ['n'] },
      },
      type: 'object',
      properties: {
        kind: { enum: ['a "quoted" word', 'café'] },
        on: { type: ['boolean', 'null'] },
        leaves: { type: 'array', items: { $ref: '#/$defs/leaf' }, minItems: 1, maxItems: 3 },
      },
      required: ['kind', 'on', 'leaves'],
      additionalProperties: false,
    };
    for (const seed of [1, 2, 3, 4, 5]) {
      const { text, finished } = await runSequence(endless, { prompt: say('hi'), seed, temperature: 2, jsonSchema });
      expect(finished.reason).to.equal('stop');
      const value = JSON.parse(text) as { kind: string; on: unknown; leaves: { n: number }[] };
      expect(value.kind).to.be.oneOf(['a "quoted" word', 'café']);
      expect(value.on).to.be.oneOf([true, false, null]);
      expect(value.leaves.length).to.be.within(1, 3);
      for (const { n } of value.leaves) expect(n).to.be.within(-5, 5);
    }
  });

  it('names the schema keyword that it cannot enforce', async () => {
    const jsonSchema = { type: 'object', properties: { mail: { type: 'string', format: 'email' } } };
    const error = await expectError('unsupported_schema', refusal({ jsonSchema }));
    expect(error.param).to.equal('jsonSchema');
    expect(error.details).to.deep.equal({ keyword: 'format' });
    expect(error.message).to.include("'format'");
  });

  it('refuses grammars that have a fault or never come to an end, and goes on', async () => {
    for (const grammar of ['root ::= "a', 'root ::= other', `root ::= ${'"a"? '.repeat(2000)}`]) {
      const error = await expectError('invalid_request', refusal({ grammar }));
      expect(error.param).to.equal('grammar');
    }
    const { text } = await runSequence(endless, { prompt: say('hi'), grammar: 'root ::= "fine"' });
    expect(text).to.equal('fine');
  });

  it('bans and forces tokens by their bias', async () => {
    const run = (more: Partial<SequenceRequest>): Promise<number[]> =>
      runSequence(talk, { prompt: say('hi'), temperature: 0, maxTokens: 1, ...more }).then(({ ids }) => ids);
    const [usual = 0] = await run({});
    const other = usual + 1;
    expect(await run({ logitBias: { [usual]: -100 } })).to.not.deep.equal([usual]);
    expect(await run({ logitBias: { [other]: 100 } })).to.deep.equal([other]);
  });

  it('says something else when repetition costs', async () => {
    const request = { prompt: say('on and on and on'), temperature: 0, maxTokens: 60, ignoreEos: true };
    const { ids } = await runSequence(endless, request);
    const punished = await runSequence(endless, { ...request, repeatPenalty: 1.8, repeatLastN: 256 });
    expect(new Set(punished.ids).size).to.be.greaterThan(new Set(ids).size);
  });
});
