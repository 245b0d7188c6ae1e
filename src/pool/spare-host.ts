/**
 * One model host that is started before anybody needs it: the addon loaded, no model. The next load takes it, so that a cold
 * model costs little more than reading its file. Knows no models; the pool says whether one is of use.
 */
import type { Logger } from '../base/log.js';
import type { Clock, Random, Timer } from '../base/ports.js';
import type { HostEvent } from '../schema/bus-messages.js';
import type { DeviceBytes } from './ledger.js';
import type { InstanceStateName } from './pool.js';
import type { PoolLimits } from './limits.js';
import type { NodeAgent } from './node-client.js';

/** No model can have this name: names begin with a letter or a digit. */
export const SPARE_LABEL = '_spare';

/** A host that runs already, and what it said of itself. */
export interface WarmHost {
  readonly hid: string;
  readonly pid: number;
  readonly word: HostEvent;
}

/** What a spare host is for now: something to load, and no load that it would slow down. */
export function spareUse(models: readonly { readonly state: InstanceStateName; readonly available: boolean }[]): {
  readonly isOfUse: boolean;
  readonly mayStart: boolean;
} {
  const isCold = ({ state, available }: (typeof models)[number]): boolean =>
    available && (state === 'unloaded' || state === 'failed');
  const isRising = ({ state }: (typeof models)[number]): boolean => state === 'starting' || state === 'loading';
  return { isOfUse: models.some(isCold) || models.some(isRising), mayStart: !models.some(isRising) };
}

export interface SpareParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly limits: PoolLimits;
  readonly node: NodeAgent;
}

/** A spare host on its way up, or there. */
interface Spare {
  readonly hid: string;
  pid: number | undefined;
  word: HostEvent | undefined;
  heardAtMs: number;
}

export class SpareHost {
  private spare: Spare | undefined;
  /** Handed out, not yet asked for by its new owner. */
  private taken: WarmHost | undefined;
  private timer: Timer | undefined;
  private notBeforeMs = 0;
  private isOfUse = false;

  constructor(private readonly parts: SpareParts) {}

  /** Memory of the process that waits. */
  get bytes(): DeviceBytes {
    const { residentBytes = 0 } = this.spare?.word ?? {};
    return residentBytes === 0 ? {} : { cpu: residentBytes };
  }

  /** Starts one a moment later, or ends the one there is. */
  tend({ isOfUse, mayStart }: ReturnType<typeof spareUse>): void {
    const { clock, limits } = this.parts;
    this.isOfUse = isOfUse && limits.spareHosts > 0;
    if (!this.isOfUse) return this.end();
    if (!mayStart || this.spare !== undefined) return this.timer?.cancel();
    this.timer?.cancel();
    const delayMs = Math.max(limits.spareDelayMs, this.notBeforeMs - clock.nowMs());
    this.timer = clock.setTimer(delayMs, () => void this.start());
  }

  /** Id of the next host: the spare one's when it is up and has spoken lately. */
  nextHid(): string {
    const { spare, parts } = this;
    const isSilent = spare !== undefined && parts.clock.nowMs() > spare.heardAtMs + parts.limits.silenceMs;
    if (spare?.word === undefined || spare.pid === undefined || isSilent) return parts.random.id('hid');
    this.taken = { hid: spare.hid, pid: spare.pid, word: spare.word };
    this.spare = undefined;
    return spare.hid;
  }

  /** The host of that id is needed for a model: the one handed out before, or a new one. Rejects as `node.spawn` does. */
  async provide(hid: string, label: string): Promise<Omit<WarmHost, 'word'> & { readonly word?: HostEvent }> {
    const { node, log } = this.parts;
    const { taken } = this;
    if (taken?.hid !== hid) return { hid, ...(await node.spawn(hid, label)) };
    this.taken = undefined;
    node.relabel(hid, label).catch((error: unknown) => log.warn('a host keeps its label', { hid, label, error }));
    return taken;
  }

  heard(event: HostEvent): void {
    if (event.hid !== this.spare?.hid || event.state !== 'idle') return;
    this.spare.word = event;
    this.spare.heardAtMs = this.parts.clock.nowMs();
  }

  /** A process ended; if it was the spare one, the next is tried later. */
  exited(hid: string): void {
    if (hid === this.spare?.hid) this.lost(hid);
  }

  close(): void {
    this.isOfUse = false;
    this.end();
  }

  private async start(): Promise<void> {
    const { node, random, log } = this.parts;
    if (this.spare !== undefined || !this.isOfUse) return;
    const spare: Spare = { hid: random.id('hid'), pid: undefined, word: undefined, heardAtMs: 0 };
    this.spare = spare;
    try {
      spare.pid = (await node.spawn(spare.hid, SPARE_LABEL)).pid;
    } catch (error) {
      log.warn('no spare host could be started', { error });
      // It may exist nevertheless.
      void node.kill(spare.hid, 0).catch(() => undefined);
      this.lost(spare.hid);
    }
  }

  private lost(hid: string): void {
    const { clock, limits } = this.parts;
    if (this.spare?.hid !== hid) return;
    this.spare = undefined;
    this.notBeforeMs = clock.nowMs() + limits.spareRetryMs;
    if (this.isOfUse) this.tend({ isOfUse: true, mayStart: true });
  }

  private end(): void {
    this.timer?.cancel();
    const { spare } = this;
    this.spare = undefined;
    if (spare === undefined) return;
    const { node, limits } = this.parts;
    void node.kill(spare.hid, limits.killGraceMs).catch(() => undefined);
  }
}
