/** The part of the engine contract beside sequences: tokens, vectors, scores, and the stream for addon users. */
import { expect } from 'chai';
import type { Engine } from '../../src/engine/engine.js';
import { generate } from '../../src/engine/token-stream.js';
import type { ContractSubject } from './contract.js';
import { expectError, runSequence, say } from './run-sequence.js';

export function sideContract(subject: () => ContractSubject): void {
  tokenContract(subject);
  vectorContract(subject);
  streamContract(subject);
}

function tokenContract(subject: () => ContractSubject): void {
  it('tokenises without a context when only the vocabulary is loaded, and does nothing else', async () => {
    const { driver, files } = subject();
    const engine = await driver.load({ file: files.talk, purpose: 'vocab' });
    expect((await engine.tokenize(say('count me'))).length).to.be.greaterThan(1);
    const error = await expectError('invalid_request', () => engine.submit({ prompt: say('hi') }, () => undefined));
    expect(error.param).to.equal('purpose');
    await engine.close();
  });

  it('counts what submit counts, and gives the text back', async () => {
    const { driver, files } = subject();
    const engine = await driver.load({ file: files.endless, purpose: 'generate', contextTokens: 1024, threads: 1 });
    const text = 'Grüße, 世界 🎻!';
    const tokens = Array.from(await engine.tokenize(say(text)));
    expect(await engine.detokenize(tokens)).to.include(text);
    expect(await engine.detokenize([])).to.equal('');
    const long = 'a long text '.repeat(60);
    for (const prompt of [
      say(text),
      { kind: 'tokens', tokens } as const,
      { kind: 'messages', messages: [{ role: 'user', content: text }] } as const,
      say(long),
    ]) {
      const count = (await engine.tokenize(prompt)).length;
      const { finished } = await runSequence(engine, { prompt, maxTokens: 1 });
      expect(finished.usage.promptTokens).to.equal(count);
    }
    const bad = await expectError('invalid_request', () => engine.detokenize([engine.info.vocabSize]));
    expect(bad.param).to.equal('tokens');
    await engine.close();
  });
}

function vectorContract(subject: () => ContractSubject): void {
  it('cuts vectors, leaves their length alone where asked, and pools as told', async () => {
    const { driver, files } = subject();
    const options = { file: files.embedder, purpose: 'embed', contextTokens: 512, threads: 1, warmUp: true } as const;
    const engine = await driver.load(options);
    const inputs = ['the cat sleeps'];
    const [whole] = await engine.embed({ inputs, normalise: false });
    const [unit] = await engine.embed({ inputs });
    const [short] = await engine.embed({ inputs, dimensions: 8 });
    expect(whole).to.have.lengthOf(engine.info.embeddingLength);
    expect(short).to.have.lengthOf(8);
    const length = (vector?: Float32Array): number => Math.hypot(...(vector ?? []));
    expect(length(unit)).to.be.closeTo(1, 1e-4);
    expect(length(short)).to.be.closeTo(1, 1e-4);
    expect(length(whole)).to.not.be.closeTo(1, 1e-3);
    const ratio = length(whole);
    for (const [axis, value] of (unit ?? []).entries()) expect(whole?.[axis]).to.be.closeTo(value * ratio, 1e-2);
    for (const dimensions of [0, 1.5, engine.info.embeddingLength + 1]) {
      const error = await expectError('invalid_request', () => engine.embed({ inputs, dimensions }));
      expect(error.param).to.equal('dimensions');
    }
    await engine.close();
    const first = await driver.load({ ...options, pooling: 'cls' });
    expect(await first.embed(inputs)).to.have.lengthOf(1);
    await first.close();
    const error = await expectError('invalid_request', () =>
      driver.load({ file: files.talk, purpose: 'generate', pooling: 'last' }),
    );
    expect(error.param).to.equal('pooling');
  });

  it('embeds texts as unit vectors, in order, the same each time', async () => {
    const { driver, files } = subject();
    const engine = await driver.load({
      file: files.embedder,
      purpose: 'embed',
      slots: 4,
      contextTokens: 1024,
      threads: 1,
    });
    const texts = ['the cat sleeps', 'the cat sleeps deeply', 'compilers parse tokens'];
    const [cat, cats, code] = await engine.embed(texts);
    const dot = (left?: Float32Array, right?: Float32Array): number =>
      Array.from(left ?? []).reduce((sum, value, index) => sum + value * (right?.[index] ?? NaN), 0);
    for (const vector of [cat, cats, code]) {
      expect(vector).to.have.length(engine.info.embeddingLength);
      expect(dot(vector, vector)).to.be.closeTo(1, 1e-4);
    }
    expect(dot(cat, cats)).to.be.greaterThan(dot(cat, code));
    const [alone] = await engine.embed(['compilers parse tokens']);
    expect(dot(alone, code)).to.be.closeTo(1, 1e-3);
    await expectError('cancelled', () => engine.embed(texts, AbortSignal.abort()));
    expect((await expectError('invalid_request', () => engine.embed([]))).param).to.equal('inputs');
    expect((await expectError('invalid_request', () => engine.rerank('a', ['b']))).param).to.equal('purpose');
    await engine.close();
  });

  it('scores documents one by one', async () => {
    const { driver, files } = subject();
    const engine = await driver.load({
      file: files.reranker,
      purpose: 'rerank',
      slots: 2,
      contextTokens: 1024,
      threads: 1,
    });
    const documents = ['rain falls', 'the violin is tuned', 'rain falls'];
    const scores = await engine.rerank('who tunes the violin', documents);
    expect(scores).to.have.length(3);
    for (const score of scores) expect(Number.isFinite(score)).to.equal(true);
    expect(scores[0]).to.be.closeTo(scores[2] ?? NaN, 1e-3);
    expect(scores[0]).to.not.equal(scores[1]);
    expect((await expectError('invalid_request', () => engine.rerank('a', []))).param).to.equal('documents');
    await engine.close();
    await expectError('cancelled', () => engine.rerank('a', ['b']));
  });
}

