import { expect } from 'chai';
import { MemoryJournal } from '../../src/journal/memory-journal.js';
import { verifyFacts } from './verify.js';
import { FakeClock } from '../support/fake-clock.js';
import { acceptRecord, codeOf, COMPLETED, journalContract } from './contract.js';

journalContract('memory', () => Promise.resolve({ journal: new MemoryJournal(), dispose: () => Promise.resolve() }));

describe('the journal in memory', () => {
  it('refuses before it is opened', async () => {
    expect(await codeOf(new MemoryJournal().accept(acceptRecord('a')))).to.equal('journal_unavailable');
  });

  it('loses nothing that was answered when it crashes', async () => {
    const journal = new MemoryJournal();
    await journal.open();
    await journal.accept(acceptRecord('a'));
    await journal.setState('key', 'value');
    journal.crash();
    const next = journal.clone();
    expect(await next.open()).to.include({ uncleanStop: true });
    expect(await next.unfinished()).to.have.length(1);
    expect(await next.getState('key')).to.equal('value');
  });

  it('can lose or keep what was queued, answering it in neither case', async () => {
    for (const kept of [false, true]) {
      const clock = new FakeClock();
      const journal = new MemoryJournal({ clock, commitMs: 5 });
      await journal.open();
      let answered = false;
      void journal.accept(acceptRecord('a')).then(() => (answered = true));
      journal.crash(kept);
      await clock.run(100);
      expect(answered).to.equal(false);
      const restarted = journal.clone();
      await restarted.open();
      const looking = restarted.get('a');
      await clock.run(5);
      expect((await looking) !== undefined).to.equal(kept);
    }
  });

  it('answers only after the commit time', async () => {
    const clock = new FakeClock();
    const journal = new MemoryJournal({ clock, commitMs: 5 });
    await journal.open();
    let answered = 0;
    for (const id of ['a', 'b']) void journal.accept(acceptRecord(id)).then(() => (answered += 1));
    await clock.run(4);
    expect(answered).to.equal(0);
    await clock.run(1);
    expect(answered).to.equal(2);
  });

  it('is another disk after a clone: neither sees the other', async () => {
    const journal = new MemoryJournal();
    await journal.open();
    await journal.accept(acceptRecord('a'));
    const copy = journal.clone();
    await copy.open();
    await copy.finish('a', COMPLETED);
    expect(await journal.unfinished()).to.have.length(1);
    expect(await copy.unfinished()).to.have.length(0);
  });

  it('refuses writes while it is told to fail, and reads on', async () => {
    const journal = new MemoryJournal();
    await journal.open();
    await journal.accept(acceptRecord('a'));
    journal.failing = true;
    expect(await codeOf(journal.finish('a', COMPLETED))).to.equal('journal_unavailable');
    expect(await journal.get('a')).not.to.have.property('terminal');
    journal.failing = false;
    expect(await journal.finish('a', COMPLETED)).to.equal(true);
  });

  it('keeps the facts that took effect, in order', async () => {
    const journal = new MemoryJournal({ keepFacts: true });
    await journal.open();
    await journal.accept(acceptRecord('a'));
    await journal.dispatch('a', 2, 'h');
    await journal.dispatch('a', 1, 'h');
    await journal.finish('a', COMPLETED);
    await journal.finish('a', COMPLETED);
    expect(journal.facts.map((fact) => fact.kind)).to.deep.equal(['accept', 'dispatch', 'finish']);
    expect(verifyFacts(journal.facts, { allEnded: true })).to.deep.equal([]);
  });
});
