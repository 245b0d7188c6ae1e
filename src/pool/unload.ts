/**
 * Unloads one model by command and proves it: the devices are read before, what runs may end within a time, the process
 * goes, and the devices are read again until its bytes are back. Knows no doors.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Clock } from '../base/ports.js';
import type { Account } from './account.js';
import type { Departure } from './occupancy.js';
import type { ReleaseRow } from './release-proof.js';
import type { Unit } from './unit.js';

export interface UnloadReport {
  /** With all those that shared its process: 'embedder+router'. */
  readonly model: string;
  /** The process that ended; absent when the model had none. */
  readonly hid?: string;
  /** How it ended. */
  readonly process?: string;
  /** Requests that did not end in time and were cut off. */
  readonly cutRequests: number;
  /** Expected and measured bytes, device by device. */
  readonly devices: readonly ReleaseRow[];
  /** From the command to the proof. */
  readonly ms: number;
}

/** A model that can be told to go. */
export interface Unloadable {
  readonly unit: Pick<Unit, 'name' | 'pinned'>;
  readonly bidding: {
    /** Resolves when its host is gone; undefined when it has none. */
    dismiss(cause: LlamaestroError, drainMs: number | undefined): Promise<Departure> | undefined;
  };
}

export interface UnloadParts {
  readonly clock: Clock;
  readonly account: Account;
}

/** `pinned` for a pinned model. A model that is wanted again meanwhile is loaded again after it is gone. */
export async function unloadModel(
  instance: Unloadable,
  drainMs: number | undefined,
  { clock, account }: UnloadParts,
): Promise<UnloadReport> {
  const { name: model, pinned } = instance.unit;
  if (pinned) {
    throw new LlamaestroError('pinned', `model '${model}' is pinned by the profile`, {
      remedy: 'Unpin it in the profile first.',
      details: { model },
    });
  }
  const startedAtMs = clock.nowMs();
  await account.glance();
  const left = instance.bidding.dismiss(commanded(model), drainMs);
  const report = (rest: Omit<UnloadReport, 'model' | 'ms'>): UnloadReport => ({
    ...{ model, ...rest, ms: clock.nowMs() - startedAtMs },
  });
  if (left === undefined) return report({ cutRequests: 0, devices: [] });
  const { hid, how, cut, devices } = await left;
  return report({ hid, process: how, cutRequests: cut, devices });
}

/** What a request hears that did not end in time. */
function commanded(model: string): LlamaestroError {
  return new LlamaestroError('draining', `model '${model}' was unloaded by command before the request was done`, {
    remedy: 'Send the request again; the model is loaded again when somebody asks for it.',
  });
}
