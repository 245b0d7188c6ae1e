/**
 * What one model's instance has done to its host processes: start, load, kill, each with what became of it as an event. Keeps
 * nothing; whether an event still matters is the instance machine's affair.
 */
import { toLlamaestroError } from '../base/errors.js';
import type { Logger } from '../base/log.js';
import type { GroupMember } from '../schema/bus-messages.js';
import type { HostClient } from './host-client.js';
import type { InstanceEvent } from './instance.js';
import type { PoolLimits } from './limits.js';
import type { NodeAgent } from './node-client.js';
import type { SpareHost, WarmHost } from './spare-host.js';

export interface HostOrdersParts {
  readonly log: Logger;
  readonly limits: PoolLimits;
  readonly node: NodeAgent;
  readonly hosts: HostClient;
  /** Where hosts come from. */
  readonly spare: SpareHost;
}

export type Tell = (event: InstanceEvent) => void;

/** A process for `model`; undefined when there is none or its answer was lost: the host speaks for itself, or its time to start runs out. */
export async function spawnHost(
  hid: string,
  model: string,
  { spare }: HostOrdersParts,
  tell: Tell,
): Promise<(Omit<WarmHost, 'word'> & Partial<WarmHost>) | undefined> {
  try {
    return await spare.provide(hid, model);
  } catch (thrown) {
    const error = toLlamaestroError(thrown);
    if (error.code !== 'ack_timeout') tell({ type: 'spawn-failed', hid, error });
    return undefined;
  }
}

/** The options are as decided: 'auto' must not be decided again with other bytes free. */
export async function loadHost(
  hid: string,
  members: readonly GroupMember[],
  { hosts }: HostOrdersParts,
  tell: Tell,
): Promise<void> {
  const error = await hosts.load(hid, members);
  if (error !== undefined) tell({ type: 'load-refused', hid, error });
}

/** The exit report may be lost with the bus, so a kill also asks whether the process is still there. */
export async function killHost(
  hid: string,
  model: string,
  { node, limits, log }: HostOrdersParts,
  tell: Tell,
): Promise<void> {
  try {
    await node.kill(hid, limits.killGraceMs);
    const alive = await node.hosts();
    if (!alive.includes(hid)) tell({ type: 'exited', hid, how: 'was ended', asTold: false });
  } catch (error) {
    log.warn('a model host could not be ended', { model, hid, error });
  }
}
