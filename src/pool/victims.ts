/**
 * The cheapest set of candidates that is enough. Pure; knows neither bytes nor models: what is enough is asked of the caller,
 * and more is never less. Exact for as many candidates as a few thousand looks can tell apart, bounded beyond.
 */

export interface Candidate {
  readonly id: string;
  /** What it costs to take this one, at least 0. */
  readonly cost: number;
  /** Decides between sets of equal cost and number: smaller goes first. */
  readonly size: number;
}

/** Sets looked at: every one of eleven candidates; of more, the likeliest. */
const MAX_LOOKS = 4096;

interface Chosen<C> {
  readonly members: readonly C[];
  readonly cost: number;
  readonly size: number;
}

/** The cheapest sufficient set, of those the one with fewest members; undefined when all together are not enough. */
export function cheapestSet<C extends Candidate>(
  candidates: readonly C[],
  enough: (chosen: readonly C[]) => boolean,
): readonly C[] | undefined {
  if (!enough(candidates)) return undefined;
  const cheapestFirst = [...candidates].sort((a, b) => a.cost - b.cost || a.size - b.size || compareIds(a.id, b.id));
  let best = weighed(withoutNeedless(cheapestFirst, enough));
  let looks = 0;
  const search = (members: readonly C[], from: number): void => {
    if (++looks > MAX_LOOKS || !isCheaper(weighed(members), best)) return;
    if (enough(members)) return void (best = weighed(members));
    if (!enough([...members, ...cheapestFirst.slice(from)])) return;
    cheapestFirst.slice(from).forEach((next, index) => search([...members, next], from + index + 1));
  };
  search([], 0);
  return withoutNeedless(best.members, enough);
}

/** Spares the dearest that can stay, one after the other: what is left needs each of its members. */
function withoutNeedless<C extends Candidate>(
  members: readonly C[],
  enough: (chosen: readonly C[]) => boolean,
): readonly C[] {
  let kept = members;
  for (const member of [...members].reverse()) {
    const others = kept.filter((other) => other !== member);
    if (enough(others)) kept = others;
  }
  return kept;
}

function weighed<C extends Candidate>(members: readonly C[]): Chosen<C> {
  const sum = (of: 'cost' | 'size'): number => members.reduce((total, member) => total + member[of], 0);
  return { members, cost: sum('cost'), size: sum('size') };
}

function isCheaper<C extends Candidate>(one: Chosen<C>, other: Chosen<C>): boolean {
  if (one.cost !== other.cost) return one.cost < other.cost;
  if (one.members.length !== other.members.length) return one.members.length < other.members.length;
  return one.size < other.size;
}

function compareIds(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
