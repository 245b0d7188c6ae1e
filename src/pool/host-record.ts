/**
 * What is known of the present host of one model and of those before it: process, plan, last word, what it allocated and
 * what was measured. Notes for the memory book are taken from it. Decides nothing.
 */
import type { HostEvent } from '../schema/bus-messages.js';
import type { LoadOptions, MemoryPlan } from '../schema/load.js';
import type { MemoryNote } from '../journal/journal.js';
import { bytesOf, type DeviceBytes } from './ledger.js';

/** What a status tells about a model's memory, by device. */
export interface MemoryStatus {
  /** On top of the plan: what such a load took beyond it before, and grew by. */
  readonly extra?: DeviceBytes;
  /** What the system shows. */
  readonly measured?: DeviceBytes;
}

export class HostRecord {
  /** Kept after the host's end, until the next load is planned. */
  plan: MemoryPlan | undefined;
  extra: DeviceBytes = {};
  pid: number | undefined;
  word: HostEvent | undefined;
  /** Loads that came to an end, and how long the last one took from the start of its process. */
  loads = 0;
  loadMs: number | undefined;
  /** The prefill chunk that the last load measured; the next one need not. */
  chunkTokens: number | undefined;
  private predicted: MemoryPlan | undefined;
  private allocated: DeviceBytes = {};
  private atLoad: DeviceBytes = {};
  private now: DeviceBytes = {};
  private peak: DeviceBytes = {};
  private past = { promptTokens: 0, generatedTokens: 0 };

  /** Tokens of this host and of those before it. */
  get tokens(): { readonly promptTokens: number; readonly generatedTokens: number } {
    const { promptTokens = 0, generatedTokens = 0 } = this.word ?? {};
    return {
      promptTokens: this.past.promptTokens + promptTokens,
      generatedTokens: this.past.generatedTokens + generatedTokens,
    };
  }

  get memory(): MemoryStatus {
    const has = (bytes: DeviceBytes): boolean => Object.keys(bytes).length > 0;
    return { ...(has(this.extra) ? { extra: this.extra } : {}), ...(has(this.now) ? { measured: this.now } : {}) };
  }

  /** Goes on with the counts of another one of the same model. */
  takeOver(other: HostRecord): void {
    this.past = other.tokens;
    this.loads += other.loads;
  }

  /** A load begins under this plan. */
  placed(plan: MemoryPlan, extra: DeviceBytes): void {
    this.plan = plan;
    this.predicted = plan;
    this.extra = extra;
  }

  /** The load is done; `measured` is what counts of what is observed. */
  opened(allocated: DeviceBytes, measured: DeviceBytes, loadMs: number): void {
    this.loads++;
    this.loadMs = loadMs;
    this.chunkTokens = this.word?.info?.chunkTokens ?? this.chunkTokens;
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
    this.past = this.tokens;
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
}

interface Build {
  readonly build: string | undefined;
}

/** The options as the plan decided them and an earlier load found them, so that nothing is decided twice. */
export function asDecided(options: LoadOptions, { plan, chunkTokens }: HostRecord): LoadOptions {
  return {
    ...options,
    // With other bytes free, 'auto' would be another number by now.
    ...(typeof options.gpuLayers === 'number' || plan === undefined ? {} : { gpuLayers: plan.gpuLayers }),
    ...(chunkTokens === undefined ? {} : { measuredChunkTokens: chunkTokens }),
  };
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
