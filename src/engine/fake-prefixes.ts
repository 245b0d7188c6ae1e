/**
 * The prompt prefixes that a fake engine remembers: whole blocks of tokens, the least recently used prompt forgotten
 * first. Mirrors what callers see of the native prefix cache; deliberately knows no bytes of a model.
 */
import type { EngineStats } from './engine.js';

/** Tokens of a block; matches end on multiples of it. */
export const FAKE_BLOCK_TOKENS = 64;
/** Budget when the load options name none. */
export const FAKE_PREFIX_BYTES = 1024 * 1024;
/** What a remembered token is said to cost. */
const BYTES_PER_TOKEN = 4;

export class FakePrefixes {
  /** Runs of whole blocks, the one used last at the end. */
  private runs: (readonly number[])[] = [];
  private hits = 0;
  private cachedTokens = 0;

  constructor(private readonly budgetBytes: number) {}

  /** Tokens of a prompt that need not be computed: whole blocks, at least one token is left. Counts as a use. */
  take(tokens: readonly number[]): number {
    let [best, bestRun] = [0, undefined as readonly number[] | undefined];
    for (const run of this.runs) {
      const common = run.findIndex((token, index) => index >= tokens.length - 1 || token !== tokens[index]);
      const usable = wholeBlocks(common < 0 ? run.length : common);
      if (usable > best) [best, bestRun] = [usable, run];
    }
    if (bestRun === undefined) return 0;
    this.runs = [...this.runs.filter((run) => run !== bestRun), bestRun];
    this.hits += 1;
    this.cachedTokens += best;
    return best;
  }

  /** Remembers the whole blocks of a prompt that has been computed. */
  keep(tokens: readonly number[]): void {
    const run = tokens.slice(0, wholeBlocks(tokens.length));
    if (run.length === 0) return;
    this.runs = [...this.runs.filter((other) => !startsWith(run, other)), run];
    while (this.bytes() > this.budgetBytes) this.runs.shift();
  }

  stats(): Pick<EngineStats, 'cachedTokens' | 'prefixHits' | 'prefixBlocks' | 'prefixBytes'> {
    const prefixBytes = this.bytes();
    const prefixBlocks = prefixBytes / BYTES_PER_TOKEN / FAKE_BLOCK_TOKENS;
    return { cachedTokens: this.cachedTokens, prefixHits: this.hits, prefixBlocks, prefixBytes };
  }

  private bytes(): number {
    return this.runs.reduce((sum, run) => sum + run.length, 0) * BYTES_PER_TOKEN;
  }
}

function wholeBlocks(count: number): number {
  return count - (count % FAKE_BLOCK_TOKENS);
}

function startsWith(run: readonly number[], beginning: readonly number[]): boolean {
  return beginning.every((token, index) => token === run[index]);
}
