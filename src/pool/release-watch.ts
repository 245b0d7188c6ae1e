/**
 * Sees to it that the bytes of hosts that are gone come back: reads the devices until they did or time is up, tells the
 * outcome, and keeps a device under quarantine that does not return to its ledger. How a host ended makes no difference.
 */
import type { Logger } from '../base/log.js';
import type { Clock, Timer } from '../base/ports.js';
import type { Account } from './account.js';
import type { DeviceBytes } from './ledger.js';
import type { PoolLimits } from './limits.js';
import { releaseRow, type ReleaseRow } from './release-proof.js';

/** A device whose bytes did not come back; nothing is loaded there meanwhile. */
export interface Quarantine {
  readonly device: string;
  readonly sinceMs: number;
  /** The model that was on it last. */
  readonly model: string;
  readonly missingBytes: number;
}

interface Awaited {
  readonly model: string;
  readonly expected: DeviceBytes;
  /** In use and not ours at the last quiet moment before it ended. */
  readonly foreignBefore: DeviceBytes | undefined;
  readonly sinceMs: number;
  readonly tell: (rows: readonly ReleaseRow[]) => void;
  isTold: boolean;
}

export interface ReleaseWatchParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: PoolLimits;
  readonly account: Account;
  /** Bytes came back, or a quarantine began or ended. */
  readonly onChange: () => void;
}

export class ReleaseWatch {
  private awaited: readonly Awaited[] = [];
  private readonly quarantined = new Map<string, { readonly quarantine: Quarantine; readonly foreignBytes: number }>();
  private timer: Timer | undefined;
  private isLooking = false;
  private isClosed = false;

  constructor(private readonly parts: ReleaseWatchParts) {}

  /** Bytes of a host that is gone may still show as used. */
  get isSettling(): boolean {
    return this.awaited.length > 0;
  }

  get quarantines(): readonly Quarantine[] {
    return [...this.quarantined.values()].map(({ quarantine }) => quarantine);
  }

  /** The process is gone: its entry leaves the ledger, and its bytes are looked for. Resolves when they are back, or time is up. */
  released(hid: string, model: string): Promise<readonly ReleaseRow[]> {
    const { account, clock } = this.parts;
    const foreignBefore = account.quiet?.foreign;
    const expected = account.release(hid);
    return new Promise((tell) => {
      if (this.isClosed) return tell([]);
      this.awaited = [...this.awaited, { model, expected, foreignBefore, sinceMs: clock.nowMs(), tell, isTold: false }];
      void this.look();
    });
  }

  /** Nobody hears of a release any more; what is awaited is answered with nothing. */
  close(): void {
    this.isClosed = true;
    this.parts.account.close();
    this.timer?.cancel();
    for (const { tell, isTold } of this.awaited) if (!isTold) tell([]);
    this.awaited = [];
  }

  /** One look at a time; what comes meanwhile is seen by the next. */
  private async look(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    this.timer?.cancel();
    await this.parts.account.glance();
    this.isLooking = false;
    if (this.isClosed) return;
    const before = this.untold + this.awaited.length + this.quarantined.size;
    this.awaited = this.awaited.filter((one) => !this.isOver(one));
    for (const one of [...this.quarantined.values()]) this.reconsider(one);
    if (this.awaited.length === 0) this.parts.account.restAgain();
    if (this.untold + this.awaited.length + this.quarantined.size !== before) this.parts.onChange();
    this.lookAgain();
  }

  private lookAgain(): void {
    const { clock, limits } = this.parts;
    if (this.awaited.length + this.quarantined.size === 0) return;
    const delayMs = this.awaited.length > 0 ? limits.settlePollMs : limits.quarantineLookMs;
    this.timer = clock.setTimer(delayMs, () => void this.look());
  }

  private get untold(): number {
    return this.awaited.filter(({ isTold }) => !isTold).length;
  }

  /**
   * True when nothing more is to be waited for; it is told before, as soon as the verdict is good. What is missing within
   * the tolerance of a GPU may still be on its way: a load that needs it waits, instead of being refused for it.
   */
  private isOver(one: Awaited): boolean {
    const { model, expected, foreignBefore, sinceMs, tell } = one;
    const { account, clock, limits } = this.parts;
    const foreign = account.foreign();
    const rows = account.devices
      .filter(({ id }) => (expected[id] ?? 0) > 0)
      .map((device) =>
        releaseRow({
          ...{ device, expectedBytes: expected[device.id] ?? 0, isQuiet: account.isQuiet },
          ...{ foreignBeforeBytes: foreignBefore?.[device.id], foreignNowBytes: foreign[device.id] ?? 0 },
        }),
      );
    const isSettled = rows.every(({ verdict }) => verdict === 'returned');
    const isLate = clock.nowMs() - sinceMs >= limits.settleMs;
    if (!one.isTold) {
      if (!isSettled && !isLate) return false;
      for (const row of rows)
        if (row.verdict === 'missing') this.quarantine(model, row, foreignBefore?.[row.device] ?? 0);
      one.isTold = true;
      tell(rows);
    }
    const isCpu = (device: string): boolean => account.devices.some(({ id, kind }) => id === device && kind === 'cpu');
    return isLate || rows.every(({ device, residualBytes = 0 }) => residualBytes === 0 || isCpu(device));
  }

  private quarantine(model: string, { device, residualBytes = 0 }: ReleaseRow, foreignBytes: number): void {
    const { clock, log } = this.parts;
    const quarantine = { device, model, missingBytes: residualBytes, sinceMs: clock.nowMs() };
    this.quarantined.set(device, { quarantine, foreignBytes });
    log.error('a device did not return to its ledger: nothing is loaded there', { ...quarantine });
  }

  /** Ends a quarantine when the bytes are back after all, or when they are missing for so long that they count as another's. */
  private reconsider({ quarantine, foreignBytes }: { quarantine: Quarantine; foreignBytes: number }): void {
    const { account, clock, limits, log } = this.parts;
    const device = account.devices.find(({ id }) => id === quarantine.device);
    if (device === undefined) return;
    const { verdict } = releaseRow({
      ...{ device, expectedBytes: quarantine.missingBytes, isQuiet: true, foreignBeforeBytes: foreignBytes },
      foreignNowBytes: account.foreign()[device.id] ?? 0,
    });
    const isTooOld = clock.nowMs() - quarantine.sinceMs >= limits.quarantineMs;
    if (verdict !== 'returned' && !isTooOld) return;
    this.quarantined.delete(device.id);
    const how = verdict === 'returned' ? 'its bytes are back' : 'what is missing counts as in use by others';
    log.warn('the quarantine of a device is over', { device: device.id, how });
  }
}
