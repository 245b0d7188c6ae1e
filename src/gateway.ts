/**
 * Puts the gateway together, from the bus up to the socket, and takes it apart in the opposite order. The only file,
 * with `main.ts`, that knows every room.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { createApp } from './api/app.js';
import { checkPort, listen, type HttpServer } from './api/server.js';
import { LlamaestroError } from './base/errors.js';
import type { Logger } from './base/log.js';
import { systemClock, systemRandom } from './base/system-ports.js';
import { startBroker, type Broker } from './bus/broker/broker.js';
import type { Bus } from './bus/bus.js';
import { FrameReceiver } from './bus/frame-receiver.js';
import { connectNats } from './bus/nats-bus.js';
import { SqliteJournal } from './journal/sqlite-journal.js';
import { machineProbe } from './node/device-probe.js';
import { NodeAgent } from './node/node-agent.js';
import { ProcessSpawner } from './node/process-spawner.js';
import { createOrchestra } from './orchestra/local-orchestra.js';
import type { Orchestra } from './orchestra/orchestra.js';
import { nodeClient } from './pool/node-client.js';
import type { Pool } from './pool/pool.js';
import { createPool } from './pool/pool-driver.js';
import { createCatalog, type Catalog } from './profile/catalog.js';
import type { MadeUpOptions } from './profile/made-up-profile.js';
import { createProfileManager, type ProfileManager } from './profile/profile-manager.js';
import type { GatewayConfig } from './schema/config.js';
import type { Profile } from './schema/profile.js';

/** Which profile to start with: a name or path, or one made up for a file. Neither: the one active before, else `demo`. */
export interface Choice {
  readonly profile?: string;
  readonly model?: MadeUpOptions & { readonly file: string };
}

export interface Gateway {
  readonly url: string;
  readonly orchestra: Orchestra;
  readonly pool: Pool;
  readonly profiles: ProfileManager;
  /**
   * Takes no new runs, waits for those under way until `drain` aborts (then they end as `interrupted`), ends every host
   * and closes. Idempotent.
   */
  stop(drain?: AbortSignal): Promise<void>;
}

/** Ended runs are kept in the journal for so long. */
const KEPT_MS = 30 * 24 * 3600 * 1000;
/** The profile that a first start takes. */
const FIRST_PROFILE = 'demo';
/** Folder of the profiles that come with the program, beside `src` and `dist`. */
const OWN_PROFILES = fileURLToPath(new URL('../profiles', import.meta.url));
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);

export async function startGateway(
  config: GatewayConfig,
  choice: Choice,
  version: string,
  log: Logger,
): Promise<Gateway> {
  if (!LOOPBACK.has(config.host)) {
    throw new LlamaestroError('invalid_request', `'${config.host}' is not a loopback address`, {
      param: 'host',
      remedy: 'Keys do not exist yet, so the API listens on loopback only; put a proxy with its own keys in front.',
    });
  }
  await checkPort(config.host, config.port);
  const undo: (() => Promise<unknown>)[] = [];
  const takeApart = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    return await assemble(config, choice, version, log, undo, takeApart);
  } catch (thrown) {
    await takeApart();
    throw thrown;
  }
}

async function openBus(config: GatewayConfig, log: Logger): Promise<{ bus: Bus; broker?: Broker }> {
  const ports = { clock: systemClock, random: systemRandom, log };
  if (config.natsUrl !== undefined) {
    return { bus: await connectNats({ ...ports, name: 'gateway', servers: config.natsUrl }) };
  }
  const broker = await startBroker(ports);
  return { broker, bus: broker.attach() };
}

async function assemble(
  config: GatewayConfig,
  choice: Choice,
  version: string,
  log: Logger,
  undo: (() => Promise<unknown>)[],
  takeApart: () => Promise<void>,
): Promise<Gateway> {
  const { paths } = config;
  const [clock, random] = [systemClock, systemRandom];
  const [gid, nid] = [random.id('gw'), random.id('node')];
  await mkdir(paths.home, { recursive: true });

  const journal = new SqliteJournal({ path: paths.database, clock });
  const opened = await journal.open();
  undo.push(() => journal.close());
  if (opened.setAside !== undefined) log.error('the database was damaged and set aside', { file: opened.setAside });

  const catalog = createCatalog({ folders: [paths.profiles, OWN_PROFILES], modelRoots: [paths.models] });
  const { bus, broker } = await openBus(config, log);
  if (broker !== undefined) undo.push(() => broker.close());
  undo.push(() => bus.close());

  const spawner = new ProcessSpawner({
    config: {
      nid,
      busUrl: broker?.url ?? config.natsUrl ?? '',
      busToken: broker?.token,
      engine: config.engine,
      logLevel: config.logLevel,
    },
    logFolder: paths.logs,
    log,
  });
  const deviceProbe = machineProbe(config.deviceLimits);
  const agent = new NodeAgent({ bus, clock, random, nid, spawner, deviceProbe, log });
  agent.start();
  undo.push(() => agent.close());

  const node = nodeClient(bus, nid);
  const pool = createPool({ bus, clock, random, gid, node, log, stepLock: paths.stepLock });
  undo.push(() => pool.close());
  const receiver = new FrameReceiver({ bus, clock, gid, log });
  undo.push(() => Promise.resolve(receiver.close()));

  const profiles = createProfileManager({
    pool,
    journal,
    catalog,
    running: () => orchestra.status().running + orchestra.status().admitting,
  });
  const orchestra = createOrchestra({
    bus,
    receiver,
    clock,
    random,
    gid,
    pool,
    journal,
    log,
    profile: () => profiles.current(),
  });
  const interrupted = await orchestra.recover();
  if (interrupted > 0) log.warn('runs of a former process were ended as interrupted', { count: interrupted });
  const pruned = await journal.prune(clock.wallMs() - KEPT_MS);
  if (pruned > 0) log.info('old runs were deleted from the journal', { count: pruned });
  const first = await firstProfile(choice, catalog, profiles, log);
  await profiles.start(first);

  const identity = {
    version,
    gid,
    pid: process.pid,
    bus: broker === undefined ? 'nats' : 'embedded',
    engine: config.engine,
  };
  const app = createApp({ orchestra, pool, profiles, clock, random, log, identity });
  const server = await listen(app, config.host, config.port);
  log.info('the gateway listens', { url: server.url, profile: first.name });
  return { url: server.url, orchestra, pool, profiles, stop: stopper(orchestra, server, takeApart) };
}

/** What the command line says, else what was active before, else the demo. */
async function firstProfile(choice: Choice, catalog: Catalog, profiles: ProfileManager, log: Logger): Promise<Profile> {
  if (choice.model !== undefined) return catalog.forFile(choice.model.file, choice.model);
  if (choice.profile !== undefined) return catalog.load(choice.profile);
  const before = await profiles.remembered();
  if (before === undefined || !existsSync(before.origin)) return catalog.load(FIRST_PROFILE);
  return catalog.load(before.origin).catch((thrown: unknown) => {
    log.error('the profile that was active before cannot be used', { profile: before.name, error: thrown });
    return catalog.load(FIRST_PROFILE);
  });
}

function stopper(orchestra: Orchestra, server: HttpServer, takeApart: () => Promise<void>): Gateway['stop'] {
  let stopping: Promise<void> | undefined;
  const stop = async (drain?: AbortSignal): Promise<void> => {
    // Requests are refused by the orchestra with a real answer while runs end; the socket closes after them.
    await orchestra.drain(drain);
    await server.close(systemClock);
    await takeApart();
  };
  return (drain) => (stopping ??= stop(drain));
}
