/** What an orchestra and its runs work with: the ports and rooms they are given. Types only; whoever starts the gateway fills them. */
import type { Logger } from '../base/log.js';
import type { Clock, Random } from '../base/ports.js';
import type { Bus } from '../bus/bus.js';
import type { FrameReceiver } from '../bus/frame-receiver.js';
import type { Journal } from '../journal/journal.js';
import type { Pool } from '../pool/pool.js';
import type { Crossing } from '../profile/profile-switch.js';
import type { Profile } from '../schema/profile.js';

export interface OrchestraParts {
  readonly bus: Bus;
  readonly receiver: FrameReceiver;
  readonly clock: Clock;
  readonly random: Random;
  readonly gid: string;
  readonly pool: Pool;
  readonly journal: Journal;
  readonly log: Logger;
  /** The active profile, asked at each admission. */
  readonly profile: () => Profile;
  /** A switch to another one, while requests have to know of it. */
  readonly crossing: () => Crossing | undefined;
}
