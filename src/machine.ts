/**
 * This machine on a bus of its own or a given one: what a gateway stands on, and what an offline command borrows for a
 * moment. Opens and hands out; whoever opened takes it apart by `undo`, backwards.
 */
import type { Logger } from './base/log.js';
import type { Clock, Random } from './base/ports.js';
import { startBroker } from './bus/broker/broker.js';
import type { Bus } from './bus/bus.js';
import { connectNats } from './bus/nats-bus.js';
import { machineProbe } from './node/device-probe.js';
import { NodeAgent } from './node/node-agent.js';
import { ProcessSpawner } from './node/process-spawner.js';
import type { NodeConfig } from './schema/config.js';

/** What every part is built with. */
export interface Ground {
  readonly config: NodeConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** How to close what was opened, in the order of opening; each part adds its own. */
  readonly undo: (() => Promise<unknown>)[];
}

/** A place on the bus, and the address at which hosts find it. */
export interface Joined {
  readonly kind: 'embedded' | 'nats';
  readonly bus: Bus;
  readonly url: string;
  readonly token: string | undefined;
}

export async function joinBus({ config, clock, random, log, undo }: Ground): Promise<Joined> {
  const ports = { clock, random, log };
  if (config.natsUrl !== undefined) {
    const bus = await connectNats({ ...ports, name: 'gateway', servers: config.natsUrl });
    undo.push(() => bus.close());
    return { kind: 'nats', bus, url: config.natsUrl, token: undefined };
  }
  const broker = await startBroker(ports);
  undo.push(() => broker.close());
  // Without a socket to ourselves. Measured, 16 streams of a 15M model: 1947 tokens/s, against 1880 through the client
  // that hosts use, and the first token 0.9 to 2 ms earlier.
  const bus = broker.attach();
  undo.push(() => bus.close());
  return { kind: 'embedded', bus, url: broker.url, token: broker.token };
}

/** The agent of this machine, which starts and ends its model hosts. Returns its node id. */
export function startMachine({ config, clock, random, log, undo }: Ground, { bus, url, token }: Joined): string {
  const nid = random.id('node');
  const { engine, logLevel, paths, prefixDiskBytes } = config;
  const prefixFolder = prefixDiskBytes === 0 ? undefined : paths.prefixes;
  const hosts = { nid, busUrl: url, busToken: token, engine, logLevel, prefixFolder, prefixDiskBytes };
  const spawner = new ProcessSpawner({ config: hosts, logFolder: paths.logs, log });
  const deviceProbe = machineProbe(config.deviceLimits);
  const agent = new NodeAgent({ bus, clock, random, nid, spawner, deviceProbe, log });
  agent.start();
  undo.push(() => agent.close());
  return nid;
}
