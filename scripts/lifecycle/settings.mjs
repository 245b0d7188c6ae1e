// @ts-check
/**
 * What a person may say to `npm start`, checked, and how two sets of settings differ. Pure but for looking whether a
 * named file exists; knows nothing about processes.
 */
import { closeSync, existsSync, openSync, readSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ScriptError, exitStatus } from '../lib/script-error.mjs';
import { startUsage } from './usage.mjs';

const defaults = Object.freeze({ host: '127.0.0.1', port: 8080, waitSeconds: 600 });
const maxSlots = 256;
const maxContextTokens = 2 ** 24;
const optionNames = /** @type {const} */ ([
  'port',
  'host',
  'profile',
  'model',
  'context',
  'slots',
  'wait',
  'foreground',
]);

/**
 * What decides whether a running gateway is the one that was asked for.
 * @typedef {{ host: string, port: number, profile?: string } |
 *   { host: string, port: number, model: string, contextTokens?: number, slots?: number }} Settings `contextTokens` are
 *   those of all slots together; the gateway chooses what is absent, as profile the one that was active last
 *
 * @typedef {{ settings: Settings, foreground: boolean, waitMs: number }} StartRequest
 */

/**
 * @param {readonly string[]} argv
 * @param {Record<string, string | undefined>} env
 * @param {string} cwd where the person stands; relative paths begin there
 * @returns {StartRequest} throws a ScriptError with the usage
 */
export function parseStartRequest(argv, env, cwd) {
  refuseOptionsKeptByNpm(env);
  const values = parseOptions(argv.filter((word) => word !== '--'));
  const host = values.host ?? (env.LLAMAESTRO_HOST || defaults.host);
  const port = wholeNumber('--port', values.port ?? (env.LLAMAESTRO_PORT || defaults.port), 1, 65_535);
  const waitMs = wholeNumber('--wait', values.wait ?? defaults.waitSeconds, 1, 86_400) * 1000;
  const foreground = values.foreground ?? false;
  if (values.model === undefined) {
    for (const name of /** @type {const} */ (['context', 'slots'])) {
      if (values[name] !== undefined) throw usage(`--${name} belongs to --model; a profile names it for each model`);
    }
    const profile = values.profile ?? (env.LLAMAESTRO_PROFILE || undefined);
    const chosen = profile === undefined ? {} : { profile: asPathIfPath(profile, cwd) };
    return { settings: { host, port, ...chosen }, foreground, waitMs };
  }
  if (values.profile !== undefined)
    throw usage('--profile and --model exclude each other: a profile is made up for one file');
  const slots = values.slots === undefined ? undefined : wholeNumber('--slots', values.slots, 1, maxSlots);
  const contextTokens =
    values.context === undefined ? undefined : wholeNumber('--context', values.context, 1, maxContextTokens);
  if (contextTokens !== undefined && contextTokens < (slots ?? 1)) {
    throw usage(`--context ${contextTokens} is less than one token for each of ${slots} slots`);
  }
  const size = { ...(contextTokens === undefined ? {} : { contextTokens }), ...(slots === undefined ? {} : { slots }) };
  return { settings: { host, port, model: path.resolve(cwd, values.model), ...size }, foreground, waitMs };
}

/** @param {readonly string[]} argv */
function parseOptions(argv) {
  const text = /** @type {const} */ ({ type: 'string' });
  try {
    return parseArgs({
      args: [...argv],
      options: {
        foreground: { type: 'boolean' },
        port: text,
        host: text,
        profile: text,
        model: text,
        context: text,
        slots: text,
        wait: text,
      },
    }).values;
  } catch (error) {
    throw usage(error instanceof Error ? (error.message.split('. ')[0] ?? '') : String(error));
  }
}

/**
 * `npm start --port 9000` without `--` gives the option to npm, which tells us nothing but an environment variable.
 * @param {Record<string, string | undefined>} env
 */
function refuseOptionsKeptByNpm(env) {
  const kept = optionNames.filter((name) => env[`npm_config_${name}`] !== undefined);
  if (env.npm_lifecycle_event !== 'start' || kept.length === 0) return;
  throw usage(`npm kept ${kept.map((name) => `--${name}`).join(' and ')} for itself: options of ours come after --`);
}

/**
 * @param {string} option
 * @param {string | number} value
 * @param {number} least
 * @param {number} most
 * @returns {number}
 */
function wholeNumber(option, value, least, most) {
  const number = typeof value === 'number' ? value : /^\d+$/.test(value) ? Number(value) : NaN;
  if (number >= least && number <= most) return number;
  throw usage(`${option} is "${value}"; it must be a whole number from ${least} to ${most}`);
}

/**
 * @param {string} profile
 * @param {string} cwd
 */
function asPathIfPath(profile, cwd) {
  return /[\\/]|\.ya?ml$/.test(profile) ? path.resolve(cwd, profile) : profile;
}

