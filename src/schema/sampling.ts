/**
 * How the next token is chosen, as it crosses the bus and as people write it in profiles (snake_case). Ranges mirror
 * `engine/sampling-types.ts`; what depends on the vocabulary is the engine's to check.
 */
import * as t from 'io-ts';
import { aboveZero, described, listOf, numberIn, oneOf, textOf } from './shape.js';

const fields = {
  temperature: described(numberIn(0, 100), '0 always takes the likeliest token'),
  topK: described(numberIn(0, 2 ** 31 - 1, 'whole'), 'Only so many of the likeliest tokens; 0 is off'),
  topP: described(aboveZero(1), 'Only the likeliest tokens that make up this share of the probability'),
  minP: described(numberIn(0, 1), 'Only tokens at least this likely, compared with the likeliest'),
  seed: described(numberIn(0, 2 ** 32 - 1, 'whole'), 'The same seed gives the same answer when nothing else runs'),
  typicalP: described(aboveZero(1), 'Locally typical sampling; 1 is off'),
  repeatPenalty: described(numberIn(0.01, 10), 'Divides the logits of recent tokens; 1 is off'),
  repeatLastN: described(numberIn(0, 65_536, 'whole'), 'Tokens that the penalties look back on'),
  frequencyPenalty: described(numberIn(-10, 10), 'Per occurrence among the recent tokens'),
  presencePenalty: described(numberIn(-10, 10), 'For having occurred among the recent tokens'),
  dryMultiplier: described(numberIn(0, 100), 'Weight of DRY, which punishes repeated sequences; 0 is off'),
  dryBase: numberIn(1, 16),
  dryAllowedLength: described(numberIn(0, 1024, 'whole'), 'Repetitions up to this many tokens cost nothing'),
  dryPenaltyLastN: described(numberIn(0, 65_536, 'whole'), 'Tokens that DRY looks back on'),
  drySequenceBreakers: described(
    listOf(textOf(1, 40), 16, 'a list of up to 16 strings'),
    'They end a sequence for DRY',
  ),
  xtcProbability: described(numberIn(0, 1), 'Chance that XTC drops the likeliest tokens; 0 is off'),
  xtcThreshold: numberIn(0, 1),
  mirostat: oneOf([0, 1, 2]),
  mirostatTau: numberIn(0, 100),
  mirostatEta: numberIn(0, 1),
  dynatempRange: described(numberIn(0, 100), 'The temperature moves by this much with the entropy; 0 is off'),
  dynatempExponent: numberIn(0, 100),
};

export const SamplingCodec = t.partial(fields);
/** Sampling parameters; absent ones take the engine's defaults. */
export type Sampling = t.TypeOf<typeof SamplingCodec>;

/** All names, in a fixed order. */
export const SAMPLING_NAMES = Object.keys(fields) as readonly (keyof Sampling)[];

type Written<S extends string> = S extends `${infer Head}${infer Rest}`
  ? `${Head extends Lowercase<Head> ? Head : `_${Lowercase<Head>}`}${Written<Rest>}`
  : '';
/** A name as people write it: `top_k` for `topK`. */
export type WrittenSamplingName = Written<keyof Sampling>;

export function writtenName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

type WrittenFields = { readonly [K in keyof typeof fields as Written<K>]: (typeof fields)[K] };

/** The same fields under the names that people write. */
export const WRITTEN_SAMPLING = Object.fromEntries(
  Object.entries(fields).map(([name, codec]) => [writtenName(name), codec]),
) as unknown as WrittenFields;

/** From the names that people write to ours; what is not a sampling parameter is left out. */
export function samplingFrom(written: Readonly<Record<string, unknown>>): Sampling {
  const known = SAMPLING_NAMES.map((name) => [name, written[writtenName(name)]] as const);
  return Object.fromEntries(known.filter(([, value]) => value !== undefined)) as Sampling;
}

/** The sampling parameters of something that has more. */
export function samplingOf(all: Sampling): Sampling {
  const known = SAMPLING_NAMES.map((name) => [name, all[name]] as const);
  return Object.fromEntries(known.filter(([, value]) => value !== undefined)) as Sampling;
}
