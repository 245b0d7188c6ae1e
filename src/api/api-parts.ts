/** What the API stands on: the rooms that its routes ask, and what it says about the server itself. Types only. */
import type { Logger } from '../base/log.js';
import type { Clock, Random } from '../base/ports.js';
import type { Orchestra } from '../orchestra/orchestra.js';
import type { Pool } from '../pool/pool.js';
import type { ProfileManager } from '../profile/profile-manager.js';

export interface ApiParts {
  readonly orchestra: Orchestra;
  readonly pool: Pool;
  readonly profiles: ProfileManager;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** What the status says about the server itself; constant while it runs. */
  readonly identity: Identity;
}

export interface Identity {
  readonly version: string;
  readonly gid: string;
  readonly pid: number;
  /** 'embedded' or 'nats'. */
  readonly bus: string;
  /** Which llama.cpp the addon is built from, and the addon's own version. */
  readonly engine: string;
}
