/**
 * Puts the gateway together, from the bus up to the socket, and takes it apart in the opposite order. The only file,
 * with `main.ts`, that knows every room.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createApp } from './api/app.js';
import { checkPort, listen, type HttpServer } from './api/server.js';
import { LlamaestroError } from './base/errors.js';
import type { Logger } from './base/log.js';
import { systemClock, systemRandom } from './base/system-ports.js';
import type { Bus } from './bus/bus.js';
import { FrameReceiver } from './bus/frame-receiver.js';
import type { Journal } from './journal/journal.js';
import { SqliteJournal } from './journal/sqlite-journal.js';
import { joinBus, startMachine, type Ground } from './machine.js';
import { createOrchestra } from './orchestra/local-orchestra.js';
import type { Orchestra } from './orchestra/orchestra.js';
import { CrashBook } from './pool/crash-book.js';
import { nodeClient, type NodeAgent } from './pool/node-client.js';
import type { Pool } from './pool/pool.js';
import { createPool } from './pool/pool-driver.js';
import { openCatalog } from './catalog.js';
import type { Catalog } from './profile/catalog.js';
import type { MadeUpOptions } from './profile/made-up-profile.js';
import { LoadedModels } from './profile/loaded-models.js';
import { watchFolder } from './profile/folder-watch.js';
import { createProfilePlanner, type PlanProfile } from './profile/profile-planner.js';
import { createProfileManager, type ProfileManager } from './profile/profile-manager.js';
import type { Crossing } from './profile/profile-switch.js';
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
  const undo: Site['undo'] = [];
  const takeApart = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const site = { config, clock: systemClock, random: systemRandom, gid: systemRandom.id('gw'), log, undo };
    return await assemble(site, choice, version, takeApart);
  } catch (thrown) {
    await takeApart();
    throw thrown;
  }
}

/** What every part is built with. */
interface Site extends Ground {
  readonly config: GatewayConfig;
  readonly gid: string;
}

async function assemble(site: Site, choice: Choice, version: string, takeApart: () => Promise<void>): Promise<Gateway> {
  const { config, clock, random, gid, log } = site;
  const { paths } = config;
  // With the folder of the user's own profiles, so that it is there to be found.
  await mkdir(paths.profiles, { recursive: true });
  const journal = await openJournal(site);
  const joined = await joinBus(site);
  const nid = startMachine(site, joined);
  const node = nodeClient(joined.bus, nid);
  const pool = await openPool(site, joined.bus, node, journal);
  const catalog = openCatalog(paths);
  const plan = createProfilePlanner(node);
  const { orchestra, profiles } = seatOrchestra(site, joined.bus, pool, journal, { catalog, plan });
  await settlePast(site, orchestra, journal);
  const first = await firstProfile(choice, catalog, profiles, log);
  await profiles.start(first);
  warmUp(site, pool, profiles, journal);

  const identity = { version, gid, pid: process.pid, bus: joined.kind, engine: config.engine };
  const app = createApp({ orchestra, pool, profiles, clock, random, log, identity });
  const server = await listen(app, config.host, config.port);
  log.info('the gateway listens', { url: server.url, profile: first.name });
  return { url: server.url, orchestra, pool, profiles, stop: stopper(orchestra, server, takeApart) };
}

async function openJournal({ config, clock, log, undo }: Site): Promise<Journal> {
  const journal = new SqliteJournal({ path: config.paths.database, clock });
  const opened = await journal.open();
  undo.push(() => journal.close());
  if (opened.setAside !== undefined) log.error('the database was damaged and set aside', { file: opened.setAside });
  return journal;
}

async function openPool(site: Site, bus: Bus, node: NodeAgent, journal: Journal): Promise<Pool> {
  const { config, clock, random, gid, log, undo } = site;
  const crashes = new CrashBook({ keeper: journal, clock, log });
  await crashes.open();
  const { stepLock } = config.paths;
  const pool = createPool({ bus, clock, random, gid, node, log, journal, crashes, stepLock });
  undo.push(() => pool.close());
  return pool;
}

/** The orchestra asks what is active, and what a switch does to requests. */
function seatOrchestra(
  { clock, random, gid, log, undo }: Site,
  bus: Bus,
  pool: Pool,
  journal: Journal,
  reading: { readonly catalog: Catalog; readonly plan: PlanProfile },
): { readonly orchestra: Orchestra; readonly profiles: ProfileManager } {
  const receiver = new FrameReceiver({ bus, clock, gid, log });
  undo.push(() => Promise.resolve(receiver.close()));
  const profile = (): Profile => profiles.current();
  const crossing = (): Crossing | undefined => profiles.crossing();
  const orchestra = createOrchestra({ bus, receiver, clock, random, gid, pool, journal, log, profile, crossing });
  const profiles = createProfileManager({ pool, journal, clock, log, watchFolder, ...reading });
  undo.push(() => Promise.resolve(profiles.close()));
  return { orchestra, profiles };
}

/** What was loaded before is loaded again, while requests are taken already. */
function warmUp({ clock, log, undo }: Site, pool: Pool, profiles: ProfileManager, journal: Journal): void {
  const loaded = new LoadedModels({ clock, log, pool, journal, current: () => profiles.current() });
  undo.push(() => Promise.resolve(loaded.close()));
  void loaded.restore();
}

/** What a former process left behind: runs without an end, and runs too old to keep. */
async function settlePast({ clock, log }: Site, orchestra: Orchestra, journal: Journal): Promise<void> {
  const interrupted = await orchestra.recover();
  if (interrupted > 0) log.warn('runs of a former process were ended as interrupted', { count: interrupted });
  const pruned = await journal.prune(clock.wallMs() - KEPT_MS);
  if (pruned > 0) log.info('old runs were deleted from the journal', { count: pruned });
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
