/**
 * The pool's public face: who may use which model now. It loads on demand, keeps a bounded queue per model, hands out
 * leases and knows every host. It decides nothing about requests: a lost lease is reported, never retried here.
 */
import type { LlamaestroError, WireError } from '../base/errors.js';
import type { EngineInfo, MemoryPlan, DeviceInfo, Prompt } from '../schema/load.js';
import type { ModelSpec, Profile } from '../schema/profile.js';
import type { Priority } from '../schema/run.js';
import type { DeviceBytes, LedgerRow } from './ledger.js';
import type { ModelHealth } from './checkup.js';
import type { Departure } from './occupancy.js';
import type { Quarantine } from './release-watch.js';
import type { UnloadReport } from './unload.js';
import type { VigilStatus } from './vigil.js';

/** What a waiter is told while it waits; the last word before the grant is at least one of these or none. */
export type LeaseProgress =
  /** `estimatedMs`: probably to the grant, or to the end of the load; absent while nothing is known to tell it by. */
  | { readonly state: 'queued'; readonly position: number; readonly estimatedMs?: number }
  | { readonly state: 'loading'; readonly fraction: number; readonly estimatedMs?: number };

/** Who wants to use a model. */
export interface LeaseClaim {
  /** Name of a model of the applied profile. */
  readonly model: string;
  /** `USUAL_PRIORITY` when absent. */
  readonly priority?: Priority;
  /** Whose request it is: each has equal turns within a class. */
  readonly tenant?: string;
}

/** How long a request may wait. */
export interface Patience {
  /** In all, the load included. */
  readonly budgetMs: number;
  /** For a slot alone. */
  readonly queueMs: number;
}

export interface LeaseRequest extends LeaseClaim {
  readonly rid: string;
  readonly onProgress?: (progress: LeaseProgress) => void;
}

/** The right to run one sequence on one host. Settles exactly once: by `release`, or by `lost`. */
export interface Lease {
  readonly model: string;
  readonly hid: string;
  /**
   * Aborts when the lease is over without a release: `host_lost` when the process died, `host_stuck` when it hung, `draining`
   * or `profile_switching` when it was told to go, `stream_gap` when it no longer runs the attempt.
   */
  readonly lost: AbortSignal;
  /** Milliseconds this request waited in the queue, and for a load. */
  readonly queueMs: number;
  readonly loadMs: number;
  /** Names the attempt that runs under this lease, so that it is renewed at the host; called once, before `gen` is sent. */
  begin(attempt: number): void;
  /** Called when the host said the attempt is finished. Idempotent. */
  release(): void;
}

export type InstanceStateName = 'unloaded' | 'starting' | 'loading' | 'ready' | 'draining' | 'stopping' | 'failed';

export interface ModelStatus {
  readonly name: string;
  readonly role: ModelSpec['role'];
  readonly state: InstanceStateName;
  readonly available: boolean;
  /** The name of the process it shares with others; what is said of state, process and its memory beyond the plan is theirs too. */
  readonly host?: string;
  readonly hid?: string;
  readonly pid?: number;
  readonly loadFraction?: number;
  readonly info?: EngineInfo;
  readonly planned?: MemoryPlan;
  readonly allocated?: MemoryPlan;
  readonly residentBytes?: number;
  /** Tokens of prompts that the present host took over from the one before it. */
  readonly restoredPrefixTokens?: number;
  /** On top of the plan, and what the system shows, by device id. */
  readonly extra?: DeviceBytes;
  readonly measured?: DeviceBytes;
  readonly slots: number;
  readonly leased: number;
  readonly queued: number;
  readonly queuedByClass: Readonly<Record<Priority, number>>;
  readonly loads: number;
  readonly crashes: number;
  readonly health?: ModelHealth;
  readonly generatedTokens: number;
  readonly promptTokens: number;
  /** When the next load may be tried, milliseconds from now; present after a failure. */
  readonly retryInMs?: number;
  readonly lastError?: WireError;
}

export interface PoolStatus {
  readonly models: readonly ModelStatus[];
  readonly nodes: readonly {
    readonly nid: string;
    /** As they were at the last look. */
    readonly devices: readonly DeviceInfo[];
    /** The account of each device. */
    readonly ledger: readonly LedgerRow[];
    /** Devices that did not return to their ledger: nothing is loaded there. */
    readonly quarantines: readonly Quarantine[];
  }[];
  readonly vigil: VigilStatus;
}

