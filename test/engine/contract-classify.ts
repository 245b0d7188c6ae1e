/** The part of the engine contract about scoring labels. */
import { expect } from 'chai';
import type { Engine } from '../../src/engine/engine.js';
import type { ContractSubject } from './contract.js';
import { expectError, runSequence, say } from './run-sequence.js';

export function classifyContract(subject: () => ContractSubject): void {
  const load = (file: string): Promise<Engine> =>
    subject().driver.load({ file, purpose: 'generate', slots: 2, contextTokens: 2048, threads: 1 });

  it('scores labels: probabilities that sum to one, the same each time, whatever their order', async () => {
    const engine = await load(subject().files.endless);
    const labels = ['simple', 'simple question', 'medium', 'complex'];
    const prompt = say('Is this a hard question? It is ');
    const scores = await engine.classify(prompt, labels);
    expect(scores).to.have.lengthOf(4);
    expect(scores.reduce((sum, score) => sum + Math.exp(score), 0)).to.be.closeTo(1, 1e-4);
    const backwards = (await engine.classify(prompt, labels.toReversed())).toReversed();
    for (const [index, score] of scores.entries()) expect(backwards[index]).to.be.closeTo(score, 1e-3);
    expect(new Set(scores.map((score) => score.toFixed(4))).size).to.be.greaterThan(1);
    await engine.close();
  });

  it('scores labels that fork in several places as their endings are scored behind their beginnings', async () => {
    for (const file of [subject().files.endless, subject().files.recurrent]) {
      const engine = await load(file);
      const scores = await engine.classify(say('hello'), ['zqb', 'zqc', 'zxb', 'zxc', 'kab', 'kac', 'w']);
      expect(scores).to.have.lengthOf(7);
      expect(scores.reduce((sum, score) => sum + Math.exp(score), 0)).to.be.closeTo(1, 1e-4);
      const fewer = await engine.classify(say('hello'), ['zqb', 'zqc', 'kab', 'w']);
      const differences = (from: readonly number[], at: readonly number[]): number[] =>
        at.map((index) => (from[index] ?? NaN) - (from[0] ?? NaN));
      for (const [index, difference] of differences(scores, [1, 6]).entries()) {
        expect(differences(fewer, [1, 3])[index]).to.be.closeTo(difference, 5e-2);
      }
      await engine.close();
    }
  });

  it('scores beside a sequence that goes on as if it were alone', async () => {
    const engine = await load(subject().files.talk);
    const request = { prompt: say('hello'), temperature: 0 };
    const [transcript, scores] = await Promise.all([
      runSequence(engine, request),
      engine.classify(say('hello'), ['alpha', 'beta']),
    ]);
    expect(transcript.text).to.equal(subject().files.sentence);
    expect(scores).to.have.lengthOf(2);
    await engine.close();
  });

  it('refuses labels and prompts that it cannot score, and stops for its signal', async () => {
    const engine = await load(subject().files.heavy);
    for (const labels of [[], ['one'], ['a', 'a'], ['a', ''], ['a', 'x'.repeat(300)], 'ab' as unknown as string[]]) {
      const error = await expectError('invalid_request', () => engine.classify(say('hi'), labels));
      expect(error.param).to.equal('labels');
    }
    await expectError('context_length_exceeded', () => engine.classify(say('hi '.repeat(3000)), ['a', 'b']));
    await expectError('cancelled', () => engine.classify(say('hi'), ['a', 'b'], AbortSignal.abort()));
    const controller = new AbortController();
    const running = engine.classify(say('x'.repeat(900)), ['a', 'b'], controller.signal);
    controller.abort();
    await expectError('cancelled', () => running);
    const closing = expectError('cancelled', () => engine.classify(say('y'.repeat(900)), ['a', 'b']));
    await engine.close();
    await closing;
  });
}
