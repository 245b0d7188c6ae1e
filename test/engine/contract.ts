/**
 * The contract of `src/engine/engine.ts` as a suite: every driver that passes it may stand below the server. Knows
 * nothing of how a driver works; the files it needs are named by the subject.
 */
import { adapterContract } from './contract-adapters.js';
import { chatContract } from './contract-chat.js';
import { classifyContract } from './contract-classify.js';
import { loadContract } from './contract-load.js';
import { choicesContract } from './contract-choices.js';
import { prefixContract } from './contract-prefix.js';
import { samplingContract } from './contract-sampling.js';
import { sequenceContract } from './contract-sequence.js';
import { sideContract } from './contract-side.js';
import type { EngineDriver } from '../../src/engine/engine.js';

export interface ContractFiles {
  /** Answers `sentence` to every prompt and ends by itself; holds characters of several bytes or spaces. */
  readonly talk: string;
  readonly sentence: string;
  /** What it says depends on prompt and seed; rarely ends by itself. */
  readonly endless: string;
  /** One token per byte of prompt or nearly so: 1500 bytes take it many chunks of 16 tokens. */
  readonly heavy: string;
  readonly embedder: string;
  readonly reranker: string;
  /** Thinks, then says 'The answer is forty-two.' Its thought stands between <think> tags in the plain text. */
  readonly thinker: string;
  /** Calls get_weather with city 'Paris' and days 3 when it is given tools. */
  readonly caller: string;
  /** Its cache cannot be cut, so that it comes back to a place only as a whole. */
  readonly recurrent: string;
  /** LoRA adapters: two for `endless`, one for `embedder`. */
  readonly adapters: { readonly first: string; readonly second: string; readonly embedder: string };
  /** Not a loadable model. */
  readonly broken: string;
}

export interface ContractSubject {
  readonly driver: EngineDriver;
  readonly files: ContractFiles;
}

/** Defines the suite; `prepare` runs once, before the first test. */
export function engineContract(name: string, prepare: () => Promise<ContractSubject>): void {
  describe(`engine contract: ${name}`, function () {
    this.timeout(120_000);
    let subject: ContractSubject;
    before(async () => {
      subject = await prepare();
    });
    loadContract(() => subject);
    sequenceContract(() => subject);
    samplingContract(() => subject);
    choicesContract(() => subject);
    prefixContract(() => subject);
    chatContract(() => subject);
    classifyContract(() => subject);
    adapterContract(() => subject);
    sideContract(() => subject);
  });
}
