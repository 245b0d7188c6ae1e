/**
 * What LoRA adapters do to a fake engine: another set is another seed, and its prompts are remembered apart. Pure; knows
 * no files.
 */
import type { AdapterUse } from './adapter-types.js';
import { mix } from './fake-text.js';

/** Above every token id. */
const TOKENS = 1024;

/** A number that sets with the same adapters and scales have in common; undefined for none. */
export function adapterSeed(lora: readonly AdapterUse[] = []): number | undefined {
  const used = lora.filter(({ scale }) => scale !== 0).map(({ name, scale = 1 }) => `${name} ${scale}`);
  return used.length === 0 ? undefined : mix(...Buffer.from(used.toSorted().join('\n')));
}

/** A seed of the engine with the set mixed in. */
export function adaptedSeed(seed: number, lora: readonly AdapterUse[] | undefined): number {
  const adapter = adapterSeed(lora);
  return adapter === undefined ? seed : mix(seed, adapter);
}

/** A text that makes another vector for every set, and its own for none. */
export function accented(text: string, lora: readonly AdapterUse[] | undefined): string {
  return `${text} ${adapterSeed(lora) ?? ''}`;
}

/** The tokens of a prompt as the prefix cache knows them. */
export function prefixKey(tokens: readonly number[], lora: readonly AdapterUse[] | undefined): readonly number[] {
  const seed = adapterSeed(lora);
  return seed === undefined ? tokens : tokens.map((token) => (seed + 1) * TOKENS + token);
}
