/**
 * The rules of the design's section 5 over the history of a simulated run. Pure: data in, sentences about what is broken
 * out; an empty answer means that all is well.
 */
import type { RunRecord } from '../../src/journal/journal.js';
import { verifyFacts, verifyRecords } from '../journal/verify.js';
import { isTerminal, type RunEvent, type RunResult } from '../../src/schema/run.js';
import type { History, LeaseNote, Visit } from './history.js';
import type { Kind } from './weather.js';

/** Beyond its deadline a run may take this long to be cancelled and journalled, the sleep of the machine not counted. */
const OVERTIME_MS = 2500;
/** A host frees a cancelled slot within this, in good weather and at the very worst while it and its line are well. */
const CALM_CANCEL_MS = 1000;
const CANCEL_MS = 2000;
const LINES_ARE_WELL: readonly Kind[] = ['calm', 'hosts', 'restarts', 'memory', 'switches'];
/** How a request may end that only switches of profiles came across: its own will, its own limits, a name that is gone. */
const LOST_TO_NOBODY: readonly string[] = ['cancelled', 'deadline', 'queue_timeout', 'queue_full', 'model_not_found'];

/** Every rule that the history breaks. */
export function violationsOf(history: History): readonly string[] {
  const { visits, records, facts, noticed, complaints } = history;
  const byId = new Map(records.map((record) => [record.id, record]));
  return [
    ...noticed,
    ...complaints.map((line) => `log: ${line}`),
    ...verifyRecords(records, { allEnded: true }).map(({ id, message }) => `journal ${id}: ${message}`),
    ...verifyFacts(facts, { allEnded: true }).map(({ id, message }) => `journal ${id}: ${message}`),
    ...visits.flatMap((visit) => named(visit, visitRules(visit, history, byId))),
    ...acceptanceRules(visits, records),
    ...history.leases.flatMap((lease) => leaseRules(lease, history)),
    ...endRules(history),
  ];
}

function named({ name, runId }: Visit, broken: readonly string[]): readonly string[] {
  return broken.map((message) => `${name}${runId === undefined ? '' : ` (${runId})`}: ${message}`);
}

function visitRules(visit: Visit, history: History, records: ReadonlyMap<string, RunRecord>): string[] {
  const { outcome, runId, events, endedAtMs, askedAtMs, budgetMs } = visit;
  if (outcome === 'pending') return ['never came to an end'];
  if (visit.refusal === 'internal') return ['refused for a fault of ours'];
  if (runId === undefined) return events.length > 0 ? ['events without a run'] : [];
  const record = records.get(runId);
  if (record === undefined) return ['a client has an id that the journal does not know'];
  const broken = [...orderRules(events), ...tokenRules(events), ...replayRules(visit)];
  const tookMs = (endedAtMs ?? Infinity) - askedAtMs;
  if (outcome === 'read' && tookMs > budgetMs + OVERTIME_MS + history.sleptMs)
    broken.push(`took ${tookMs} ms of ${budgetMs}`);
  const last = events.at(-1);
  if (outcome === 'read' && (last === undefined || !isTerminal(last))) broken.push('the events stop before the end');
  const result = last !== undefined && 'result' in last ? last.result : undefined;
  if (result === undefined) return broken;
  return [...broken, ...resultRules(visit, result, record, history)];
}

/** Numbered from 1 without a gap, accepted and routed first, one end and nothing after it. */
function orderRules(events: readonly RunEvent[]): string[] {
  const broken: string[] = [];
  events.forEach(({ seq }, index) => {
    if (seq !== index + 1) broken.push(`event ${seq} stands at place ${index + 1}`);
  });
  const types = events.map(({ type }) => type);
  if (types.length > 0 && types[0] !== 'accepted') broken.push(`begins with ${String(types[0])}`);
  if (types.length > 1 && types[1] !== 'routed') broken.push(`goes on with ${String(types[1])}`);
  const end = events.findIndex(isTerminal);
  const after = end === -1 ? [] : types.slice(end + 1);
  if (after.length > 0) broken.push(`after the end came ${after.join(', ')}`);
  return broken;
}

/** Token indices run 0..n over all deltas of a run, whatever happened below. */
function tokenRules(events: readonly RunEvent[]): string[] {
  const broken: string[] = [];
  let next = 0;
  for (const event of events) {
    if (event.type !== 'delta') continue;
    if (event.firstIndex !== next) broken.push(`token ${event.firstIndex} came where ${next} was due`);
    next = event.firstIndex + event.ids.length;
  }
  return broken;
}

function replayRules({ events, replay }: Visit): string[] {
  if (replay === undefined) return [];
  const expected = JSON.stringify(events.slice(replay.afterSeq));
  return JSON.stringify(replay.events) === expected ? [] : ['a second look shows other events'];
}