/**
 * Another profile made ready beside the applied one, for a switch. Names of models to come are those of the staged profile,
 * names of leaving ones those of the applied one.
 */
export interface Stage {
  /** From now on no model that leaves is loaded anew: who asks for it waits. Those that are loaded serve on. */
  pause(): void;
  /** Grants nothing more on a leaving model, or on one that makes room, until the end of the stage; resolves when nothing runs there, or after `drainMs`. */
  drain(model: string, drainMs: number, signal: AbortSignal): Promise<void>;
  /** Tells the process of such a model to save what is worth it and to end; resolves when it is gone. What still runs is lost. */
  dismiss(model: string, signal: AbortSignal): Promise<void>;
  /** Resolves when the bytes of the process that `dismiss` ended were looked for. */
  proof(model: string): Promise<Departure | undefined>;
  /** Loads a model to come; resolves when it is ready, at once when it is. Rejects as a lease does, or with the signal's reason. */
  load(model: string, signal: AbortSignal): Promise<void>;
  /** True while a model to come has a process that is ready. */
  isReady(model: string): boolean;
  /** Serves the staged profile from now on. Leaving models finish what they run within `drainMs`; who waits for them goes over. */
  flip(drainMs: number): void;
  /** Resolves when every process that left is gone. */
  cleared(signal: AbortSignal): Promise<void>;
  /** Gives the staged profile up: its own processes end, those that were to leave serve again. Idempotent, and nothing after `flip`. */
  abandon(): void;
  /** After `abandon`: brings a model of the applied profile back, as `load` does. */
  restore(model: string, signal: AbortSignal): Promise<void>;
  /** The models that are made ready. */
  status(): readonly ModelStatus[];
}

export interface Pool {
  /** Makes the profile's models the pool's; resident ones start loading. Models with an equal configHash keep their host. */
  apply(profile: Profile): void;
  /** Loads a model although nobody asks for it; resolves when it is ready. Rejects as a lease does. */
  warm(model: string): Promise<void>;
  /** Another profile beside the one applied, to be made ready by a switch: one at a time, until its `flip` or `abandon`. */
  stage(next: Profile): Stage;
  /**
   * A lease on `model`, after queue and load. Rejects with `queue_full`, `queue_timeout`, `load_failed`, `model_unusable`,
   * `does_not_fit`, `draining`, or the signal's reason; then the request holds nothing.
   */
  lease(request: LeaseRequest, signal: AbortSignal): Promise<Lease>;
  /**
   * Why a request would not be let in now, for admission: `queue_full` when the queue is, or when the probable wait is longer
   * than the request may wait (details: position, estimatedMs, budgetMs, retryAfterMs). Throws `model_not_found`. A wait that nobody
   * can tell refuses no one, nor is anyone refused who would be the first to wait for a load.
   */
  refusal(claim: LeaseClaim, patience: Patience): LlamaestroError | undefined;
  /** Exact token count of a prompt and the model's context per slot, whether the model is loaded or not. */
  count(model: string, prompt: Prompt, signal?: AbortSignal): Promise<{ tokens: number; contextTokensPerSlot: number }>;
  /** The model's context per slot when it is loaded, without asking anybody. */
  contextTokensPerSlot(model: string): number | undefined;
  /** Vectors by the model of purpose 'embed'. */
  embed(model: string, inputs: readonly string[], signal: AbortSignal): Promise<readonly (readonly number[])[]>;
  /** Scores by the model of purpose 'rerank'. */
  rerank(model: string, query: string, documents: readonly string[], signal: AbortSignal): Promise<readonly number[]>;
  /**
   * Unloads a model, resident or not, and proves that its memory came back. Requests that run may end within `drainMs` (the
   * pool's own time when absent), then they are cut off with `draining`; whoever waits is served after the next load.
   * `model_not_found`, `pinned`.
   */
  unload(model: string, drainMs?: number): Promise<UnloadReport>;
  status(): PoolStatus;
  /** Refuses new leases with `draining`; resolves when none is out and none waits. */
  drain(signal?: AbortSignal): Promise<void>;
  /** Ends every host. */
  close(): Promise<void>;
}
