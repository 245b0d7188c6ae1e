/**
 * The journal's invariants over plain data: what every reader may rely on, whichever implementation wrote it. Pure; used by
 * the tests of both journals and by the simulator. Repairs nothing.
 */
import type { RunRecord } from '../../src/journal/journal.js';
import type { JournalFact } from '../../src/journal/memory-journal.js';

export interface Violation {
  readonly id: string;
  readonly message: string;
}

export interface VerifyOptions {
  /** True where nothing can be running any more: then a run without a terminal record is a violation. */
  readonly allEnded: boolean;
}

/** Checks records as they stand. An empty answer means that all is well. */
export function verifyRecords(records: readonly RunRecord[], options: VerifyOptions): readonly Violation[] {
  const violations: Violation[] = [];
  const seen = new Set<string>();
  for (const run of records) {
    const broken = (message: string): unknown => violations.push({ id: run.id, message });
    if (seen.has(run.id)) broken('accepted more than once');
    seen.add(run.id);
    if (!Number.isInteger(run.attempt) || run.attempt < 0) broken(`attempt ${run.attempt} is not a count`);
    if (run.attempt > 0 !== (run.hid !== undefined)) broken('an attempt without a host, or a host without an attempt');
    if (run.delivered && run.attempt === 0) broken('delivered before any attempt');
    if (options.allEnded && run.terminal === undefined) broken('accepted and never ended');
    if (run.terminal?.status === 'completed' && run.terminal.error !== undefined) broken('completed with an error');
    if (run.terminal?.status === 'failed' && run.terminal.error === undefined) broken('failed without an error');
  }
  return violations;
}

interface Life {
  attempt: number;
  ended: boolean;
}

/** Checks the order of changes: accepted first and once, attempts rising, one terminal fact and nothing after it. */
export function verifyFacts(facts: readonly JournalFact[], options: VerifyOptions): readonly Violation[] {
  const violations: Violation[] = [];
  const lives = new Map<string, Life>();
  for (const fact of facts) {
    const broken = (message: string): unknown => violations.push({ id: fact.id, message });
    const life = lives.get(fact.id);
    if (fact.kind === 'accept') {
      if (life === undefined) lives.set(fact.id, { attempt: 0, ended: false });
      else broken('accepted more than once');
      continue;
    }
    if (life === undefined) {
      broken(`${fact.kind} before it was accepted`);
      continue;
    }
    if (life.ended) broken(`${fact.kind} after its end`);
    if (fact.kind === 'finish') life.ended = true;
    if (fact.kind === 'dispatch') {
      if (fact.attempt <= life.attempt) broken(`attempt ${fact.attempt} after attempt ${life.attempt}`);
      life.attempt = Math.max(life.attempt, fact.attempt);
    }
  }
  if (!options.allEnded) return violations;
  const open = [...lives].filter(([, life]) => !life.ended);
  return [...violations, ...open.map(([id]) => ({ id, message: 'accepted and never ended' }))];
}
