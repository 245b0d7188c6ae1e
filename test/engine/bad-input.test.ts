/**
 * What may come to an engine from outside at its worst, all of it called as an application would: every row has to end in
 * an error of the right kind, soon, and leave an engine that still speaks. Damaged headers by the thousand are in
 * test/fuzz, files that end a process in trial.test.ts, fields out of range in the contract.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  defaultLlamaCppDir,
  kv,
  randomModel,
  tensorBytes,
  writeGguf,
  type GgufModel,
  type GgufTensor,
  type GgufValue,
} from '../../scripts/make-models/index.mjs';
import type { ErrorCode } from '../../src/base/errors.js';
import type { Engine, EngineDriver, LoadOptions, SequenceRequest } from '../../src/engine/engine.js';
import { tinyModel, embedderModel } from '../support/models.js';
import { hasAddon, nativeSubject } from './native-subject.js';
import { expectError, runSequence, say } from './run-sequence.js';

/** Of CPU, not of the clock: what else the machine does must not fail a test. */
const SOON_MS = 5000;

async function soon<T>(call: () => Promise<T>): Promise<T> {
  const before = process.cpuUsage();
  const result = await call();
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000, 'milliseconds of CPU').to.be.lessThan(SOON_MS);
  return result;
}

describe('bad input', function () {
  this.timeout(120_000);
  let folder: string;
  let driver: EngineDriver;
  let base: GgufModel;
  let engine: Engine;

  before(async function () {
    if (!hasAddon) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'llamaestro-bad-'));
    ({ driver } = await nativeSubject());
    base = await randomModel('tiny', defaultLlamaCppDir());
    engine = await driver.load({
      file: await tinyModel(),
      purpose: 'generate',
      contextTokens: 512,
      slots: 2,
      threads: 1,
    });
  });

  after(async () => {
    await engine?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true });
  });

  afterEach(async () => {
    const { finished } = await runSequence(engine, { prompt: say('still there?'), maxTokens: 2, ignoreEos: true });
    expect(finished.reason).to.equal('length');
  });

  /** A good model but for one value, or for some tensors. */
  async function fileWith(
    key: string,
    value: GgufValue | undefined,
    tensor: (one: GgufModel['tensors'][number]) => GgufModel['tensors'][number] = (one) => one,
  ): Promise<string> {
    const file = join(folder, 'bad.gguf');
    const others = base.metadata.filter(([name]) => name !== key);
    const metadata = value === undefined ? others : [...others, [key, value] as const];
    await writeGguf(file, { ...base, metadata, tensors: base.tensors.map(tensor) });
    return file;
  }

  const optionsFor = (file: string, changes: Partial<LoadOptions> = {}): LoadOptions => {
    return { file, purpose: 'generate', contextTokens: 256, threads: 1, ...changes };
  };

  describe('files', () => {
    const values: readonly [key: string, value: GgufValue | undefined][] = [
      ['llama.block_count', kv.u32(0)],
      ['llama.block_count', kv.u32(513)],
      ['llama.block_count', kv.u32(2 ** 32 - 1)],
      ['llama.block_count', kv.string('two')],
      ['llama.block_count', undefined],
      ['llama.attention.layer_norm_rms_epsilon', kv.f32(-1e-5)],
      ['llama.attention.layer_norm_rms_epsilon', kv.f32(NaN)],
      ['llama.attention.layer_norm_rms_epsilon', kv.f32(Infinity)],
      ['llama.rope.dimension_count', kv.u32(2 ** 31)],
      ['llama.rope.freq_base', kv.f32(NaN)],
      ['llama.embedding_length', kv.u32(2 ** 32 - 1)],
      ['llama.attention.head_count', kv.u32(0)],
      ['llama.attention.head_count_kv', kv.u32(7)],
      ['llama.expert_count', kv.u32(4096)],
      ['general.architecture', kv.string('nobody')],
      ['general.alignment', kv.u32(33)],
      ['tokenizer.ggml.model', kv.string('rwkv')],
      ['tokenizer.ggml.token_type', kv.array('i32', [1])],
    ];
    for (const [key, value] of values) {
      it(`are refused for ${key} of ${String(value?.value)}`, async () => {
        const file = await fileWith(key, value);
        const error = await soon(() => expectError('model_unusable', () => driver.load(optionsFor(file))));
        expect(error.message).to.include('bad.gguf');
      });
    }

    it('are refused for norms that are quantised or half floats', async () => {
      for (const type of ['Q8_0', 'F16']) {
        const retype = (one: GgufTensor): GgufTensor => ({ ...one, type });
        const file = await fileWith('general.name', undefined, (one) =>
          one.name === 'output_norm.weight'
            ? {
                ...retype(one),
                data: () => [Buffer.alloc(tensorBytes(type, one.shape))],
              }
            : one,
        );
        await soon(() => expectError('model_unusable', () => driver.load(optionsFor(file))));
      }
    });

    it('with weights that are no numbers give an error, not text', async () => {
      for (const value of [NaN, Infinity, -Infinity]) {
        const file = await fileWith('general.name', undefined, (one) =>
          one.name === 'output_norm.weight'
            ? { ...one, data: () => [Buffer.from(new Float32Array(one.shape[0] ?? 0).fill(value).buffer)] }
            : one,
        );
        const bad = await driver.load(optionsFor(file));
        const { finished, text } = await soon(() => runSequence(bad, { prompt: say('Hello') }));
        expect(text).to.equal('');
        expect(finished.reason).to.equal('error');
        expect(finished.error).to.include({ code: 'internal' });
        expect(finished.error?.message).to.include('not a finite number');
        await bad.close();
      }
    });

    const templates: readonly [name: string, source: string][] = [
      ['a syntax error', '{% for %}'],
      ['50,000 parentheses', `{{ ${'('.repeat(50_000)}1${')'.repeat(50_000)} }}`],
      ['a macro that calls itself', '{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}'],
      ['a loop over a thousand million', '{% for a in range(1000000000) %}{{ a }}{% endfor %}'],
      [
        'a text that doubles without end',
        "{% set ns = namespace(t='a') %}{% for a in range(99999) %}{% set ns.t = ns.t + ns.t %}{% endfor %}{{ ns.t }}",
      ],
      ['300 KB', 'x'.repeat(300_000)],
    ];
    for (const [name, source] of templates) {
      it(`whose chat template has ${name} can do everything but render`, async () => {
        const file = await fileWith('tokenizer.chat_template', kv.string(source));
        const bad = await soon(() => driver.load(optionsFor(file)));
        const prompt = { kind: 'messages', messages: [{ role: 'user', content: 'Hi' }] } as const;
        const error = await soon(() => errorOf(() => bad.tokenize(prompt)));
        expect(error).to.be.oneOf(['model_unusable', 'invalid_request']);
        expect((await runSequence(bad, { prompt: say('Hi'), maxTokens: 2 })).finished.error).to.equal(undefined);
        await bad.close();
      });
    }
  });

  describe('load options', () => {
    const options: readonly [code: ErrorCode, param: string | undefined, changes: Record<string, unknown>][] = [
      ['invalid_request', 'kvTypeK', { kvTypeK: 'i32' }],
      ['invalid_request', 'kvTypeV', { kvTypeV: 'q4_K' }],
      ['invalid_request', 'kvTypeV', { kvTypeV: 'q8_0', flashAttention: 'off' }],
      ['invalid_request', 'threads', { threads: 100_000 }],
      ['invalid_request', 'threads', { threads: 0 }],
      ['invalid_request', 'slots', { slots: 257 }],
      ['invalid_request', 'slots', { slots: 0 }],
      ['invalid_request', 'slots', { slots: NaN }],
      ['invalid_request', 'contextTokens', { contextTokens: 2 ** 30 }],
      ['invalid_request', 'contextTokens', { contextTokens: -1 }],
      ['invalid_request', 'contextTokens', { contextTokens: 3, slots: 4 }],
      ['invalid_request', 'chunkTokens', { chunkTokens: 2 ** 20 }],
      ['invalid_request', 'gpuLayers', { gpuLayers: -1 }],
      ['invalid_request', 'file', { file: 'a\0b' }],
      ['model_unusable', undefined, { file: '/nowhere/model.gguf' }],
      ['model_unusable', undefined, { file: '/dev/zero' }],
    ];
    for (const [code, param, changes] of options) {
      it(`refuses ${JSON.stringify(changes)}`, async () => {
        const all = optionsFor(await tinyModel(), changes as Partial<LoadOptions>);
        for (const call of [() => driver.planMemory(all), () => driver.load(all)]) {
          const error = await soon(() => expectError(code, call));
          if (param !== undefined) expect(error.param).to.equal(param);
        }
      });
    }

    it('takes the smallest and the widest that is allowed', async () => {
      for (const changes of [{ contextTokens: 2 }, { contextTokens: 1024, slots: 256 }, { chunkTokens: 4096 }]) {
        const odd = await driver.load(optionsFor(await tinyModel(), changes));
        const { finished } = await runSequence(odd, { prompt: { kind: 'tokens', tokens: [1] }, ignoreEos: true });
        expect(finished.reason).to.equal('length');
        await odd.close();
      }
    });
  });

  describe('calls', () => {
    it('with token ids that are none are refused', async () => {
      for (const token of [-1, 1e9, 0.5, NaN, Infinity, 2 ** 53, '7']) {
        const tokens = [1, token as number];
        await expectError('invalid_request', () =>
          engine.submit({ prompt: { kind: 'tokens', tokens } }, () => undefined),
        );
        await expectError('invalid_request', () => engine.tokenize({ kind: 'tokens', tokens }));
        await expectError('invalid_request', () => engine.detokenize(tokens));
      }
    });

    it('that fill every slot to its end run to it', async () => {
      const request = { prompt: say('x'.repeat(150)), ignoreEos: true };
      const runs = await Promise.all([1, 2, 3, 4].map(() => runSequence(engine, request)));
      for (const { finished } of runs) expect(finished.reason).to.equal('length');
    });

    it('with texts made to hurt a tokenizer come back', async () => {
      for (const text of [
        '\ud800'.repeat(500_000),
        'a'.repeat(2_000_000),
        '<|im_start'.repeat(100_000),
        '\0'.repeat(1000),
      ]) {
        expect((await soon(() => engine.tokenize(say(text)))).length).to.be.greaterThan(100);
        await soon(() =>
          expectError('context_length_exceeded', () => engine.submit({ prompt: say(text) }, () => undefined)),
        );
      }
    });

    it('with inputs longer than a batch are refused by an embedder', async () => {
      const embedder = await driver.load(optionsFor(await embedderModel(), { purpose: 'embed', contextTokens: 64 }));
      await expectError('context_length_exceeded', () => embedder.embed(['word '.repeat(5000)]));
      expect(await embedder.embed(['word'])).to.have.length(1);
      await embedder.close();
    });
  });

  describe('constraints', () => {
    const grammars: readonly [name: string, grammar: string][] = [
      ['a syntax error', 'root ::= "a'],
      ['left recursion', 'root ::= root "a" | "b"'],
      ['left recursion around a corner', 'root ::= a "x"\na ::= b\nb ::= root | "y"'],
      ['an unknown rule', 'root ::= other'],
      ['a character that is none', 'root ::= "\ud800'],
      ['a million repetitions', 'root ::= "a"{1000000}'],
      ['200,000 parentheses', `root ::= ${'('.repeat(200_000)}"a"${')'.repeat(200_000)}`],
      ['2,000 options', `root ::= ${'"a"? '.repeat(2000)}`],
      ['another language', '%llguidance {}\nstart: "a"'],
    ];
    for (const [name, grammar] of grammars) {
      it(`refuses a grammar with ${name}`, async () => {
        const request: SequenceRequest = { prompt: say('Hi'), grammar };
        const error = await soon(() => expectError('invalid_request', () => engine.submit(request, () => undefined)));
        expect(error.param).to.equal('grammar');
      });
    }

    const deep = (levels: number, open: string, close: string): string =>
      `${open.repeat(levels)}{}${close.repeat(levels)}`;
    const schemas: readonly [name: string, schema: string][] = [
      ['20,000 levels', deep(20_000, '{"items":', '}')],
      ['65 levels', deep(65, '{"type":"array","items":', '}')],
      ['20,000 brackets', '['.repeat(20_000)],
      ['a circle of references', '{"$defs":{"a":{"$ref":"#/$defs/a"}},"$ref":"#/$defs/a"}'],
      ['no end', '{'],
    ];
    for (const [name, jsonSchema] of schemas) {
      it(`refuses a schema with ${name}`, async () => {
        const request: SequenceRequest = { prompt: say('Hi'), jsonSchema };
        const error = await soon(() => expectError('invalid_request', () => engine.submit(request, () => undefined)));
        expect(error.param).to.equal('jsonSchema');
      });
    }

    it('ends an answer whose grammar explodes only as it goes on', async () => {
      let grammar = 'root ::= [a-z]{40} r0 r0\n';
      for (let index = 0; index < 60; index++) {
        grammar += `r${index} ::= r${index + 1}? r${index + 1}? "x"?\n`;
      }
      grammar += 'r60 ::= "y"?\n';
      const error = await soon(() =>
        errorOf(async () => {
          const { finished } = await runSequence(engine, { prompt: say('Hi'), grammar, maxTokens: 100 });
          if (finished.error !== undefined) throw finished.error;
        }),
      );
      expect(error).to.equal('invalid_request');
    });
  });
});

/** The code of what `call` throws; 'none' when it does not. */
async function errorOf(call: () => Promise<unknown>): Promise<string> {
  try {
    await call();
    return 'none';
  } catch (thrown) {
    return (thrown as { code?: string }).code ?? String(thrown);
  }
}
