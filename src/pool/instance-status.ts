/** What is told about one model: its state, its host, its queue and its memory side by side. A pure view; changes nothing. */
import type { LlamaestroError } from '../base/errors.js';
import type { ModelSpec } from '../schema/profile.js';
import type { HostRecord } from './host-record.js';
import { hidOf, type InstanceState } from './instance.js';
import type { ModelHealth } from './checkup.js';
import type { LeaseDesk } from './lease-desk.js';
import type { ModelStatus } from './pool.js';

export interface StatusFacts {
  readonly spec: ModelSpec;
  readonly state: InstanceState;
  readonly record: HostRecord;
  readonly desk: Pick<LeaseDesk, 'leased' | 'waiting' | 'waitingByClass'>;
  readonly crashes: number;
  readonly health: ModelHealth | undefined;
  readonly lastError: LlamaestroError | undefined;
  readonly nowMs: number;
}

export function modelStatus({
  spec,
  state,
  record,
  desk,
  crashes,
  health,
  lastError,
  nowMs,
}: StatusFacts): ModelStatus {
  const { name, role, available, load } = spec;
  const { pid, plan, word, loads, tokens, memory } = record;
  const hid = hidOf(state);
  const failure = 'failure' in state ? state.failure : undefined;
  return {
    name,
    role,
    state: state.name,
    available,
    ...(hid === undefined ? {} : { hid }),
    ...(pid === undefined ? {} : { pid }),
    ...(state.name === 'loading' ? { loadFraction: state.fraction } : {}),
    ...(word?.info === undefined ? {} : { info: word.info }),
    ...(plan === undefined ? {} : { planned: plan }),
    ...(word?.allocated === undefined ? {} : { allocated: word.allocated }),
    ...(word?.residentBytes === undefined ? {} : { residentBytes: word.residentBytes }),
    ...(word?.restoredPrefixTokens === undefined ? {} : { restoredPrefixTokens: word.restoredPrefixTokens }),
    ...memory,
    slots: word?.info?.slots ?? load.slots ?? 1,
    leased: desk.leased,
    queued: desk.waiting,
    queuedByClass: desk.waitingByClass,
    loads,
    crashes,
    ...(health === undefined ? {} : { health }),
    ...tokens,
    ...(failure === undefined ? {} : { retryInMs: Math.max(0, failure.retryAtMs - nowMs) }),
    ...(lastError === undefined ? {} : { lastError: lastError.toWire() }),
  };
}
