/** Every state and every event of a model instance, as its tests write them. */
import { LlamaestroError } from '../../src/base/errors.js';
import type { Failure } from '../../src/pool/failure.js';
import { UNLOADED, type InstanceContext, type InstanceEvent, type InstanceState } from '../../src/pool/instance.js';
import { DEFAULT_LIMITS } from '../../src/pool/limits.js';

export const NOW = 100_000;
const crashError = new LlamaestroError('host_lost', 'gone');
const badFile = new LlamaestroError('model_unusable', 'damaged');
const switching = new LlamaestroError('profile_switching', 'the model left the profile');
const closing = new LlamaestroError('draining', 'the server is stopping');
const noMemory = new LlamaestroError('out_of_memory', 'no memory');
const crashed: Failure = { error: crashError, crash: true, deterministic: false, failures: 1, retryAtMs: NOW + 1000 };
const unusable: Failure = { error: badFile, crash: false, deterministic: true, failures: 1, retryAtMs: NOW + 1000 };

export const context: InstanceContext = {
  nowMs: NOW,
  jitter: 0.5,
  wanted: true,
  waiting: 1,
  leased: 0,
  idleUntilMs: undefined,
  loadTimeoutMs: 120_000,
  limits: DEFAULT_LIMITS,
};

const heard = { type: 'heard', hid: 'h', loadFraction: 0 } as const;
export const STATES = {
  unloaded: UNLOADED,
  placing: { name: 'starting', step: 'placing', failures: 0 },
  spawning: { name: 'starting', step: 'spawning', hid: 'h', failures: 0, deadlineAtMs: NOW },
  loading: {
    ...{ name: 'loading', hid: 'h', failures: 0, fraction: 0.2 },
    ...{ progressAtMs: NOW - 30_000, deadlineAtMs: NOW + 1, lastAtMs: NOW + 1e6 },
  },
  ready: { name: 'ready', hid: 'h', failures: 0, sinceMs: NOW - 9000 },
  draining: { name: 'draining', hid: 'h', deadlineAtMs: NOW + 1, cause: switching },
  yielding: {
    ...{ name: 'draining', hid: 'h', deadlineAtMs: Infinity, cause: switching },
    yields: { sinceMs: NOW - 9000, failures: 2 },
  },
  stopping: { name: 'stopping', hid: 'h', killAtMs: NOW },
  stoppingFailed: { name: 'stopping', hid: 'h', killAtMs: NOW + 1, failure: unusable },
  failed: { name: 'failed', failure: crashed },
  failedForGood: { name: 'failed', failure: unusable },
} as const satisfies Record<string, InstanceState>;

export const EVENTS = {
  demand: { type: 'demand' },
  placed: { type: 'placed', hid: 'h' },
  placementFailed: { type: 'placement-failed', error: badFile },
  spawnFailed: { type: 'spawn-failed', hid: 'h', error: noMemory },
  heardIdle: { ...heard, host: 'idle' },
  heardLoading: { ...heard, host: 'loading', loadFraction: 0.5 },
  heardReady: { ...heard, host: 'ready' },
  heardDraining: { ...heard, host: 'draining' },
  heardFailed: { ...heard, host: 'failed', error: noMemory },
  suspected: { type: 'suspected', hid: 'h', verdict: 'frozen', how: 'was frozen' },
  loadRefused: { type: 'load-refused', hid: 'h', error: badFile },
  exited: { type: 'exited', hid: 'h', how: 'was ended by SIGKILL', asTold: false },
  evict: { type: 'evict' },
  reprieve: { type: 'reprieve' },
  unload: { type: 'unload', cause: switching },
  shutdown: { type: 'shutdown', cause: closing },
  tick: { type: 'tick', lateMs: 0 },
  lateTick: { type: 'tick', lateMs: 501 },
} as const satisfies Record<string, InstanceEvent>;
