import { expect } from 'chai';
import fc from 'fast-check';
import { patternTokens, subjectTokens } from '../../src/bus/subject-syntax.js';
import { SubjectTree, type Listener } from '../../src/bus/subject-tree.js';

/** What the wildcards mean, said as plainly as possible. */
function matches(pattern: string, subject: string): boolean {
  const [wanted, given] = [pattern.split('.'), subject.split('.')];
  if (wanted.at(-1) === '>') {
    const head = wanted.slice(0, -1);
    return given.length > head.length && head.every((token, n) => token === '*' || token === given[n]);
  }
  return wanted.length === given.length && wanted.every((token, n) => token === '*' || token === given[n]);
}

const token = fc.constantFrom('a', 'b', 'c');
const subject = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join('.'));
const pattern = fc
  .tuple(fc.array(fc.oneof(token, fc.constant('*')), { maxLength: 4 }), fc.boolean())
  .filter(([tokens, open]) => tokens.length > 0 || open)
  .map(([tokens, open]) => [...tokens, ...(open ? ['>'] : [])].join('.'));

describe('subjects', () => {
  it('takes what NATS takes as a subject and as a pattern, and nothing else', () => {
    for (const good of ['a', 'a.b.c', 'llamaestro.v1.out.gw_1', '$SYS.x', 'ä.€', 'a*.b>c']) {
      expect(subjectTokens(good), good).to.deep.equal(good.split('.'));
      expect(patternTokens(good), good).to.deep.equal(good.split('.'));
    }
    for (const bad of [
      '',
      '.',
      'a.',
      '.a',
      'a..b',
      'a b',
      'a\tb',
      'a\r\nb',
      'a\0',
      'x'.repeat(513),
      'a.'.repeat(32) + 'a',
    ]) {
      expect(subjectTokens(bad), JSON.stringify(bad)).to.equal(undefined);
      expect(patternTokens(bad), JSON.stringify(bad)).to.equal(undefined);
    }
    for (const wild of ['*', '>', 'a.*', 'a.>', '*.*.>']) {
      expect(subjectTokens(wild), wild).to.equal(undefined);
      expect(patternTokens(wild), wild).to.deep.equal(wild.split('.'));
    }
    expect(patternTokens('a.>.b')).to.equal(undefined);
    expect(subjectTokens('x'.repeat(512))).to.have.length(1);
    expect(subjectTokens(`${'a.'.repeat(31)}a`)).to.have.length(32);
    expect(subjectTokens(`${'a.'.repeat(32)}a`)).to.equal(undefined);
  });
});

describe('SubjectTree', () => {
  it('finds exactly the listeners whose pattern matches, after any adding and removing', () => {
    const listener = fc.record({ pattern, queue: fc.constantFrom(undefined, 'q', 'r'), kept: fc.boolean() });
    fc.assert(
      fc.property(fc.array(listener, { maxLength: 30 }), fc.array(subject, { maxLength: 10 }), (listeners, given) => {
        const tree = new SubjectTree<Listener>();
        for (const one of listeners) tree.add(one);
        for (const one of listeners) if (!one.kept) tree.remove(one);
        const kept = listeners.filter((one) => one.kept);
        expect(tree.size).to.equal(kept.length);
        for (const text of given) {
          const expected = kept.filter((one) => matches(one.pattern, text));
          const found = tree.match(text);
          const groups = [...(found?.groups.entries() ?? [])];
          expect([...(found?.each ?? []), ...groups.flatMap(([, members]) => members)]).to.have.members(expected);
          for (const [queue, members] of groups) {
            expect(queue).to.be.a('string');
            expect(members.every((one) => one.queue === queue)).to.equal(true);
          }
          expect(found?.each.every((one) => one.queue === undefined)).to.equal(true);
        }
      }),
    );
  });

  it('takes no listener without a pattern, and misses none that was never there', () => {
    const tree = new SubjectTree<Listener>();
    expect(() => tree.add({ pattern: 'a..b', queue: undefined })).to.throw("'a..b' is not a subject pattern");
    tree.add({ pattern: 'a', queue: undefined });
    for (const pattern of ['a..b', 'b', 'a.b.c', 'a.>']) tree.remove({ pattern, queue: undefined });
    expect(tree.size).to.equal(1);
  });

  it('leaves the branches that others use', () => {
    const tree = new SubjectTree<Listener>();
    const [long, short, open] = ['a.b.c', 'a.b', 'a.>'].map((pattern) => ({ pattern, queue: undefined }));
    for (const one of [long!, short!, open!]) tree.add(one);
    tree.remove(long!);
    expect(tree.match('a.b')?.each).to.have.members([short, open]);
    tree.remove(short!);
    expect(tree.match('a.b')?.each).to.deep.equal([open]);
    tree.add(long!);
    expect(tree.match('a.b.c')?.each).to.have.members([long, open]);
  });

  it('keeps nothing of what was removed', () => {
    const tree = new SubjectTree<Listener>();
    const one = { pattern: 'a.*.c', queue: undefined };
    tree.add(one);
    tree.add(one);
    expect(tree.size).to.equal(1);
    tree.remove({ pattern: 'a.*.d', queue: undefined });
    tree.remove(one);
    tree.remove(one);
    expect(tree.size).to.equal(0);
    expect(tree.match('a.b.c')).to.deep.equal({ each: [], groups: new Map() });
    expect(tree.match('a.*')).to.equal(undefined);
  });
});
