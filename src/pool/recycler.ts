/**
 * Replaces the processes of models that wear out, without losing a request: what runs ends on the old one, however long it
 * takes, and who waits is served by the new one. Knows neither speeds nor bytes; an instance says that it is worn and why.
 */
import { LlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { Account } from './account.js';
import { bytesOf } from './ledger.js';
import type { PoolLimits } from './limits.js';
import type { ModelInstance } from './model-instance.js';
import { mayRecycle, recycleOrder } from './recycling.js';
import type { Roster } from './roster.js';

export interface RecyclerParts {
  readonly log: Logger;
  readonly limits: PoolLimits;
  readonly account: Account;
  readonly roster: Roster;
  /** Time that this process was awake. */
  readonly awakeMs: () => number;
  /** Who serves has changed. */
  readonly onChange: () => void;
}

export class Recycler {
  /** By configuration: when one of its processes was last to be replaced, and whether it was. */
  private last = new Map<string, { readonly atMs: number; readonly isDone: boolean }>();
  private readonly underWay = new Set<ModelInstance>();

  constructor(private readonly parts: RecyclerParts) {}

  /** The time has come to look for worn hosts. */
  look(): void {
    const { roster, limits, awakeMs } = this.parts;
    this.last = new Map([...this.last].filter(([, { atMs }]) => !mayRecycle(atMs, awakeMs(), limits)));
    if (roster.isStaging) return;
    for (const instance of roster.instances) {
      const why = wornOf(instance);
      if (why === undefined || this.underWay.has(instance)) continue;
      const last = this.last.get(instance.configHash);
      if (last === undefined) void this.recycle(instance, why);
      else if (last.isDone) this.resign(instance, why);
    }
  }

  private async recycle(instance: ModelInstance, why: string): Promise<void> {
    const { account, awakeMs, log } = this.parts;
    this.underWay.add(instance);
    await account.glance();
    if (wornOf(instance) !== undefined && !this.parts.roster.isStaging) {
      const order = this.orderFor(instance);
      log.warn('a model is recycled', { model: instance.name, hid: instance.hid, why, order });
      const isDone = order === 'drain-first' || (await this.replace(instance));
      if (order === 'drain-first') instance.bidding.recycle(recycled(instance.name));
      this.last.set(instance.configHash, { atMs: awakeMs(), isDone });
    }
    this.underWay.delete(instance);
  }

  private orderFor(instance: ModelInstance): ReturnType<typeof recycleOrder> {
    const { account } = this.parts;
    const { hid, memoryPlan } = instance;
    if (hid === undefined || memoryPlan === undefined) return 'drain-first';
    const extra = account.entry(hid)?.extra ?? {};
    const holders = account.holders(() => ({ standing: 'kept', cost: 0 }));
    return recycleOrder(account.needsOf({ planned: bytesOf(memoryPlan), extra }), account.rooms(), holders);
  }

  private async replace(instance: ModelInstance): Promise<boolean> {
    const { roster, log, onChange } = this.parts;
    const twin = roster.twin(instance);
    onChange();
    try {
      await twin.bidding.call();
      roster.exchange(instance, twin, recycled(instance.name));
      return true;
    } catch (error) {
      // A slow model is better than none.
      log.warn('a model was not recycled', { model: instance.name, error });
      roster.forsake(twin, recycled(instance.name));
      return false;
    } finally {
      onChange();
    }
  }

  /** A new process was no cure, or came only just now. */
  private resign(instance: ModelInstance, why: string): void {
    if (!instance.checkup.condition.isSlow) return;
    this.parts.log.warn('a model stays slow after it was recycled: that is usual now', { model: instance.name, why });
    instance.checkup.condition.relearn();
  }
}

/** Why its process should be replaced by another one; undefined when it need not or cannot be now. */
function wornOf({ isReady, bidding, checkup }: ModelInstance): string | undefined {
  return isReady && !bidding.isHeld ? checkup.condition.complaints[0] : undefined;
}

/** What a request hears that is cut off all the same. */
function recycled(model: string): LlamaestroError {
  return new LlamaestroError('draining', `model '${model}' gets a new process`, { remedy: 'Send the request again.' });
}
