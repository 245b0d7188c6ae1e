/**
 * Fair turns among flows that wait, as plain data: each turn of a flow moves its mark by the flow's cost, and the lowest mark
 * to come is next, so that a flow of half the cost has twice the turns and none is passed over for ever. Marks are whole
 * numbers, so what is foretold is what happens. Knows neither requests nor models.
 */
import { assert } from '../base/assert.js';

export interface Turns {
  /** How far those who waited have come together; a flow that comes anew starts here at least. */
  readonly level: number;
  /** How far each flow has come that waits or is ahead of the level. */
  readonly marks: ReadonlyMap<string, number>;
}

export const NO_TURNS: Turns = { level: 0, marks: new Map() };

/** A flow begins to wait. Turns that it did not take before are not owed to it; those that it had too early still count. */
export function joined(turns: Turns, flow: string): Turns {
  const mark = Math.max(turns.marks.get(flow) ?? 0, Math.floor(turns.level));
  return { ...turns, marks: new Map(turns.marks).set(flow, mark) };
}

/** `flow` had a turn; `costs` are those of all flows that waited for it, its own among them. */
export function served(turns: Turns, flow: string, costs: ReadonlyMap<string, number>): Turns {
  const [mark, cost] = [turns.marks.get(flow), costs.get(flow)];
  assert(mark !== undefined && cost !== undefined, `${flow} has a turn without waiting`);
  const speed = [...costs.values()].reduce((sum, each) => sum + 1 / each, 0);
  return { level: turns.level + 1 / speed, marks: new Map(turns.marks).set(flow, mark + cost) };
}

/** Forgets flows that do not wait and are not ahead: they would start at the level all the same. */
export function tidied(turns: Turns, waiting: ReadonlySet<string>): Turns {
  const kept = [...turns.marks].filter(([flow, mark]) => waiting.has(flow) || mark > Math.floor(turns.level));
  return { ...turns, marks: new Map(kept) };
}

/** When the turn after `ahead` more of `flow` comes, as things are: the smallest of all is next. */
export function dueOf(turns: Turns, flow: string, ahead: number, cost: number): number {
  return (turns.marks.get(flow) ?? Math.floor(turns.level)) + (ahead + 1) * cost;
}
