/**
 * The process around one `HostServer`: bus connection, signals, exit codes. The driver comes from outside, so that a
 * test can run one that misbehaves. Never writes prompt or output text anywhere.
 */
import { createLogger, type Logger } from '../base/log.js';
import { sleep, type Timer } from '../base/ports.js';
import { systemClock, systemRandom } from '../base/system-ports.js';
import type { Bus } from '../bus/bus.js';
import { connectNats } from '../bus/nats-bus.js';
import type { EngineDriver } from '../engine/engine.js';
import { HOST_LIMITS, type HostConfig } from '../schema/config.js';
import { HostServer } from './host-server.js';
import { PrefixShelf } from './prefix-shelf.js';

/** How a host process ends, beside 0 (told to) and 1 (the load failed). The lifeline's own is 75. */
export const HOST_EXITS = {
  /** The bus could not be reached, or was lost for too long. */
  busLost: 69,
  /** An exception nobody expected. */
  fault: 70,
  /** Configuration or addon are missing or unfit. */
  unusable: 78,
} as const;

/** Serves until told to stop; the process ends through `process.exit`, never by returning. */
export async function runHost(config: HostConfig, driver: EngineDriver): Promise<void> {
  const log = createLogger({ level: config.logLevel, destination: 1, sync: true, fields: { hid: config.hid } });
  process.on('uncaughtException', (error) => {
    log.error('a fault ends the host', { error });
    process.exit(HOST_EXITS.fault);
  });
  const bus = await connectOrExit(config, log);
  const { prefixFolder: folder, prefixDiskBytes: maxBytes } = config;
  const shelf = { maxBytes, build: driver.build, clock: systemClock, log };
  const prefixes = folder === undefined ? undefined : new PrefixShelf({ folder, ...shelf });
  const server = new HostServer({
    bus,
    clock: systemClock,
    driver,
    hid: config.hid,
    nid: config.nid,
    log,
    exit: (code) => process.exit(code),
    residentBytes: () => process.memoryUsage.rss(),
    ...(prefixes === undefined ? {} : { prefixes }),
  });
  server.start();
  exitWithoutBus(bus, log);
  obeySignals(server, log);
  log.info('the host is up', { pid: process.pid, engine: driver.build });
}

async function connectOrExit(config: HostConfig, log: Logger): Promise<Bus> {
  const { busUrl, busToken, hid } = config;
  try {
    const token = busToken === undefined ? {} : { token: busToken };
    const name = `host ${hid}`;
    return await connectNats({ servers: busUrl, ...token, name, clock: systemClock, random: systemRandom, log });
  } catch (error) {
    log.error('the bus cannot be reached', { error });
    return process.exit(HOST_EXITS.busLost);
  }
}

function exitWithoutBus(bus: Bus, log: Logger): void {
  let patience: Timer | undefined;
  bus.onStatus((status) => {
    patience?.cancel();
    if (status === 'back') return;
    patience = systemClock.setTimer(HOST_LIMITS.busLostMs, () => {
      log.error('the bus stayed away', { afterMs: HOST_LIMITS.busLostMs });
      process.exit(HOST_EXITS.busLost);
    });
  });
}

/** SIGTERM drains first, a second one does not. SIGINT is for the gateway, which ends its hosts in its own order. */
function obeySignals(server: HostServer, log: Logger): void {
  process.on('SIGINT', () => undefined);
  let isDraining = false;
  process.on('SIGTERM', () => {
    if (isDraining) return server.end();
    isDraining = true;
    log.info('told to stop: draining');
    void drainThenEnd(server);
  });
}

async function drainThenEnd(server: HostServer): Promise<void> {
  const patience = new AbortController();
  void sleep(systemClock, HOST_LIMITS.drainMs).then(() => patience.abort(new Error('time is up')));
  await server.drain(patience.signal).catch(() => undefined);
  server.end();
}
