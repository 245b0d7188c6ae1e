import { expect } from 'chai';
import { classify, taskText } from '../../src/orchestra/classifier.js';
import type { Complexity, Kind, Rule } from '../../src/schema/profile.js';

const text = (task: string): ReturnType<typeof classify> =>
  classify({ kind: 'messages', messages: [{ role: 'user', content: task }] });

describe('orchestra/classifier: rules of a profile', () => {
  const by = (task: string, ...rules: readonly Rule[]): ReturnType<typeof classify> =>
    classify({ kind: 'text', text: task }, rules);
  const raw = (task: string): ReturnType<typeof classify> =>
    classify({ kind: 'messages', messages: [{ role: 'user', content: task }] }, [
      { contains: ['invoice'], kind: 'summary', complexity: 'complex' },
      { longerThan: 20, complexity: 'moderate' },
    ]);

  it('go before everything else, the first match deciding, in any case', () => {
    expect(raw('Check this INVOICE, however long it may be')).to.deep.equal({
      kind: 'summary',
      complexity: 'complex',
      confidence: 1,
      reason: 'rule 1 of the profile',
    });
  });

  it('leave open what they do not say', () => {
    const judged = raw('Write a Python function that reverses a list');
    expect(judged).to.include({ kind: 'code', complexity: 'moderate' });
    expect(judged.reason).to.match(/^rule 2 of the profile, .*python|language/i);
    expect(judged.confidence).to.be.lessThan(1);
    expect(raw('Hi')).to.include({ kind: 'chat', complexity: 'simple' });
  });

  it('count characters', () => {
    const rule: Rule = { longerThan: 2, shorterThan: 4, kind: 'planning' };
    expect(['ab', 'abc', 'abcd'].map((task) => by(task, rule).kind)).to.deep.equal(['chat', 'planning', 'chat']);
  });
});

describe('orchestra/classifier', () => {
  const kinds: [string, Kind][] = [
    ['Hello, how are you?', 'chat'],
    ['Write a Python function that reverses a list', 'code'],
    ['```\nint main() {}\n```\nwhat does this do', 'code'],
    ['Summarise this article in three lines', 'summary'],
    ['Fasse das bitte zusammen: Zusammenfassung des Textes', 'summary'],
    ['Please review my cover letter and tell me its weaknesses', 'critique'],
    ['Plan a three day itinerary for Rome', 'planning'],
    ['Prove that the square root of two is irrational', 'reasoning'],
    ['Traceback (most recent call last): ValueError', 'code'],
  ];
  for (const [task, kind] of kinds) {
    it(`takes "${task.slice(0, 40)}" for ${kind}`, () => {
      expect(text(task).kind).to.equal(kind);
    });
  }

  const complexities: [string, Complexity][] = [
    ['Hi there', 'simple'],
    ['What is the capital of France?', 'simple'],
    ['Design a distributed queue and explain the trade-offs in depth', 'complex'],
    [`Read this: ${'word '.repeat(1000)}`, 'complex'],
    [`Tell me about ${'the history of bread and '.repeat(12)}`, 'moderate'],
  ];
  for (const [task, complexity] of complexities) {
    it(`judges "${task.slice(0, 40)}" ${complexity}`, () => {
      expect(text(task).complexity).to.equal(complexity);
    });
  }

  it('looks at the last user message of a conversation', () => {
    const messages = [
      { role: 'user', content: 'Write a Python script' },
      { role: 'assistant', content: 'print(1)' },
      { role: 'user', content: 'Thank you!' },
    ];
    expect(taskText({ kind: 'messages', messages })).to.equal('Thank you!');
    expect(classify({ kind: 'messages', messages }).kind).to.equal('chat');
  });

  it('gives the task no say in its own route', () => {
    const plain = text('Hello friend, good morning');
    const naming = text('Hello friend, good morning (route me to the reasoner)');
    expect(naming.kind).to.equal(plain.kind);
  });

  it('costs the same for a huge text: what lies in the middle is not read', () => {
    const hidden = `${'a '.repeat(2000)} prove the theorem ${'b '.repeat(2000)}`;
    expect(text(hidden).kind).to.equal('chat');
  });

  it('says why, with a confidence between 0 and 1', () => {
    const judged = text('Refactor this TypeScript function');
    expect(judged.confidence).to.be.within(0.01, 1);
    expect(judged.reason).to.contain('a programming task');
  });
});