/** The end that the client saw is the end that the journal holds, and the answer is one that the model gives. */
function resultRules(visit: Visit, result: RunResult, record: RunRecord, history: History): string[] {
  const broken: string[] = [];
  const { terminal } = record;
  const shown = result.error?.code === 'interrupted' ? 'interrupted' : result.status;
  // When the journal refuses the end itself, the client is told that, and the next start closes the record.
  const untold = result.error?.code === 'journal_unavailable' && terminal?.status === 'interrupted';
  if (terminal?.status !== shown && !untold)
    broken.push(`shown as ${shown}, journalled as ${terminal?.status ?? 'nothing'}`);
  const text = visit.events.map((event) => (event.type === 'delta' ? event.text : '')).join('');
  if (text !== result.text) broken.push('the text of the result is not the text of the deltas');
  broken.push(...answerRules(visit, result, history));
  if (result.error?.code === 'internal') broken.push(`failed for a fault of ours: ${result.error.message}`);
  const dispatched = result.attempts.filter(({ hid, code }) => hid !== '' && code !== 'journal_unavailable');
  const highest = dispatched.at(-1)?.attempt ?? 0;
  if (highest > record.attempt) broken.push(`attempt ${highest} is shown, ${record.attempt} is journalled`);
  if (history.kind === 'switches' && result.error !== undefined) {
    const { code } = result.error;
    const isCut = code === 'profile_switching' && result.usage.completionTokens > 0;
    if (!isCut && !LOST_TO_NOBODY.includes(code)) broken.push(`a switch lost it: ${code}: ${result.error.message}`);
  }
  if (history.kind === 'calm') {
    const fine =
      result.status === 'completed' || visit.cancelledAtMs !== undefined || result.error?.code === 'deadline';
    if (!fine && result.error?.code !== 'queue_timeout')
      broken.push(`failed without a fault: ${result.error?.code ?? '?'}`);
    if (result.attempts.length > 1) broken.push(`${result.attempts.length} attempts without a fault`);
  }
  return broken;
}

function answerRules({ ignoreEos }: Visit, result: RunResult, { answers }: History): string[] {
  const answer = answers[result.route?.model ?? ''] ?? '';
  const all = answer.repeat(ignoreEos ? Math.ceil(result.text.length / answer.length) + 1 : 1);
  if (!all.startsWith(result.text)) return [`an answer that the model does not give: ${JSON.stringify(result.text)}`];
  if (result.finishReason === 'stop' && result.text !== answer) return ['a complete answer with text missing'];
  return [];
}

/** Records that no client knows of belong to clients whose gateway died before it answered. */
function acceptanceRules(visits: readonly Visit[], records: readonly RunRecord[]): string[] {
  const known = new Set(visits.map(({ runId }) => runId));
  const unknown = records.filter(({ id }) => !known.has(id)).length;
  const unanswered = visits.filter(({ outcome, runId }) => runId === undefined && outcome !== 'refused').length;
  return unknown <= unanswered ? [] : [`${unknown} runs nobody asked for, ${unanswered} requests without an answer`];
}

function leaseRules(lease: LeaseNote, { visits, kind, lives, troubledHosts }: History): string[] {
  const broken: string[] = [];
  const { rid, model, released, lost, settledAtMs } = lease;
  const name = `lease of ${rid} on ${model}`;
  if (released > 1) broken.push(`${name}: released ${released} times`);
  const visit = visits.find(({ runId }) => runId === rid);
  if (released === 0 && !lost && lease.gateway === lives) broken.push(`${name}: never settled`);
  if (kind === 'calm' && lost) broken.push(`${name}: lost without a fault`);
  const cancelledAtMs = Math.max(visit?.cancelledAtMs ?? Infinity, lease.grantedAtMs);
  const heldMs = (settledAtMs ?? 0) - cancelledAtMs;
  const isWell = LINES_ARE_WELL.includes(kind) && !troubledHosts.has(lease.hid);
  if (isWell && heldMs > (kind === 'calm' ? CALM_CANCEL_MS : CANCEL_MS))
    broken.push(`${name}: held ${heldMs} ms after a cancel`);
  return broken;
}

function endRules({ atEnd, kind }: History): string[] {
  const broken: string[] = [];
  const zero = (count: number, what: string): unknown => count !== 0 && broken.push(`at the end: ${count} ${what}`);
  zero(atEnd.leased, 'leases are out');
  zero(atEnd.queued, 'requests are queued');
  zero(atEnd.streams, 'streams are open');
  zero(atEnd.requestTimers, 'timers of requests are set');
  zero(atEnd.hosts, 'hosts live beyond their time');
  zero(atEnd.timers, 'timers are left when everything is closed');
  zero(atEnd.heldBytes, 'bytes are booked or held when everything is closed');
  zero(atEnd.unloading, 'unloads have no answer');
  if (atEnd.biggest !== undefined) broken.push(`at the end not all bytes are free again: ${atEnd.biggest}`);
  if (kind === 'calm') for (const [what, count] of Object.entries(atEnd.busTrouble)) zero(count, `frames: ${what}`);
  return broken;
}