function streamContract(subject: () => ContractSubject): void {
  describe('as a stream', () => {
    let engine: Engine;
    before(async () => {
      const { driver, files } = subject();
      engine = await driver.load({ file: files.talk, purpose: 'generate', contextTokens: 2048, threads: 1 });
    });
    after(() => engine.close());

    it('yields the text and the result', async () => {
      const stream = generate(engine, { prompt: say('hi'), temperature: 0 });
      let text = '';
      for await (const piece of stream) text += piece;
      expect(text).to.equal(subject().files.sentence);
      const result = await stream.result;
      expect(result).to.include({ text, reason: 'stop' });
    });

    it('gives the result to those who do not read, and the text to those who read late', async () => {
      const stream = generate(engine, { prompt: say('hi'), temperature: 0 });
      const { text } = await stream.result;
      const pieces: string[] = [];
      for await (const piece of stream) pieces.push(piece);
      expect(pieces.join('')).to.equal(text);
    });

    it('ends with what there is when its signal aborts', async () => {
      const abort = new AbortController();
      const stream = generate(engine, { prompt: say('hi'), ignoreEos: true, temperature: 0 }, abort.signal);
      let text = '';
      for await (const piece of stream) {
        text += piece;
        abort.abort();
      }
      const result = await stream.result;
      expect(result.reason).to.equal('cancelled');
      expect(text).to.equal(result.text);
      expect(result.usage.completionTokens).to.be.lessThan(1500);
    });

    it('starts nothing for a signal that is already aborted', async () => {
      const before = engine.stats().promptTokens;
      const stream = generate(engine, { prompt: say('hi') }, AbortSignal.abort());
      expect(await stream.result).to.include({ text: '', reason: 'cancelled' });
      expect(engine.stats()).to.include({ promptTokens: before, running: 0, waiting: 0 });
    });

    it('cancels the sequence when the loop is left', async () => {
      const stream = generate(engine, { prompt: say('hi'), ignoreEos: true, temperature: 0 });
      for await (const piece of stream) {
        expect(piece).to.not.equal('');
        break;
      }
      expect((await stream.result).reason).to.equal('cancelled');
    });

    it('fails both the loop and the result when the prompt does not fit', async () => {
      const stream = generate(engine, { prompt: say('far too long '.repeat(2000)) });
      await expectError('context_length_exceeded', () => stream.next());
      await expectError('context_length_exceeded', () => stream.result);
      expect(await stream.next()).to.deep.equal({ done: true, value: undefined });
    });
  });
}
