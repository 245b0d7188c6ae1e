/** What is remembered of failures when the gateway starts again. */
import { expect } from 'chai';
import { LlamaestroError } from '../../src/base/errors.js';
import { silentLogger } from '../../src/base/log.js';
import { MemoryJournal } from '../../src/journal/memory-journal.js';
import { CrashBook, MAX_CRASH_NOTES } from '../../src/pool/crash-book.js';
import type { Failure } from '../../src/pool/failure.js';
import { FakeClock, settle } from '../support/fake-clock.js';

const HOUR_MS = 3_600_000;

describe('crash book', () => {
  let clock: FakeClock;
  let keeper: MemoryJournal;
  beforeEach(async () => {
    clock = new FakeClock();
    keeper = new MemoryJournal();
    await keeper.open();
  });

  function failure(more: Partial<Failure> = {}): Failure {
    const error = new LlamaestroError('host_lost', 'was ended by SIGSEGV');
    return { error, crash: true, deterministic: false, failures: 3, retryAtMs: clock.nowMs() + 4000, ...more };
  }

  /** A book over the same journal, as a later life of the gateway opens it: its monotonic clock begins anew. */
  async function reopened(afterMs: number): Promise<CrashBook> {
    await settle();
    const later = new FakeClock(clock.wallMs() + afterMs);
    const book = new CrashBook({ keeper, clock: later, log: silentLogger });
    await book.open();
    return book;
  }

  async function noted(more: Partial<Failure> = {}): Promise<CrashBook> {
    const book = new CrashBook({ keeper, clock, log: silentLogger });
    await book.open();
    clock.advance(50_000);
    book.note('config 1', 'coder', failure(more));
    return book;
  }

  it('knows the failure after a restart, with what is left of its pause', async () => {
    await noted();
    const known = (await reopened(1000)).of('config 1');
    expect(known).to.include({ failures: 3, crash: true, deterministic: false, retryAtMs: 3000 });
    expect(known?.error.message).to.contain('SIGSEGV');
    expect((await reopened(1000)).of('config 2')).to.equal(undefined);
  });

  it('keeps the count when the pause is over, and forgets it after a day', async () => {
    await noted();
    expect((await reopened(HOUR_MS)).of('config 1')).to.include({ failures: 3, retryAtMs: 0 });
    expect((await reopened(24 * HOUR_MS)).of('config 1')).to.equal(undefined);
  });

  it('believes no pause that a wall clock set back would make endless', async () => {
    await noted();
    expect((await reopened(-1000 * HOUR_MS)).of('config 1')?.retryAtMs).to.be.at.most(72_000);
  });

  it('forgets what has stood', async () => {
    const book = await noted();
    book.forget('config 1');
    expect(book.of('config 1')).to.equal(undefined);
    expect((await reopened(0)).of('config 1')).to.equal(undefined);
  });

  it('does not carry over what a repair may have ended', async () => {
    const book = await noted({ deterministic: true });
    expect(book.of('config 1')).to.equal(undefined);
  });

  it('is bounded: those that failed last stay', async () => {
    const book = await noted();
    for (let index = 0; index < MAX_CRASH_NOTES; index++) book.note(`other ${String(index)}`, 'm', failure());
    expect(book.of('config 1')).to.equal(undefined);
    expect((await reopened(0)).of(`other ${String(MAX_CRASH_NOTES - 1)}`)).to.not.equal(undefined);
  });

  it('goes on without a journal that works, and over one that holds something else', async () => {
    await keeper.setState('crashes', '[{"config": 5}]');
    expect((await reopened(0)).of('config 1')).to.equal(undefined);
    keeper.failing = true;
    const book = await noted();
    await settle();
    expect(book.of('config 1')).to.include({ failures: 3 });
  });
});
