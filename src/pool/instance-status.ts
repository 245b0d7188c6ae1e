/** What is told about the models of one unit, each by itself: its state, its host, its queue and its memory side by side. A pure view; changes nothing. */
import type { LlamaestroError } from '../base/errors.js';
import type { ModelSpec } from '../schema/profile.js';
import type { Desks } from './desks.js';
import type { HostRecord, MemberRecord } from './host-record.js';
import { hidOf, type InstanceState } from './instance.js';
import type { ModelHealth } from './checkup.js';
import type { LeaseDesk } from './lease-desk.js';
import type { ModelStatus } from './pool.js';
import type { Unit } from './unit.js';

/** What holds for all models of a process. */
interface HostFacts {
  readonly state: InstanceState;
  readonly record: HostRecord;
  readonly crashes: number;
  readonly health: ModelHealth | undefined;
  readonly lastError: LlamaestroError | undefined;
  readonly nowMs: number;
}

/** What holds for one of them. */
interface ModelFacts {
  readonly spec: ModelSpec;
  readonly member: MemberRecord;
  readonly desk: Pick<LeaseDesk, 'leased' | 'waiting' | 'waitingByClass'>;
}

/** Of each model of a unit, in its order. */
export function unitStatus({
  unit,
  desk: desks,
  ...host
}: HostFacts & { readonly unit: Unit; readonly desk: Desks }): readonly ModelStatus[] {
  return unit.members.map((spec, index) =>
    modelStatus({ spec, desk: desks.at(index), member: host.record.member(index) }, host),
  );
}

function modelStatus(
  { spec, member, desk }: ModelFacts,
  { state, record, crashes, health, lastError, nowMs }: HostFacts,
): ModelStatus {
  const { name, role, available, load, host } = spec;
  const { pid, word, loads, memory } = record;
  const { info, plan, allocated, tokens } = member;
  const hid = hidOf(state);
  const failure = 'failure' in state ? state.failure : undefined;
  return {
    name,
    role,
    state: state.name,
    available,
    ...(host === undefined ? {} : { host }),
    ...(hid === undefined ? {} : { hid }),
    ...(pid === undefined ? {} : { pid }),
    ...(state.name === 'loading' ? { loadFraction: state.fraction } : {}),
    ...(info === undefined ? {} : { info }),
    ...(plan === undefined ? {} : { planned: plan }),
    ...(allocated === undefined ? {} : { allocated }),
    ...(word?.residentBytes === undefined ? {} : { residentBytes: word.residentBytes }),
    ...(word?.restoredPrefixTokens === undefined ? {} : { restoredPrefixTokens: word.restoredPrefixTokens }),
    ...memory,
    slots: info?.slots ?? load.slots ?? 1,
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
