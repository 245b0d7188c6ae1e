/**
 * The prompt prefixes that a fake engine remembers: whole blocks of tokens, the least recently used prompt forgotten
 * first. Mirrors what callers see of the native prefix cache, its files included; deliberately knows no bytes of a model.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import type { EngineStats, PrefixFileSummary } from './engine.js';
import { refuse } from './validate-values.js';

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

  /** `hasGenerated`: answers are kept too. */
  constructor(
    private readonly budgetBytes: number,
    private readonly hasGenerated: boolean,
  ) {}

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

  /** Remembers the whole blocks of tokens that have been computed. */
  keep(tokens: readonly number[]): void {
    const run = tokens.slice(0, wholeBlocks(tokens.length));
    if (run.length === 0) return;
    this.runs = [...this.runs.filter((other) => !startsWith(run, other)), run];
    while (this.bytes() > this.budgetBytes) this.runs.shift();
  }

  /** Nothing stays in a slot. */
  stats(): Pick<EngineStats, 'cachedTokens' | 'inPlaceTokens' | 'prefixHits' | 'prefixBlocks' | 'prefixBytes'> {
    const prefixBytes = this.bytes();
    const prefixBlocks = prefixBytes / BYTES_PER_TOKEN / FAKE_BLOCK_TOKENS;
    return { cachedTokens: this.cachedTokens, inPlaceTokens: 0, prefixHits: this.hits, prefixBlocks, prefixBytes };
  }

  /** As `Engine.savePrefixes`; `model` is what a file belongs to. */
  async save(file: string, model: string, only?: readonly number[]): Promise<PrefixFileSummary> {
    this.refuseOff();
    const runs = only === undefined ? this.runs : this.knownOf(only);
    const text = JSON.stringify({ model, hasGenerated: this.hasGenerated, runs });
    try {
      await writeFile(`${file}.tmp`, text);
      await rename(`${file}.tmp`, file);
    } catch (thrown) {
      refuse('file', `${file} cannot be written: ${String(thrown)}`, { reason: 'unwritable' });
    }
    return { prefixes: runs.length, tokens: countTokens(runs), bytes: Buffer.byteLength(text) };
  }

  /** As `Engine.restorePrefixes`. */
  async restore(file: string, model: string): Promise<PrefixFileSummary> {
    this.refuseOff();
    const text = await readFile(file, 'utf8').catch(() =>
      refuse('file', `${file} cannot be read`, { reason: 'unreadable' }),
    );
    const before = this.runs;
    for (const run of parseRuns(file, text, model, this.hasGenerated)) {
      if (this.bytes() + run.length * BYTES_PER_TOKEN <= this.budgetBytes) this.keep(run);
    }
    const added = this.runs.filter((run) => !before.some((other) => startsWith(other, run)));
    return { prefixes: added.length, tokens: countTokens(added), bytes: countTokens(added) * BYTES_PER_TOKEN };
  }

  /** One prompt, as far as it is known. */
  private knownOf(tokens: readonly number[]): readonly (readonly number[])[] {
    const known = Math.max(0, ...this.runs.map((run) => wholeBlocks(commonLength(run, tokens))));
    return known === 0 ? [] : [tokens.slice(0, known)];
  }

  private refuseOff(): void {
    if (this.budgetBytes === 0) refuse('prefixCacheBytes', 'this model keeps no prefixes');
  }

  private bytes(): number {
    return countTokens(this.runs) * BYTES_PER_TOKEN;
  }
}

function parseRuns(file: string, text: string, model: string, takesGenerated: boolean): readonly (readonly number[])[] {
  let parsed: { model?: unknown; hasGenerated?: unknown; runs?: unknown };
  try {
    parsed = Object(JSON.parse(text)) as typeof parsed;
  } catch {
    return refuse('file', `${file} is not a file of prefixes`, { reason: 'foreign' });
  }
  if (parsed.model !== model) refuse('file', `${file} belongs to another model`, { reason: 'foreign' });
  if (parsed.hasGenerated === true && !takesGenerated) {
    refuse('file', `${file} belongs to other options`, { reason: 'foreign' });
  }
  if (!Array.isArray(parsed.runs)) refuse('file', `${file} is damaged`, { reason: 'damaged' });
  return parsed.runs as readonly (readonly number[])[];
}

function countTokens(runs: readonly (readonly number[])[]): number {
  return runs.reduce((sum, run) => sum + run.length, 0);
}

function wholeBlocks(count: number): number {
  return count - (count % FAKE_BLOCK_TOKENS);
}

function commonLength(a: readonly number[], b: readonly number[]): number {
  const parting = a.findIndex((token, index) => token !== b[index]);
  return parting < 0 ? a.length : parting;
}

function startsWith(run: readonly number[], beginning: readonly number[]): boolean {
  return beginning.every((token, index) => token === run[index]);
}
