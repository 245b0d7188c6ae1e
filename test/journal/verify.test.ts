import { expect } from 'chai';
import type { RunRecord } from '../../src/journal/journal.js';
import type { JournalFact } from '../../src/journal/memory-journal.js';
import { acceptRecord, COMPLETED } from './contract.js';
import { verifyFacts, verifyRecords } from './verify.js';

const run = (id: string, more: Partial<RunRecord> = {}): RunRecord => ({
  ...acceptRecord(id),
  attempt: 0,
  delivered: false,
  ...more,
});

describe('verifying records', () => {
  it('finds nothing wrong with a good set', () => {
    const good = [run('a'), run('b', { attempt: 2, hid: 'h', delivered: true, terminal: COMPLETED })];
    expect(verifyRecords(good, { allEnded: false })).to.deep.equal([]);
  });

  const wrong: readonly (readonly [string, readonly RunRecord[]])[] = [
    ['accepted more than once', [run('a', { terminal: COMPLETED }), run('a', { terminal: COMPLETED })]],
    ['accepted and never ended', [run('a')]],
    ['without a host', [run('a', { attempt: 1, terminal: COMPLETED })]],
    ['delivered before any attempt', [run('a', { delivered: true, terminal: COMPLETED })]],
    ['is not a count', [run('a', { attempt: -1, terminal: COMPLETED })]],
    ['failed without an error', [run('a', { terminal: { status: 'failed', atMs: 1 } })]],
    [
      'completed with an error',
      [run('a', { terminal: { ...COMPLETED, error: { code: 'internal', message: 'm', remedy: 'r' } } })],
    ],
  ];
  for (const [message, records] of wrong) {
    it(`finds: ${message}`, () => {
      const found = verifyRecords(records, { allEnded: true });
      expect(found.map((violation) => violation.message).join()).to.contain(message);
    });
  }
});

describe('verifying facts', () => {
  const life: readonly JournalFact[] = [
    { kind: 'accept', id: 'a' },
    { kind: 'dispatch', id: 'a', attempt: 1 },
    { kind: 'dispatch', id: 'a', attempt: 2 },
    { kind: 'finish', id: 'a', status: 'completed' },
  ];
  const wrong: readonly (readonly [string, readonly JournalFact[]])[] = [
    ['before it was accepted', life.slice(1)],
    ['accepted more than once', [...life.slice(0, 1), ...life]],
    ['after its end', [...life, { kind: 'delivered', id: 'a' }]],
    ['finish after its end', [...life, ...life.slice(-1)]],
    ['attempt 1 after attempt 2', [...life.slice(0, 3), { kind: 'dispatch', id: 'a', attempt: 1 }, ...life.slice(-1)]],
    ['accepted and never ended', life.slice(0, 3)],
  ];

  it('finds nothing wrong with a good life', () => {
    expect(verifyFacts(life, { allEnded: true })).to.deep.equal([]);
    expect(verifyFacts(life.slice(0, 2), { allEnded: false })).to.deep.equal([]);
  });
  for (const [message, facts] of wrong) {
    it(`finds: ${message}`, () => {
      const found = verifyFacts(facts, { allEnded: true });
      expect(found.map((violation) => violation.message).join()).to.contain(message);
    });
  }
});