/** @param {string} message */
function usage(message) {
  return new ScriptError(message, { status: exitStatus.usage, remedy: startUsage });
}

/**
 * Finds what can be found before minutes go into the set-up: a file that is not there, a name that no profile has.
 * @param {Settings} settings
 * @param {readonly string[]} profileFolders searched for NAME.yaml
 */
export function checkFiles(settings, profileFolders) {
  if ('model' in settings) return checkModelFile(settings.model);
  const { profile } = settings;
  if (profile === undefined) return;
  if (path.isAbsolute(profile)) {
    if (!existsSync(profile)) throw new ScriptError(`the profile ${profile} does not exist`, { remedy: startUsage });
    return;
  }
  const names = profileFolders.flatMap(profileNames);
  if (names.includes(profile)) return;
  throw new ScriptError(`there is no profile "${profile}"`, {
    remedy: `the profiles here: ${[...new Set(names)].sort().join(', ') || 'none'}; or name a file: --profile ./NAME.yaml`,
  });
}

/** @param {string} folder */
function profileNames(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((file) => /^(.+)\.ya?ml$/.exec(file)?.[1] ?? []);
}

/** @param {string} file */
function checkModelFile(file) {
  const remedy = 'name a GGUF file: npm start -- --model FILE.gguf';
  const magic = Buffer.alloc(4);
  try {
    const descriptor = openSync(file, 'r');
    readSync(descriptor, magic, 0, magic.length, 0);
    closeSync(descriptor);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const why = { ENOENT: 'does not exist', EACCES: 'may not be read by you', EISDIR: 'is a folder' }[code];
    throw new ScriptError(`the model file ${file} ${why ?? `cannot be read (${code})`}`, { remedy });
  }
  if (magic.toString('latin1') !== 'GGUF') throw new ScriptError(`${file} is not a GGUF file`, { remedy });
}

/**
 * Settings in the words of a person: with the profile that is really active where it is known, and a file of the profile
 * folders by its name.
 * @param {Settings} settings
 * @param {readonly string[]} profileFolders
 * @param {import('./active-profile.mjs').ActiveProfile} [active] what the gateway of these settings says
 * @returns {Settings}
 */
export function namedSettings(settings, profileFolders, active) {
  const { host, port } = settings;
  const isFile = active !== undefined && path.isAbsolute(active.origin);
  const profile = isFile ? active.origin : 'profile' in settings ? settings.profile : undefined;
  if (profile === undefined) return settings;
  const listed = path.isAbsolute(profile) && profileFolders.includes(path.dirname(profile));
  return { host, port, profile: listed ? path.parse(profile).name : profile };
}

/**
 * The settings in which two gateways differ, for a person to read.
 * @param {Settings} running
 * @param {Settings} wanted any profile will do where it names none
 * @returns {string[]} empty when they are the same
 */
export function settingsDifference(running, wanted) {
  if ('model' in running !== 'model' in wanted) {
    return [`it runs ${settingsText(running)}, you asked for ${settingsText(wanted)}`];
  }
  const have = /** @type {Record<string, unknown>} */ (running);
  const want = /** @type {Record<string, unknown>} */ (wanted);
  return [...new Set([...Object.keys(have), ...Object.keys(want)])]
    .filter((name) => have[name] !== want[name] && (name !== 'profile' || want[name] !== undefined))
    .map((name) => `${name} is ${have[name] ?? 'the default'}, you asked for ${want[name] ?? 'the default'}`);
}

/**
 * The gateway's command line.
 * @param {Settings} settings
 * @returns {string[]}
 */
export function gatewayArguments(settings) {
  const address = ['--port', String(settings.port), '--host', settings.host];
  if (!('model' in settings))
    return settings.profile === undefined ? address : [...address, '--profile', settings.profile];
  const { model, contextTokens, slots } = settings;
  const context = contextTokens === undefined ? [] : ['--context', String(contextTokens)];
  return [...address, '--model', model, ...context, ...(slots === undefined ? [] : ['--slots', String(slots)])];
}

/**
 * Where a client on this machine reaches the gateway.
 * @param {Settings} settings
 * @returns {string}
 */
export function gatewayUrl({ host, port }) {
  const reachable = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}`;
}

/**
 * What is running, in a few words.
 * @param {Settings} settings
 * @param {number} [tokensPerSlot] where the gateway said it
 * @returns {string}
 */
export function settingsText(settings, tokensPerSlot) {
  if (!('model' in settings)) return settings.profile === undefined ? 'a profile' : `profile ${settings.profile}`;
  const slots = settings.slots ?? 1;
  const each = tokensPerSlot === undefined ? '' : ` of ${tokensPerSlot} tokens${slots === 1 ? '' : ' each'}`;
  return `model ${path.basename(settings.model)}, ${slots} slot${slots === 1 ? '' : 's'}${each}`;
}
