/**
 * Configuration from the environment, typed and checked, for the gateway, the node agent and the model hosts, with the
 * named limits of the machine side. The only file that reads `process.env`; knows no profile and no command line.
 */
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { LlamaestroError } from '../base/errors.js';
import { LOG_LEVELS, type LogLevel } from '../base/log.js';
import { sizeBytes } from './units.js';

/** Variables as a process gets them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Limits of one model host. */
export const HOST_LIMITS = {
  /** Between two host events when nothing happens: while a sequence runs or a model loads, and of a host that serves nobody. */
  beatMs: 1000,
  idleBeatMs: 2000,
  /** Between two load-progress events. */
  progressMs: 200,
  /** An attempt whose gateway did not renew it for so long is cancelled. */
  leaseMs: 15_000,
  /** Text up to this many UTF-16 units is tokenised at once, in a fraction of a millisecond; longer text beside the event loop. */
  inlinePromptUnits: 2000,
  /** Runs whose last attempt number is remembered: 64 per slot of the largest engine, whatever the slots. */
  fencedRuns: 16_384,
  /** Vocabulary-only engines kept open by a host without a model. */
  vocabularies: 4,
  /** What `exit` waits for the engine to close and the last frames to leave; then the process ends anyway. */
  exitMs: 2000,
  /** What saving the prefixes of a model may take before its host ends, and restoring them before a load is over. */
  prefixSaveMs: 4000,
  prefixRestoreMs: 4000,
  /** Saved prefixes that nobody used for so long are deleted when the next ones are saved. */
  prefixAgeMs: 7 * 24 * 3600_000,
  /** A host without its bus for so long ends. */
  busLostMs: 15_000,
  /** Between two looks at whether a draining host is empty. */
  drainLookMs: 50,
  /** SIGTERM: what running attempts get to finish. */
  drainMs: 30_000,
} as const;

/** Limits of one node agent. */
export const NODE_LIMITS = {
  /** Processes one agent runs, the planner included. */
  hosts: 64,
  /** Between two `alive` events. */
  aliveMs: 1000,
  /** A host without a heartbeat record for so long counts as silent. */
  silentMs: 5000,
  /** Answer to a ctl `exit`; without it the process gets a signal. */
  exitAnswerMs: 1000,
  /** From spawn to the first word of a planner host. */
  plannerStartMs: 20_000,
  /** One simulation, one count, one look at the devices. */
  plannerAnswerMs: 30_000,
  /** An idle planner host ends after this. */
  plannerIdleMs: 30_000,
  /** Questions that wait for the planner host; one more is refused. */
  plannerPending: 256,
  /** Memory plans kept; the least used goes. */
  cachedPlans: 256,
  /** Grace of each process when the agent closes. */
  closeGraceMs: 3000,
  /** A host's log file starts again above this; one earlier file is kept. */
  logFileBytes: 4 * 1024 * 1024,
  /** What is kept of a log file that grew too long. */
  logTailBytes: 64 * 1024,
  /** What a `host-exited` event carries of the process's last output. */
  lastWordsBytes: 4096,
} as const;

/** Files under `$LLAMAESTRO_HOME`; all absolute. */
export interface HomePaths {
  readonly home: string;
  readonly database: string;
  readonly logs: string;
  readonly models: string;
  readonly profiles: string;
  /** Written by `npm start`: where the gateway of this home listens. */
  readonly pidFile: string;
  /** Prompt prefixes of models that were unloaded; they tell what was in prompts. */
  readonly prefixes: string;
  /** Shared by all CPU hosts that take turns (LoadOptions.stepLock). */
  readonly stepLock: string;
}

/** Ceiling in bytes by device id ('cpu', 'cuda0'). */
export type DeviceLimits = Readonly<Record<string, number>>;

export interface NodeConfig {
  readonly paths: HomePaths;
  /** A real NATS server or cluster; absent: the embedded bus. */
  readonly natsUrl: string | undefined;
  readonly deviceLimits: DeviceLimits;
  /** What saved prefixes may take on disk, all together; 0: none are saved. */
  readonly prefixDiskBytes: number;
  readonly logLevel: LogLevel;
  readonly engine: 'native' | 'fake';
}

