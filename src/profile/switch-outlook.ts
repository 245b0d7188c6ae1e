/**
 * What a switch to a planned profile would do now, from what the pool says is loaded: gathers the question for `planSwitch`.
 * Pure. Times come from the loads that were measured; what runs requests ends at a time nobody knows.
 */
import { bytesOf, sumOf } from '../pool/ledger.js';
import type { ModelStatus } from '../pool/pool.js';
import { isIn, unitsOf } from '../pool/unit.js';
import type { BytesByDevice, PlannedDevice, ProfilePlan, SwitchPlan } from '../schema/profile-plan.js';
import type { Profile } from '../schema/profile.js';
import { planSwitch, type RunningModel, type WantedModel } from './switch-plan.js';

export interface Outlook {
  /** What is active, and what it has loaded. */
  readonly current: Profile;
  readonly loaded: readonly ModelStatus[];
  /** What is to be active, and what it would take. */
  readonly next: Profile;
  readonly plan: ProfilePlan;
}

export function switchOutlook({ current, loaded, next, plan }: Outlook): SwitchPlan {
  const { devices } = plan;
  const rate = bytesPerMs(loaded);
  const running = unitsOf(current.models).flatMap(({ name, configHash, members }): RunningModel[] => {
    const there = loaded.filter((status) => status.hid !== undefined && isIn(name, status.name));
    const memories = there.flatMap(({ allocated, planned }) => allocated ?? planned ?? []);
    if (memories.length < members.length) return [];
    const bytes = withOverhead(memories.map(bytesOf).reduce(sumOf), devices);
    const isFree = there.every(({ leased, queued }) => leased + queued === 0);
    return [{ name, configHash, bytes, ...(isFree ? { expectedMs: 0 } : {}) }];
  });
  const wanted = unitsOf(next.models).flatMap(({ name, configHash, residency, pinned }): WantedModel[] => {
    const models = plan.models.filter((one) => isIn(name, one.name));
    const isMovable = residency === 'on-demand' && !pinned;
    if (models.length === 0 || models.some((model) => model.bytes === undefined)) {
      // The pool keeps its process, although nobody can tell what another one would take.
      const isThere = running.some((one) => one.configHash === configHash);
      return isThere ? [{ name, configHash, isLoaded: false, isMovable, bytes: {} }] : [];
    }
    const bytes = models.map((model) => model.bytes ?? {}).reduce(sumOf);
    const isLoaded = residency === 'resident' && models.every(({ state }) => state === 'planned');
    const time = rate === undefined ? {} : { expectedMs: Math.round(totalOf(bytes) / rate) };
    return [{ name, configHash, isLoaded, isMovable, bytes: withOverhead(bytes, devices), ...time }];
  });
  return planSwitch({ running, wanted, devices });
}

function withOverhead(bytes: BytesByDevice, devices: readonly PlannedDevice[]): BytesByDevice {
  const more = (device: string): number => devices.find((one) => one.device === device)?.overheadBytes ?? 0;
  return Object.fromEntries(
    Object.entries(bytes).map(([device, amount]) => [device, amount === 0 ? 0 : amount + more(device)]),
  );
}

function totalOf(bytes: BytesByDevice): number {
  return Object.values(bytes).reduce((sum, amount) => sum + amount, 0);
}

/** Of all loads that were measured together. */
function bytesPerMs(loaded: readonly ModelStatus[]): number | undefined {
  let [bytes, ms] = [0, 0];
  for (const { info, allocated } of loaded) {
    if (info === undefined || allocated === undefined) continue;
    bytes += allocated.totalBytes;
    ms += info.loadMs;
  }
  return ms > 0 && bytes > 0 ? bytes / ms : undefined;
}
