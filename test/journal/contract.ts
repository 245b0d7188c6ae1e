/** What every journal does; each implementation runs it in its own test file. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { KEPT_NOTES } from '../../src/journal/journal.js';
import type { AcceptRecord, Journal, MemoryNote, TerminalRecord } from '../../src/journal/journal.js';
import type { RouteDecision } from '../../src/schema/run.js';
import { verifyRecords } from './verify.js';

export interface JournalUnderTest {
  /** New, not opened. */
  readonly journal: Journal;
  readonly dispose: () => Promise<void>;
}

export function acceptRecord(id: string, more: Partial<AcceptRecord> = {}): AcceptRecord {
  return {
    id,
    gid: 'g_1',
    profile: 'demo',
    model: 'auto',
    door: 'execute',
    promptHash: 'a'.repeat(64),
    acceptedAtMs: 1000,
    ...more,
  };
}

export const ROUTE: RouteDecision = {
  model: 'coder',
  complexity: 'moderate',
  kind: 'code',
  source: 'rules',
  confidence: 0.75,
  reason: "it asks for 'code'; with a quote and a\nnew line",
  ms: 0.25,
};

export const COMPLETED: TerminalRecord = {
  status: 'completed',
  atMs: 2000,
  usage: { promptTokens: 5, cachedTokens: 1, completionTokens: 7 },
};

const failed = (message: string, details?: Record<string, unknown>): TerminalRecord => ({
  status: 'failed',
  atMs: 3000,
  error: { code: 'host_lost', message, remedy: 'again', ...(details === undefined ? {} : { details }) },
});

/** The code that a promise rejects with, or 'resolved'. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'resolved';
  } catch (error) {
    return error instanceof LlamaestroError ? error.code : String(error);
  }
}

/** Registers the suite; `make` gives a fresh journal per test. */
export function journalContract(name: string, make: () => Promise<JournalUnderTest>): void {
  describe(`${name}: the journal's contract`, () => {
    let subject: JournalUnderTest;
    let journal: Journal;
    beforeEach(async () => {
      subject = await make();
      ({ journal } = subject);
      await journal.open();
    });
    afterEach(async () => {
      await journal.close();
      await subject.dispose();
    });
    runFacts(() => journal);
    compareAndSet(() => journal);
    listings(() => journal);
    states(() => journal);
    memoryNotes(() => journal);
    endings(() => journal);
  });
}

function runFacts(journal: () => Journal): void {
  it('gives back what was accepted', async () => {
    const record = acceptRecord('run_1', { model: "o'brien; DROP TABLE runs; --", profile: 'ü\u0000§ 🎼' });
    await journal().accept(record);
    expect(await journal().get('run_1')).to.deep.equal({ ...record, attempt: 0, delivered: false });
    expect(await journal().get('run_2')).to.equal(undefined);
  });

  it('keeps route, attempt, delivery and end', async () => {
    await journal().accept(acceptRecord('run_1'));
    await journal().route('run_1', ROUTE);
    expect(await journal().dispatch('run_1', 1, 'h_1')).to.equal(true);
    await journal().delivered('run_1');
    expect(await journal().finish('run_1', COMPLETED)).to.equal(true);
    expect(await journal().get('run_1')).to.deep.equal({
      ...acceptRecord('run_1'),
      route: ROUTE,
      attempt: 1,
      hid: 'h_1',
      delivered: true,
      terminal: COMPLETED,
    });
  });

  it('refuses a repeated id and leaves the first as it was', async () => {
    await journal().accept(acceptRecord('run_1', { model: 'first' }));
    expect(await codeOf(journal().accept(acceptRecord('run_1', { model: 'second' })))).to.equal('internal');
    expect((await journal().get('run_1'))?.model).to.equal('first');
  });

  it('keeps whole milliseconds', async () => {
    await journal().accept(acceptRecord('run_1', { acceptedAtMs: 10.6 }));
    await journal().finish('run_1', { ...COMPLETED, atMs: 20.4 });
    const run = await journal().get('run_1');
    expect([run?.acceptedAtMs, run?.terminal?.atMs]).to.deep.equal([11, 20]);
  });

  it('shortens an error too large to keep, code and all else unharmed', async () => {
    await journal().accept(acceptRecord('run_1'));
    await journal().finish('run_1', failed('x'.repeat(1e6), { huge: 'y'.repeat(1e6) }));
    const error = (await journal().get('run_1'))?.terminal?.error;
    expect(error?.code).to.equal('host_lost');
    expect(error?.message).to.have.length.below(3000);
    expect(error).not.to.have.property('details');
  });
}