export interface GatewayConfig extends NodeConfig {
  /** Address the API listens on. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/** What a node agent tells a host it starts; a host reads nothing else from its environment. */
export interface HostConfig {
  readonly hid: string;
  readonly nid: string;
  readonly busUrl: string;
  /** Absent when the URL needs none. */
  readonly busToken: string | undefined;
  /** Where prefixes of unloaded models are kept, and how many bytes of them; absent: nowhere. */
  readonly prefixFolder: string | undefined;
  readonly prefixDiskBytes: number;
  /** Descriptor of the inherited lifeline pipe. */
  readonly lifelineFd: number;
  readonly engine: 'native' | 'fake';
  readonly logLevel: LogLevel;
}

const DEFAULT_PORT = 8080;
const DEFAULT_PREFIX_DISK = '2GiB';
const HOST_VARIABLES = {
  hid: 'LLAMAESTRO_HID',
  nid: 'LLAMAESTRO_NID',
  busUrl: 'LLAMAESTRO_BUS_URL',
  busToken: 'LLAMAESTRO_BUS_TOKEN',
  lifelineFd: 'LLAMAESTRO_LIFELINE_FD',
  prefixFolder: 'LLAMAESTRO_PREFIX_FOLDER',
  prefixDisk: 'LLAMAESTRO_PREFIX_DISK',
} as const;

/** The gateway's configuration; `invalid_request` naming the variable when one cannot be read. */
export function readGatewayConfig(env: Environment = process.env): GatewayConfig {
  return {
    ...readNodeConfig(env),
    host: env['LLAMAESTRO_HOST'] || '127.0.0.1',
    port: wholeNumber(env, 'LLAMAESTRO_PORT', DEFAULT_PORT, 0, 65_535),
  };
}

/** What every process of a machine's people shares. */
export function readNodeConfig(env: Environment = process.env): NodeConfig {
  return {
    paths: homePaths(dataFolder(env)),
    natsUrl: env['NATS_URL'] || undefined,
    deviceLimits: parseDeviceLimits(env['LLAMAESTRO_DEVICE_LIMITS'] ?? ''),
    prefixDiskBytes: size(env, HOST_VARIABLES.prefixDisk, DEFAULT_PREFIX_DISK),
    ...readEngineAndLog(env),
  };
}

/** A model host's configuration; only a node agent starts hosts, so a missing variable is its fault. */
export function readHostConfig(env: Environment = process.env): HostConfig {
  return {
    hid: required(env, HOST_VARIABLES.hid),
    nid: required(env, HOST_VARIABLES.nid),
    busUrl: required(env, HOST_VARIABLES.busUrl),
    busToken: env[HOST_VARIABLES.busToken] || undefined,
    prefixFolder: env[HOST_VARIABLES.prefixFolder] || undefined,
    prefixDiskBytes: size(env, HOST_VARIABLES.prefixDisk, DEFAULT_PREFIX_DISK),
    lifelineFd: wholeNumber(env, HOST_VARIABLES.lifelineFd, 3, 3, 1023),
    ...readEngineAndLog(env),
  };
}

/** The environment of a host process: this process's own, and what `readHostConfig` reads. */
export function hostEnvironment(config: HostConfig, inherited: Environment = process.env): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(inherited)) if (value !== undefined) env[name] = value;
  return {
    ...env,
    [HOST_VARIABLES.hid]: config.hid,
    [HOST_VARIABLES.nid]: config.nid,
    [HOST_VARIABLES.busUrl]: config.busUrl,
    [HOST_VARIABLES.busToken]: config.busToken ?? '',
    [HOST_VARIABLES.lifelineFd]: String(config.lifelineFd),
    [HOST_VARIABLES.prefixFolder]: config.prefixFolder ?? '',
    [HOST_VARIABLES.prefixDisk]: `${config.prefixDiskBytes}B`,
    LLAMAESTRO_ENGINE: config.engine,
    LLAMAESTRO_LOG_LEVEL: config.logLevel,
  };
}

