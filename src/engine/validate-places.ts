/**
 * Checks of the load options that say where tensors lie: devices, split, overrides. The native code checks the same; here
 * a refusal comes before anything is handed over. Knows which values are possible, not which devices there are, except
 * for `checkDeviceIds`.
 */
import type { DeviceInfo, LoadOptions, TensorOverride } from './engine.js';
import { checkInteger, refuse } from './validate-values.js';

export const MAX_DEVICES = 16;
export const MAX_OVERRIDES = 64;
export const MAX_PATTERN_BYTES = 256;
const MAX_PATTERN_REPEATS = 3;
const MAX_SHARE = 1e6;
const MIN_SHARE_SUM = 1e-3;
const MAX_MOE_LAYERS = 512;
const SPLIT_MODES = ['none', 'layer', 'row'];
const DEVICE_ID = /^[a-z][a-z0-9]{0,31}$/;

/** Throws unless these options could place a model as far as their values alone tell. */
export function checkPlaces(options: LoadOptions): void {
  checkDeviceList(options.devices);
  if (options.splitMode !== undefined && !SPLIT_MODES.includes(options.splitMode)) {
    refuse('splitMode', `splitMode must be one of ${SPLIT_MODES.join(', ')}`);
  }
  if (options.mainDevice !== undefined) {
    checkDeviceId('mainDevice', options.mainDevice);
    if (options.splitMode !== 'none') refuse('mainDevice', "mainDevice needs splitMode 'none'");
  }
  checkShares(options.tensorSplit);
  checkInteger('cpuMoeLayers', options.cpuMoeLayers, 0, MAX_MOE_LAYERS);
  checkOverrides(options.tensorOverrides);
}

/** Throws when `options` names a device that is not among `devices`. */
export function checkDeviceIds(options: LoadOptions, devices: readonly DeviceInfo[]): void {
  const known = devices.filter(({ kind }) => kind !== 'cpu').map(({ id }) => id);
  const check = (param: string, id: string): void => {
    if (!known.includes(id)) {
      refuse(param, `there is no device ${id} to use; there are: ${known.join(', ') || 'none'}`);
    }
  };
  for (const id of options.devices ?? []) check('devices', id);
  if (options.mainDevice !== undefined) check('mainDevice', options.mainDevice);
  for (const { device } of options.tensorOverrides ?? []) if (device !== 'cpu') check('tensorOverrides', device);
}

/** What is wrong with a pattern of an override, as the end of a sentence; undefined when it may be used. */
export function patternFault(pattern: string): string | undefined {
  const bytes = Buffer.byteLength(pattern);
  if (bytes < 1 || bytes > MAX_PATTERN_BYTES) return `must have 1 … ${MAX_PATTERN_BYTES} bytes`;
  const piece = /\\[dws.^$|()[\]{}*+?\-/\\]|\[[\w\-/.^$|]+\]|\(\?:|\{\d[\d,]{0,4}\}|[\w\-/.^$|()*+?]/y;
  let last = 'nothing';
  let repeats = 0;
  while (piece.lastIndex < pattern.length) {
    const found = piece.exec(pattern)?.[0];
    if (found === undefined) return 'has a sign that is not allowed';
    if (found === '*' || found === '+' || found.startsWith('{')) {
      if (last !== 'single') return 'repeats a group, a repeat or nothing';
      if (++repeats > MAX_PATTERN_REPEATS) return 'has more than three repeats';
      last = 'repeat';
    } else if (found === '?') {
      if (last !== 'single' && last !== 'group') return 'has a ? behind a repeat or nothing';
      last = 'repeat';
    } else if (found === ')') last = 'group';
    else last = ['(', '(?:', '|', '^', '$'].includes(found) ? 'nothing' : 'single';
  }
  try {
    new RegExp(pattern);
  } catch {
    return 'is not a regular expression';
  }
  return undefined;
}

function checkDeviceList(devices: readonly string[] | undefined): void {
  if (devices === undefined) return;
  if (!Array.isArray(devices) || devices.length > MAX_DEVICES) {
    refuse('devices', `devices must be an array of at most ${MAX_DEVICES} ids`);
  }
  for (const id of devices as readonly unknown[]) checkDeviceId('devices', id);
  if (new Set(devices).size !== devices.length) refuse('devices', 'devices must not name one twice');
}

function checkDeviceId(param: string, id: unknown): void {
  if (typeof id !== 'string' || !DEVICE_ID.test(id)) refuse(param, `${param} must name devices as devices() does`);
}

function checkShares(shares: readonly number[] | undefined): void {
  if (shares === undefined) return;
  if (!Array.isArray(shares) || shares.length > MAX_DEVICES) {
    refuse('tensorSplit', `tensorSplit must be an array of at most ${MAX_DEVICES} numbers`);
  }
  let sum = 0;
  for (const share of shares as readonly unknown[]) {
    if (typeof share !== 'number' || !(share >= 0 && share <= MAX_SHARE)) {
      refuse('tensorSplit', `the shares of tensorSplit must be numbers in 0 … ${MAX_SHARE}`);
    }
    sum += share;
  }
  if (shares.length > 0 && sum < MIN_SHARE_SUM) refuse('tensorSplit', 'the shares of tensorSplit must not all be zero');
}

function checkOverrides(overrides: readonly TensorOverride[] | undefined): void {
  if (overrides === undefined) return;
  if (!Array.isArray(overrides) || overrides.length > MAX_OVERRIDES) {
    refuse('tensorOverrides', `tensorOverrides must be an array of at most ${MAX_OVERRIDES} overrides`);
  }
  for (const override of overrides as readonly ({ pattern?: unknown; device?: unknown } | null)[]) {
    const pattern = override?.pattern;
    if (typeof pattern !== 'string') refuse('tensorOverrides', 'every override needs a pattern');
    const fault = patternFault(pattern);
    if (fault !== undefined) refuse('tensorOverrides', `a pattern of tensorOverrides ${fault}`);
    checkDeviceId('tensorOverrides', override?.device);
  }
}
