/** How the next token is chosen: the part of a request that samplers read. A contract in types, no code; `engine.ts` passes it on. */

/** Ranges are checked before anything reaches llama.cpp; a value outside is `invalid_request` naming the field. */
export interface SamplingOptions {
  /** 0 … 100; 0 is greedy. Default 0.8. */
  readonly temperature?: number;
  /** 0 (off) … vocabulary. Default 40. */
  readonly topK?: number;
  /** (0, 1]. Default 0.95. */
  readonly topP?: number;
  /** [0, 1]. Default 0.05. */
  readonly minP?: number;
  /** 0 … 2^32 - 1. Default: random. Same seed, prompt and options give the same tokens when the sequence runs alone. */
  readonly seed?: number;
  /** (0, 1]; 1 is off. Default 1. */
  readonly typicalP?: number;
  /** Divides the logits of the last `repeatLastN` tokens, prompt included: 0.01 … 10; 1 is off. Default 1. */
  readonly repeatPenalty?: number;
  /** Tokens that the three penalties look back on: 0 (off) … 65536. Default 64. */
  readonly repeatLastN?: number;
  /** Per occurrence in the last `repeatLastN` tokens: -10 … 10; 0 is off. Default 0. */
  readonly frequencyPenalty?: number;
  /** For having occurred in the last `repeatLastN` tokens: -10 … 10; 0 is off. Default 0. */
  readonly presencePenalty?: number;
  /** Weight of DRY, which punishes repeating sequences: 0 (off) … 100. Default 0. */
  readonly dryMultiplier?: number;
  /** 1 … 16. Default 1.75. */
  readonly dryBase?: number;
  /** Repetitions up to this many tokens cost nothing: 0 … 1024. Default 2. */
  readonly dryAllowedLength?: number;
  /** Tokens that DRY looks back on, prompt included: 0 (off) … 65536. Default 64. */
  readonly dryPenaltyLastN?: number;
  /** At most 16 strings of 1 … 40 bytes that end a sequence for DRY. Default: newline, colon, quote, asterisk. */
  readonly drySequenceBreakers?: readonly string[];
  /** Chance that XTC drops the likeliest tokens but one above `xtcThreshold`: 0 (off) … 1. Default 0. */
  readonly xtcProbability?: number;
  /** 0 … 1; above 0.5 XTC is off. Default 0.1. */
  readonly xtcThreshold?: number;
  /** 0 is off; with 1 and 2 only temperature, logit bias, grammar and seed count beside it. Default 0. */
  readonly mirostat?: 0 | 1 | 2;
  /** Target surprise in bits, 0 … 100. Default 5. */
  readonly mirostatTau?: number;
  /** Learning rate, 0 … 1. Default 0.1. */
  readonly mirostatEta?: number;
  /** The temperature moves by this much around `temperature`, with the entropy: 0 (off) … 100. Default 0. */
  readonly dynatempRange?: number;
  /** 0 … 100. Default 1. */
  readonly dynatempExponent?: number;
  /** Added to the logits of at most 1024 token ids: -100 (as good as banned) … 100 (as good as forced). */
  readonly logitBias?: Readonly<Record<number, number>>;
}
