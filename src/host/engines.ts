/**
 * The engines of one host: a single one as a rule, those of a group where several small models share the process. They come
 * all or none and go together; what is said of them is said of the host as a whole and of each by itself. Knows no bus and
 * no states.
 */
import { LlamaestroError, toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Engine, EngineDriver } from '../engine/engine.js';
import type { HostEvent, MemberReport } from '../schema/bus-messages.js';
import type { LoadOptions } from '../schema/load.js';
import { sumOfPlans } from '../schema/plan-sum.js';

/** Never rejects and takes bounded time. */
export interface PrefixKeeper {
  /** The options to load with, so that what is kept fits. */
  prepare(load: LoadOptions): Promise<LoadOptions>;
  /** Of an engine that is about to close. */
  save(engine: Engine, load: LoadOptions): Promise<void>;
  /** Resolves with the tokens that a new engine took over. */
  restore(engine: Engine, load: LoadOptions): Promise<number>;
}

export interface EnginesParts {
  readonly driver: EngineDriver;
  readonly log: Logger;
  /** Absent: prefixes end with the host. */
  readonly prefixes?: PrefixKeeper;
}

/** A model to load; the name that requests call it by, where there are several. */
export interface Wanted {
  readonly model?: string;
  readonly load: LoadOptions;
}

interface Member extends Wanted {
  readonly engine: Engine;
  readonly restoredTokens: number;
}

type Counts = Pick<HostEvent, 'running' | 'waiting' | 'steps' | 'stalledMs'>;
type Figures = Partial<Pick<HostEvent, 'info' | 'planned' | 'allocated' | 'restoredPrefixTokens' | 'members'>>;

export class Engines {
  private members: readonly Member[] = [];

  constructor(private readonly parts: EnginesParts) {}

  /** Loads them one after the other. Rejects with the error of the first that fails, and then none is there. */
  async load(wanted: readonly Wanted[], onProgress: (fraction: number) => void, signal: AbortSignal): Promise<void> {
    const loaded: Member[] = [];
    try {
      for (const one of wanted) {
        const done = loaded.length;
        const progress = (fraction: number): void => onProgress((done + fraction) / wanted.length);
        loaded.push(await this.loadOne(one, progress, signal));
      }
    } catch (thrown) {
      await Promise.allSettled(loaded.map(({ engine }) => engine.close()));
      throw thrown;
    }
    this.members = loaded;
  }

  /** The one that is called so, or the only one; undefined while none is loaded. `invalid_request` where there are others only. */
  named(model: string | undefined): Engine | undefined {
    const [first] = this.members;
    if (first?.model === undefined) return first?.engine;
    const found = this.members.find((one) => one.model === model);
    if (found !== undefined) return found.engine;
    const names = this.members.map((one) => one.model).join(', ');
    throw new LlamaestroError('invalid_request', `this host has several models; name one of: ${names}`, {
      param: 'model',
    });
  }

  ofFile(file: string): Engine | undefined {
    return this.members.find(({ engine }) => engine.info.file === file)?.engine;
  }

  /** Sums; the longest stall of any, so that one that hangs shows. */
  counts(): Counts {
    const stats = this.members.map(({ engine }) => engine.stats());
    const [only] = stats;
    if (only !== undefined && stats.length === 1) return only;
    const sum = (of: (one: (typeof stats)[number]) => number): number => stats.reduce((all, one) => all + of(one), 0);
    const counts = {
      running: sum(({ running }) => running),
      waiting: sum(({ waiting }) => waiting),
      steps: sum(({ steps }) => steps),
      stalledMs: Math.max(0, ...stats.map(({ stalledMs }) => stalledMs)),
    };
    if (only === undefined) return counts;
    const tokens = {
      promptTokens: sum(({ promptTokens }) => promptTokens),
      generatedTokens: sum(({ generatedTokens }) => generatedTokens),
      prefixBytes: sum(({ prefixBytes }) => prefixBytes),
    };
    return { ...counts, ...tokens };
  }

  /** What was loaded, once it is. */
  figures(): Figures {
    const { members } = this;
    const [first] = members;
    if (first === undefined) return {};
    const restored = members.reduce((sum, { restoredTokens }) => sum + restoredTokens, 0);
    const prefixes = restored === 0 ? {} : { restoredPrefixTokens: restored };
    if (first.model === undefined) {
      const { info, planned } = first.engine;
      return { info, planned, allocated: first.engine.memory(), ...prefixes };
    }
    const reports = members.map(reportOf);
    return {
      planned: sumOfPlans(reports.map(({ planned }) => planned)),
      allocated: { ...sumOfPlans(reports.map(({ allocated }) => allocated)), observed: [] },
      members: reports,
      ...prefixes,
    };
  }

  /** Has the prefixes of all of them saved. */
  async keepPrefixes(): Promise<void> {
    await Promise.all(this.members.map(async ({ engine, load }) => this.parts.prefixes?.save(engine, load)));
  }

  async close(): Promise<void> {
    const { members } = this;
    this.members = [];
    await Promise.all(members.map(({ engine }) => engine.close()));
  }

  private async loadOne(wanted: Wanted, onProgress: (fraction: number) => void, signal: AbortSignal): Promise<Member> {
    const { driver, prefixes, log } = this.parts;
    const { model, load } = wanted;
    try {
      const options = prefixes === undefined ? load : await prefixes.prepare(load);
      const engine = await driver.load(options, onProgress, signal);
      const restoredTokens = (await prefixes?.restore(engine, load)) ?? 0;
      log.info('the model is loaded', { model: model ?? engine.info.name, loadMs: engine.info.loadMs });
      return { ...wanted, engine, restoredTokens };
    } catch (thrown) {
      const error = toLlamaestroError(thrown);
      if (model === undefined) throw error;
      const { code, message, remedy, details = {} } = error;
      throw new LlamaestroError(code, `model '${model}': ${message}`, {
        cause: thrown,
        remedy,
        details: { ...details, model },
      });
    }
  }
}

function reportOf({ model = '', engine }: Member): MemberReport {
  const { promptTokens, generatedTokens, prefixBytes } = engine.stats();
  const allocated = { ...engine.memory(), observed: [] };
  const tokens = { promptTokens, generatedTokens, prefixBytes };
  return { model, info: engine.info, planned: engine.planned, allocated, ...tokens };
}