function compareAndSet(journal: () => Journal): void {
  it('lets exactly one of many endings win', async () => {
    await journal().accept(acceptRecord('run_1'));
    const endings = [COMPLETED, failed('a'), failed('b'), { status: 'cancelled', atMs: 5 } as const];
    const won = await Promise.all(endings.map((terminal) => journal().finish('run_1', terminal)));
    expect(won.filter(Boolean)).to.have.length(1);
    expect((await journal().get('run_1'))?.terminal).to.deep.equal(endings[won.indexOf(true)]);
    expect(await journal().finish('run_1', failed('late'))).to.equal(false);
  });

  it('fences attempts: only a higher number goes', async () => {
    await journal().accept(acceptRecord('run_1'));
    const tries = [
      await journal().dispatch('run_1', 1, 'h_1'),
      await journal().dispatch('run_1', 1, 'h_2'),
      await journal().dispatch('run_1', 3, 'h_3'),
      await journal().dispatch('run_1', 2, 'h_2'),
    ];
    expect(tries).to.deep.equal([true, false, true, false]);
    expect(await journal().get('run_1')).to.include({ attempt: 3, hid: 'h_3' });
  });

  it('changes nothing of a run that ended', async () => {
    await journal().accept(acceptRecord('run_1'));
    await journal().finish('run_1', COMPLETED);
    const before = await journal().get('run_1');
    expect(await journal().dispatch('run_1', 1, 'h_1')).to.equal(false);
    await journal().delivered('run_1');
    await journal().route('run_1', ROUTE);
    expect(await journal().get('run_1')).to.deep.equal(before);
  });

  it('knows nothing of a run that was never accepted', async () => {
    expect(await journal().dispatch('nobody', 1, 'h')).to.equal(false);
    expect(await journal().finish('nobody', COMPLETED)).to.equal(false);
    await journal().route('nobody', ROUTE);
    await journal().delivered('nobody');
    expect(await journal().get('nobody')).to.equal(undefined);
  });

  it('keeps the order of writes that nobody waits for', async () => {
    const answers = await Promise.all([
      journal().accept(acceptRecord('run_1')),
      journal().dispatch('run_1', 1, 'h_1'),
      journal().finish('run_1', COMPLETED),
      journal().dispatch('run_1', 2, 'h_2'),
      journal().get('run_1'),
    ]);
    expect(answers.slice(1, 4)).to.deep.equal([true, true, false]);
    expect(answers[4]).to.include({ attempt: 1, hid: 'h_1' });
  });
}

function listings(journal: () => Journal): void {
  it('lists what is unfinished, oldest acceptance first, whatever the clock said', async () => {
    for (const [id, acceptedAtMs] of [
      ['c', 30],
      ['a', 20],
      ['d', 10],
      ['b', 40],
    ] as const) {
      await journal().accept(acceptRecord(id, { acceptedAtMs }));
    }
    await journal().finish('a', COMPLETED);
    expect((await journal().unfinished()).map((run) => run.id)).to.deep.equal(['c', 'd', 'b']);
  });

  it('pages through all runs in the order of acceptance', async () => {
    const ids = ['q', 'z', 'a', 'm', 'b'];
    await Promise.all(ids.map((id) => journal().accept(acceptRecord(id))));
    await journal().finish('z', COMPLETED);
    const first = (await journal().scan(2)).map((run) => run.id);
    const rest = (await journal().scan(100, first.at(-1))).map((run) => run.id);
    expect([...first, ...rest]).to.deep.equal(ids);
    expect(await journal().scan(10, 'nobody')).to.deep.equal([]);
    expect(verifyRecords(await journal().scan(100), { allEnded: false })).to.deep.equal([]);
  });

  it('prunes what ended before a time and nothing else', async () => {
    for (const id of ['old', 'new', 'open']) await journal().accept(acceptRecord(id));
    await journal().finish('old', { ...COMPLETED, atMs: 99 });
    await journal().finish('new', { ...COMPLETED, atMs: 100 });
    expect(await journal().prune(100)).to.equal(1);
    expect((await journal().scan(10)).map((run) => run.id)).to.deep.equal(['new', 'open']);
    expect(await journal().prune(100)).to.equal(0);
  });
}

