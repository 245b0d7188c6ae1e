/**
 * One run: the request every door makes (`RunRequest`), what happens to it (`RunEvent`) and how it ended (`RunResult`).
 * Plain types, since they never leave the gateway in this form: each door translates them on its own side.
 */
import type { WireError } from '../base/errors.js';
import type { Usage } from './bus-messages.js';
import type { Prompt, Sampling } from './load.js';
import type { Complexity, Kind } from './profile.js';

/** Classes of requests, the most urgent first: somebody waits for it, it is waited for, it may take its time. */
export const PRIORITIES = ['interactive', 'normal', 'background'] as const;
export type Priority = (typeof PRIORITIES)[number];
/** Of a request that names none. */
export const USUAL_PRIORITY: Priority = 'normal';

/** A valid request: only a door's parser makes one, and nothing after it checks again. */
export interface RunRequest {
  readonly door: 'execute' | 'chat' | 'completions' | 'internal';
  readonly prompt: Prompt;
  /** The field in which the client wrote the prompt: what errors about it name. */
  readonly promptField: 'task' | 'messages' | 'prompt';
  /** 'auto', or a name or alias of the profile; checked at admission. */
  readonly model: string;
  readonly sampling: Sampling;
  readonly maxTokens?: number;
  readonly stop: readonly string[];
  readonly ignoreEos: boolean;
  /** Whole budget; the profile's request timeout when absent. */
  readonly timeoutMs?: number;
  /** Its class in the queue of its model and inside the engine; `USUAL_PRIORITY` when absent. */
  readonly priority?: Priority;
  /** Whose request it is: each has equal turns within a class. Absent: nobody in particular. */
  readonly tenant?: string;
  readonly onDisconnect: 'cancel' | 'continue';
  /** Sentences about what was ignored or changed; they travel with the answer. */
  readonly warnings: readonly string[];
}

export interface RouteDecision {
  readonly model: string;
  readonly complexity: Complexity;
  readonly kind: Kind;
  /** explicit: the client named it. rules: judged by rule. default: nothing matched. fallback: the choice failed. */
  readonly source: 'explicit' | 'rules' | 'router' | 'default' | 'fallback';
  /** 0 … 1. */
  readonly confidence: number;
  readonly reason: string;
  readonly ms: number;
}

export interface RunTimings {
  readonly queueMs: number;
  readonly routeMs: number;
  readonly loadMs: number;
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** From acceptance to the first text; 0 when there was none. */
  readonly ttftMs: number;
  readonly totalMs: number;
}

/** One try on one host; `code` is absent on the one that succeeded. */
export interface Attempt {
  readonly attempt: number;
  readonly model: string;
  readonly hid: string;
  readonly code?: WireError['code'];
  readonly stage: 'queue' | 'load' | 'ack' | 'prefill' | 'decode' | 'done';
  readonly ms: number;
}

export type FinishReason = 'stop' | 'length' | 'cancelled' | 'error';

export interface RunResult {
  readonly id: string;
  readonly status: 'completed' | 'failed' | 'cancelled';
  readonly profile: string;
  readonly route: RouteDecision | undefined;
  readonly text: string;
  readonly finishReason: FinishReason;
  readonly usage: Usage;
  readonly timings: RunTimings;
  readonly attempts: readonly Attempt[];
  readonly warnings: readonly string[];
  /** Present unless completed. */
  readonly error?: WireError;
}

/** Parts of a delta beyond text; reserved from the first version so that doors need no new event kinds. */
export interface DeltaParts {
  readonly reasoning?: string;
  readonly toolCalls?: readonly {
    readonly index: number;
    readonly id?: string;
    readonly name?: string;
    readonly arguments?: string;
  }[];
  readonly logprobs?: readonly { readonly token: number; readonly logprob: number }[];
}

export type RunEventBody =
  | {
      readonly type: 'accepted';
      readonly id: string;
      readonly profile: string;
      readonly model: string;
      readonly warnings: readonly string[];
    }
  | { readonly type: 'routed'; readonly route: RouteDecision }
  | { readonly type: 'queued'; readonly model: string; readonly position: number; readonly estimatedMs?: number }
  | { readonly type: 'loading'; readonly model: string; readonly fraction: number; readonly estimatedMs?: number }
  | {
      readonly type: 'prefill';
      readonly doneTokens: number;
      readonly totalTokens: number;
      readonly cachedTokens: number;
    }
  | ({
      readonly type: 'delta';
      readonly choice: number;
      readonly firstIndex: number;
      readonly ids: readonly number[];
      readonly text: string;
    } & DeltaParts)
  | { readonly type: 'completed'; readonly result: RunResult }
  | { readonly type: 'failed'; readonly result: RunResult; readonly error: WireError }
  | { readonly type: 'cancelled'; readonly result: RunResult; readonly error: WireError };

/** `seq` rises from 1 without a gap within a run; the last event is one of completed, failed, cancelled. */
export type RunEvent = RunEventBody & { readonly seq: number };

/** True for the event after which nothing comes. */
export function isTerminal(event: RunEventBody): boolean {
  return event.type === 'completed' || event.type === 'failed' || event.type === 'cancelled';
}