/** Where things live under one home folder; `home` may be relative to the working folder. */
export function homePaths(home: string): HomePaths {
  const root = isAbsolute(home) ? home : resolve(home);
  return {
    home: root,
    database: join(root, 'llamaestro.db'),
    logs: join(root, 'logs'),
    models: join(root, 'models'),
    profiles: join(root, 'profiles'),
    pidFile: join(root, 'gateway.json'),
    prefixes: join(root, 'prefixes'),
    stepLock: join(root, 'step.lock'),
  };
}

/** `$LLAMAESTRO_HOME`, or the platform's folder for user data. */
export function dataFolder(env: Environment, platform: NodeJS.Platform = process.platform): string {
  const chosen = env['LLAMAESTRO_HOME'];
  if (chosen !== undefined && chosen !== '') return chosen;
  const home = env['HOME'] || homedir();
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'llamaestro');
  if (platform === 'win32') return join(env['LOCALAPPDATA'] || join(home, 'AppData', 'Local'), 'llamaestro');
  const xdg = env['XDG_DATA_HOME'];
  return join(xdg !== undefined && isAbsolute(xdg) ? xdg : join(home, '.local', 'share'), 'llamaestro');
}

/** `cpu=2GiB,cuda0=8GiB` as bytes by device; '' is no limit. */
export function parseDeviceLimits(text: string): DeviceLimits {
  const limits: Record<string, number> = {};
  for (const part of text.split(',').filter((entry) => entry.trim() !== '')) {
    const match = /^\s*([a-z]+\d*)\s*=\s*(\d+(?:\.\d+)?)\s*(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)?\s*$/.exec(part);
    const [, device, count, unit] = match ?? [];
    if (device === undefined || count === undefined) {
      refuse('LLAMAESTRO_DEVICE_LIMITS', `'${part.trim()}' must look like cpu=2GiB or cuda0=8GiB`);
    }
    if (Object.hasOwn(limits, device)) refuse('LLAMAESTRO_DEVICE_LIMITS', `names ${device} twice`);
    limits[device] = sizeBytes(`${count}${unit ?? 'B'}`);
  }
  return limits;
}

function readEngineAndLog(env: Environment): Pick<NodeConfig, 'engine' | 'logLevel'> {
  return {
    engine: oneOf(env, 'LLAMAESTRO_ENGINE', ['native', 'fake'], 'native'),
    logLevel: oneOf(env, 'LLAMAESTRO_LOG_LEVEL', LOG_LEVELS, 'info'),
  };
}

function required(env: Environment, name: string): string {
  return env[name] || refuse(name, 'must be set; a node agent sets it when it starts a model host');
}

function oneOf<T extends string>(env: Environment, name: string, words: readonly T[], fallback: T): T {
  const value = env[name];
  if (value === undefined || value === '') return fallback;
  return words.find((word) => word === value) ?? refuse(name, `must be one of ${words.join(', ')}, got '${value}'`);
}

function wholeNumber(env: Environment, name: string, fallback: number, minimum: number, maximum: number): number {
  const text = env[name];
  if (text === undefined || text === '') return fallback;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= minimum && value <= maximum) return value;
  return refuse(name, `must be a whole number from ${minimum} to ${maximum}, got '${text}'`);
}

function size(env: Environment, name: string, fallback: string): number {
  const text = env[name] || fallback;
  if (/^\d+(\.\d+)?(B|KiB|MiB|GiB|TiB|KB|MB|GB|TB)$/.test(text)) return sizeBytes(text);
  return text === '0' ? 0 : refuse(name, `must be a size such as 512MiB or 2GiB, or 0, got '${text}'`);
}

function refuse(name: string, message: string): never {
  throw new LlamaestroError('invalid_request', `the environment variable ${name} ${message}`, {
    param: name,
    remedy: `Correct or unset ${name}.`,
  });
}
