/** The simulator must be able to find a bug: parts that are broken on purpose, and the rule that notices each. */
import { expect } from 'chai';
import type { JournalFact } from '../../src/journal/memory-journal.js';
import type { MemoryJournal } from '../../src/journal/memory-journal.js';
import type { Orchestra, Run } from '../../src/orchestra/orchestra.js';
import type { Pool } from '../../src/pool/pool.js';
import type { RunEvent } from '../../src/schema/run.js';
import type { Sabotage } from './gateway.js';
import { violationsOf } from './invariants.js';
import {
  evictsOnAStaleRead,
  takesNothingBack,
  freesAtTheCommand,
  leasesWhatLeaves,
  opensBeforeTheLoad,
} from './known-bugs.js';
import { play } from './play.js';
import type { Kind } from './weather.js';

const TRIES = 12;

/** What the seeds have to say, up to the first that names the rule: what is broken may break others first. */
async function noticed(kind: Kind, sabotage: Sabotage, rule: RegExp): Promise<string> {
  const said: string[] = [];
  for (let seed = 0; seed < TRIES && !said.some((line) => rule.test(line)); seed++) {
    said.push(...violationsOf((await play(seed, kind, sabotage)).history));
  }
  return said.join('\n');
}

/** Everything of `target` as it is, but for what `changed` replaces. */
function but<T extends object>(target: T, changed: Partial<T>): T {
  return new Proxy(target, {
    get(_target, property): unknown {
      const value = Reflect.get(property in changed ? changed : target, property) as unknown;
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
    set: (_target, property, value) => Reflect.set(target, property, value),
  });
}

/** Runs whose events go through `change`. */
function retold(orchestra: Orchestra, change: (events: AsyncIterable<RunEvent>) => AsyncIterable<RunEvent>): Orchestra {
  const retell = (run: Run): Run => but(run, { events: (after, signal) => change(run.events(after, signal)) });
  return but(orchestra, { submit: async (request, signal) => retell(await orchestra.submit(request, signal)) });
}

async function* goesOn(events: AsyncIterable<RunEvent>): AsyncGenerator<RunEvent> {
  let last: RunEvent | undefined;
  for await (const event of events) {
    yield event;
    last = event.type === 'delta' ? event : last;
  }
  if (last !== undefined) yield last;
}

async function* stutters(events: AsyncIterable<RunEvent>): AsyncGenerator<RunEvent> {
  for await (const event of events) {
    yield event;
    if (event.type === 'delta' && event.firstIndex === 3) yield event;
  }
}

/** The slot goes to the next one as soon as it is granted, not when the host has finished. */
function hasty(pool: Pool): Pool {
  return but(pool, {
    lease: async (request, signal) => {
      const lease = await pool.lease(request, signal);
      lease.release();
      return lease;
    },
  });
}

/** A lease that is asked for and never given back. */
function greedy(pool: Pool): Pool {
  return but(pool, {
    lease: async (request, signal) => but(await pool.lease(request, signal), { release: () => undefined }),
  });
}

function forgetful(journal: MemoryJournal): MemoryJournal {
  return but(journal, {
    unfinished: () => Promise.resolve([]),
    clone: () => forgetful(journal.clone()),
  });
}

/** Says yes to an end before it is durable, and writes a handful of them at a time. */
function rash(journal: MemoryJournal): MemoryJournal {
  const held: Parameters<MemoryJournal['finish']>[] = [];
  const finish: MemoryJournal['finish'] = (...end) => {
    held.push(end);
    if (held.length === 4) for (const [id, terminal] of held.splice(0)) void journal.finish(id, terminal);
    return Promise.resolve(true);
  };
  return but(journal, { finish, clone: () => rash(journal.clone()) });
}

/** Does not compare before it sets: a restart ends again what had ended. */
function unfenced(journal: MemoryJournal): MemoryJournal {
  const facts = journal.facts as JournalFact[];
  const finish: MemoryJournal['finish'] = async (id, terminal) => {
    if (!(await journal.finish(id, terminal))) facts.push({ kind: 'finish', id, status: terminal.status });
    return true;
  };
  const unfinished: MemoryJournal['unfinished'] = () => journal.scan(Number.MAX_SAFE_INTEGER);
  return but(journal, { unfinished, finish, clone: () => unfenced(journal.clone()) });
}

describe('simulator: parts that are broken on purpose', () => {
  const cases: readonly [string, Kind, Sabotage, RegExp][] = [
    ['a slot given away before the host has finished', 'calm', { pool: hasty }, /\d+ sequences in \d+ slots/],
    ['a lease that never comes back', 'calm', { pool: greedy }, /lost without a fault/],
    ['a delta after the end', 'calm', { orchestra: (real) => retold(real, goesOn) }, /after the end came delta/],
    ['a token shown twice', 'calm', { orchestra: (real) => retold(real, stutters) }, /token 3 came where 4 was due/],
    ['a restart that forgets what ran', 'restarts', { journal: forgetful }, /accepted and never ended/],
    ['an end shown before it is durable', 'restarts', { journal: rash }, /shown as \w+, journalled as interrupted/],
    ['an end that a restart replaces', 'restarts', { journal: unfenced }, /finish after its end/],
    [
      'bytes given away before their process ended',
      'calm',
      { policies: freesAtTheCommand },
      /hold \d+ bytes, \d+ are booked/,
    ],
    ['an eviction decided on a stale read', 'calm', { policies: evictsOnAStaleRead }, /attempts without a fault/],
    ['leases on a model that leaves', 'calm', { policies: leasesWhatLeaves }, /attempts without a fault/],
    [
      'a switch that ends half way',
      'switches',
      { transition: takesNothingBack },
      /one profile at a time is made ready/,
    ],
    ['a model opened before its load is done', 'calm', { policies: opensBeforeTheLoad }, /attempts without a fault/],
  ];
  for (const [what, kind, sabotage, rule] of cases) {
    it(`notices ${what}`, async () => {
      expect(await noticed(kind, sabotage, rule)).to.match(rule);
    });
  }

  it('plays the same seed the same way', async () => {
    const [first, second] = [await play(4), await play(4)];
    expect(first.world.story).to.equal(second.world.story);
    expect(first.history).to.deep.equal(second.history);
    expect(first.world.story).to.not.equal((await play(9)).world.story);
  });
});
