/**
 * Tells each host every few seconds which attempts are still ours, so that a host whose gateway is gone stops by itself.
 * Sleeps while there is nothing to renew.
 */
import type { Clock, Timer } from '../base/ports.js';
import type { HostClient } from './host-client.js';
import type { AttemptName } from './lease-desk.js';

/** What runs on one host. */
export interface HostAttempts {
  readonly hid: string | undefined;
  readonly attempts: readonly AttemptName[];
}

export class Renewals {
  private timer: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly renewMs: number,
    private readonly hosts: HostClient,
    private readonly running: () => readonly HostAttempts[],
  ) {}

  /** An attempt began. */
  start(): void {
    this.timer ??= this.clock.setTimer(this.renewMs, () => {
      this.timer = undefined;
      this.renew();
    });
  }

  stop(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  private renew(): void {
    for (const { hid, attempts } of this.running()) {
      if (hid === undefined || attempts.length === 0) continue;
      this.hosts.renew(hid, attempts);
      this.start();
    }
  }
}
