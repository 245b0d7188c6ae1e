/**
 * What the host of one model holds, from the load to the proof that it is gone: told to the account, noted in the memory
 * book, and reported to whoever waits for the end. Knows no states; its instance says when.
 */
import type { Logger } from '../base/log.js';
import type { Clock } from '../base/ports.js';
import type { HostEvent } from '../schema/bus-messages.js';
import { ownOf, type Account } from './account.js';
import { observedIn, type HostRecord } from './host-record.js';
import { bytesOf, sumOf, type DeviceBytes } from './ledger.js';
import type { MemoryBook } from './memory-book.js';
import type { ReleaseRow } from './release-proof.js';
import type { ReleaseWatch } from './release-watch.js';
import type { Unit } from './unit.js';

export interface OccupancyParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly account: Account;
  readonly releases: ReleaseWatch;
  readonly book: MemoryBook;
}

/** How a host left. */
export interface Departure {
  readonly hid: string;
  /** 'exited with code 0', 'was ended by SIGKILL'. */
  readonly how: string;
  /** Requests that were cut off. */
  readonly cut: number;
  readonly devices: readonly ReleaseRow[];
}

export class Occupancy {
  /** Those who wait for the end of the present host. */
  private watchers: ((departure: Departure) => void)[] = [];
  private how = 'never began';
  private cutCount = 0;

  constructor(
    private readonly record: HostRecord,
    private readonly unit: () => Pick<Unit, 'name' | 'configHash'>,
    private readonly parts: OccupancyParts,
  ) {}

  /** Resolves when the present host is gone and its bytes were looked for. */
  get departure(): Promise<Departure> {
    return new Promise((resolve) => this.watchers.push(resolve));
  }

  /** The load is done; `loadMs` since its process was started. */
  opened(hid: string, loadMs: number): void {
    const { record, parts } = this;
    const { word, plan } = record;
    const { allocated } = word ?? {};
    const bytes = allocated === undefined ? (parts.account.entry(hid)?.planned ?? {}) : bytesOf(allocated);
    const measured = parts.account.commit(hid, bytes, word === undefined ? {} : observedIn(word));
    if (allocated !== undefined && plan !== undefined && allocated.totalBytes > plan.totalBytes) {
      const sizes = { plannedBytes: plan.totalBytes, allocatedBytes: allocated.totalBytes };
      parts.log.warn('a model took more memory than planned', { model: this.unit().name, ...sizes });
    }
    record.opened(bytes, measured, loadMs);
    this.note(hid);
    void parts.account.glance();
  }

  /** The loaded host says how it is. */
  heard(hid: string, event: HostEvent): void {
    this.record.measured(this.parts.account.measured(hid, observedIn(event)));
  }

  /** What the host holds by device, as far as it can be told apart from others, and what it may count on. */
  weights(hid: string): { readonly held: DeviceBytes; readonly bounds: DeviceBytes } {
    const { account } = this.parts;
    const { planned = {}, extra = {}, measured = {} } = account.entry(hid) ?? {};
    const { word } = this.record;
    const held = word !== undefined && account.isAlone(hid) ? observedIn(word) : ownOf(measured);
    return { held, bounds: sumOf(planned, extra) };
  }

  /** Requests were cut off. */
  cut(count: number): void {
    this.cutCount += count;
  }

  /** How the process ended, as the system tells it. */
  ended(how: string): void {
    this.how = how;
  }

  /** The process is gone. */
  released(hid: string): void {
    const { account, releases } = this.parts;
    // Once more, with the most that was seen of it.
    if (account.entry(hid)?.allocated !== undefined) this.note(hid);
    this.record.gone();
    const { watchers, how, cutCount } = this;
    [this.watchers, this.how, this.cutCount] = [[], 'never began', 0];
    void releases.released(hid, this.unit().name).then((devices) => {
      for (const tell of watchers) tell({ hid, how, cut: cutCount, devices });
    });
  }

  private note(hid: string): void {
    const { name, configHash } = this.unit();
    for (const note of this.record.notes(hid, name, configHash, this.parts.clock.wallMs())) {
      void this.parts.book.note(note);
    }
  }
}
