/** Plays one seed and says what it broke, with what helps to find out why. */
import { violationsOf } from './invariants.js';
import { play } from './play.js';
import { kindOf, type Kind } from './weather.js';

/** Broken rules that are shown: the first ones tell most. */
const SHOWN = 20;

export interface Verdict {
  readonly seed: number;
  /** How it went, for people; undefined when every rule held. */
  readonly failure?: string;
  /** All that happened, line by line. */
  readonly story: string;
}

/** `kind`: another weather than the one at the seed's place. */
export async function judge(seed: number, kind: Kind = kindOf(seed)): Promise<Verdict> {
  const { history, world } = await play(seed, kind);
  const broken = violationsOf(history);
  const { story, lastLines } = world;
  if (broken.length === 0) return { seed, story };
  const head = `seed ${seed} (${kind}) breaks ${broken.length} rules:\n${broken.slice(0, SHOWN).join('\n')}`;
  return { seed, story, failure: `${head}\n${lastLines}\nagain, with its whole story: ${replayOf(seed, kind)}` };
}

export function replayOf(seed: number, kind: Kind = kindOf(seed)): string {
  const another = kind === kindOf(seed) ? '' : ` --kind '${kind}'`;
  return `npm run test:sim -- --seed ${seed}${another} --story`;
}
