/**
 * What is known of the present host of one unit and of those before it: process, plan, last word, what it allocated and
 * what was measured. Notes for the memory book are taken from it. Decides nothing.
 */
import type { GroupMember, HostEvent } from '../schema/bus-messages.js';
import type { EngineInfo, LoadOptions, MemoryPlan } from '../schema/load.js';
import { sumOfPlans } from '../schema/plan-sum.js';
import type { MemoryNote } from '../journal/journal.js';
import { bytesOf, type DeviceBytes } from './ledger.js';

/** What a status tells about a model's memory, by device. */
export interface MemoryStatus {
  /** On top of the plan: what such a load took beyond it before, and grew by. */
  readonly extra?: DeviceBytes;
  /** What the system shows. */
  readonly measured?: DeviceBytes;
}

/** Tokens of requests so far. */
interface Tokens {
  readonly promptTokens: number;
  readonly generatedTokens: number;
}

/** What is known of one of the models that a host has. */
export interface MemberRecord {
  readonly info: EngineInfo | undefined;
  readonly plan: MemoryPlan | undefined;
  readonly allocated: MemoryPlan | undefined;
  /** Of this host and of those before it. */
  readonly tokens: Tokens;
}

export class HostRecord {
  /** Of all its models. Kept after the host's end, until the next load is planned. */
  plan: MemoryPlan | undefined;
  extra: DeviceBytes = {};
  pid: number | undefined;
  word: HostEvent | undefined;
  /** Loads that came to an end, and how long the last one took from the start of its process. */
  loads = 0;
  loadMs: number | undefined;
  private plans: readonly MemoryPlan[] = [];
  /** The prefill chunks that the last load measured, by model; the next one need not. */
  private chunks: readonly (number | undefined)[] = [];
  private predicted: MemoryPlan | undefined;
  private allocated: DeviceBytes = {};
  private atLoad: DeviceBytes = {};
  private now: DeviceBytes = {};
  private peak: DeviceBytes = {};
  private past: readonly Tokens[] = [];

  /** `models`: how many share the host. */
  constructor(private readonly models = 1) {}

  /** The model at this place of those that share the host. */
  member(index: number): MemberRecord {
    const { info, allocated, promptTokens = 0, generatedTokens = 0 } = this.wordOf(index) ?? {};
    const past = this.past[index];
    const tokens = {
      promptTokens: (past?.promptTokens ?? 0) + promptTokens,
      generatedTokens: (past?.generatedTokens ?? 0) + generatedTokens,
    };
    return { info, plan: this.plans[index], allocated, tokens };
  }

  /** The same loads as their plans decided and earlier ones found, so that nothing is decided twice. */
  asDecided(loads: readonly GroupMember[]): readonly GroupMember[] {
    return loads.map(({ model, load }, index) => ({ model, load: this.decided(index, load) }));
  }

  private decided(index: number, options: LoadOptions): LoadOptions {
    const [plan, chunkTokens] = [this.plans[index], this.chunks[index]];
    return {
      ...options,
      // With other bytes free, 'auto' would be another number by now.
      ...(typeof options.gpuLayers === 'number' || plan === undefined ? {} : { gpuLayers: plan.gpuLayers }),
      ...(chunkTokens === undefined ? {} : { measuredChunkTokens: chunkTokens }),
    };
  }

  get memory(): MemoryStatus {
    const has = (bytes: DeviceBytes): boolean => Object.keys(bytes).length > 0;
    return { ...(has(this.extra) ? { extra: this.extra } : {}), ...(has(this.now) ? { measured: this.now } : {}) };
  }

  /** Goes on with the counts of another one of the same model. */
  takeOver(other: HostRecord): void {
    this.past = other.tokens();
    this.loads += other.loads;
  }

  /** A load begins under these plans, one for each model. */
  placed(plans: readonly MemoryPlan[], extra: DeviceBytes): void {
    this.plans = plans;
    this.plan = sumOfPlans(plans);
    this.predicted = this.plan;
    this.extra = extra;
  }

  /** The load is done; `measured` is what counts of what is observed. */
  opened(allocated: DeviceBytes, measured: DeviceBytes, loadMs: number): void {
    this.loads++;
    this.loadMs = loadMs;
    this.chunks = this.each((index) => this.wordOf(index)?.info?.chunkTokens ?? this.chunks[index]);
    this.plans = this.each((index) => this.wordOf(index)?.planned ?? this.plans[index]).filter(
      (one) => one !== undefined,
    );
    this.plan = this.word?.planned ?? this.plan;
    this.allocated = allocated;
    this.atLoad = measured;
    this.peak = {};
    this.measured(measured);
  }

  measured(measured: DeviceBytes): void {
    this.now = measured;
    const peak: Record<string, number> = { ...this.peak };
    for (const [device, bytes] of Object.entries(measured)) peak[device] = Math.max(peak[device] ?? 0, bytes);
    this.peak = peak;
  }

  /** The host is gone. */
  gone(): void {
    this.past = this.tokens();
    this.word = undefined;
    this.pid = undefined;
    this.now = {};
  }

  /** Prediction and measurement by device, of the latest load that was done. */
  notes(hid: string, model: string, config: string, atMs: number): readonly (Omit<MemoryNote, 'build'> & Build)[] {
    const planned = this.predicted === undefined ? {} : bytesOf(this.predicted);
    return Object.entries(planned).map(([device, plannedBytes]) => {
      const [measuredBytes, peakBytes] = [this.atLoad[device], this.peak[device]];
      return {
        ...{ hid, device, model, config, atMs, plannedBytes, build: this.predicted?.build },
        allocatedBytes: this.allocated[device] ?? 0,
        ...(measuredBytes === undefined ? {} : { measuredBytes }),
        ...(peakBytes === undefined ? {} : { peakBytes }),
      };
    });
  }

  private tokens(): readonly Tokens[] {
    return this.each((index) => this.member(index).tokens);
  }

  private each<T>(of: (index: number) => T): readonly T[] {
    return Array.from({ length: this.models }, (_, index) => of(index));
  }

  /** The host's word about one of its models; all of it where there is one alone. */
  private wordOf(index: number): Pick<HostEvent, 'info' | 'planned' | 'allocated' | keyof Tokens> | undefined {
    return this.models === 1 ? this.word : this.word?.members?.[index];
  }
}

interface Build {
  readonly build: string | undefined;
}

/** What the system shows of a host by its own word; the prefix cache is in no plan, so it is taken off. */
export function observedIn({ allocated, prefixBytes = 0 }: HostEvent): DeviceBytes {
  const seen: Record<string, number> = {};
  for (const { device, observedBytes } of allocated?.observed ?? []) {
    if (observedBytes === undefined) continue;
    seen[device] = Math.max(0, device === 'cpu' ? observedBytes - prefixBytes : observedBytes);
  }
  return seen;
}