function states(journal: () => Journal): void {
  it('keeps small values, the last one set', async () => {
    expect(await journal().getState('active-profile')).to.equal(undefined);
    await journal().setState('active-profile', 'demo');
    await journal().setState('active-profile', '{"name":"it\'s"}');
    await journal().setState('other', '');
    expect(await journal().getState('active-profile')).to.equal('{"name":"it\'s"}');
    expect(await journal().getState('other')).to.equal('');
  });

  it('sets several together', async () => {
    await journal().setState('one', 'old');
    await journal().setStates({ one: '1', two: "it's 2" });
    expect([await journal().getState('one'), await journal().getState('two')]).to.deep.equal(['1', "it's 2"]);
  });
}

function note(hid: string, more: Partial<MemoryNote> = {}): MemoryNote {
  const names = { hid, device: 'cuda0', model: 'coder', config: 'c1', build: 'b10', atMs: 1000 };
  return { ...names, plannedBytes: 100, allocatedBytes: 101, measuredBytes: 120, peakBytes: 130, ...more };
}

function memoryNotes(journal: () => Journal): void {
  it('keeps what was predicted and measured, the latest first, one per host and device', async () => {
    const { measuredBytes: _none, peakBytes: _neither, ...blind } = note('h2');
    for (const each of [note('h1'), note('h1', { device: 'cpu' }), blind]) await journal().noteMemory(each);
    await journal().noteMemory(note('h1', { peakBytes: 150.4, atMs: 2000.6 }));
    expect(await journal().memoryNotes(10)).to.deep.equal([
      blind,
      note('h1', { device: 'cpu' }),
      note('h1', { peakBytes: 150, atMs: 2001 }),
    ]);
    expect(await journal().memoryNotes(1)).to.deep.equal([blind]);
  });

  it('forgets the oldest notes of a configuration, device and build, and of no other', async () => {
    await journal().noteMemory(note('other', { build: 'b9' }));
    for (let life = 0; life < KEPT_NOTES + 2; life++) await journal().noteMemory(note(`h${life}`));
    const kept = (await journal().memoryNotes(100)).map(({ hid }) => hid);
    expect(kept).to.have.length(KEPT_NOTES + 1);
    expect([kept[0], kept.at(-2), kept.at(-1)]).to.deep.equal([`h${KEPT_NOTES + 1}`, 'h2', 'other']);
  });

  it('prunes old notes with old runs', async () => {
    await journal().noteMemory(note('old', { atMs: 99 }));
    await journal().noteMemory(note('new', { atMs: 100 }));
    expect(await journal().prune(100)).to.equal(0);
    expect((await journal().memoryNotes(10)).map(({ hid }) => hid)).to.deep.equal(['new']);
  });
}

function endings(journal: () => Journal): void {
  it('commits what is queued when it closes, then refuses', async () => {
    const accepted = journal().accept(acceptRecord('run_1'));
    const closed = journal().close();
    await accepted;
    await closed;
    await journal().close();
    expect(await codeOf(journal().accept(acceptRecord('run_2')))).to.equal('journal_unavailable');
    expect(await codeOf(journal().get('run_1'))).to.equal('journal_unavailable');
  });
}
