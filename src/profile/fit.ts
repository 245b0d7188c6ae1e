/**
 * Whether the models of a profile go together on a machine: those that stay, and each of the others beside them. Pure; the
 * sums are those that a placement would make on a machine where nothing else runs.
 */
import type { DeviceInfo } from '../schema/load.js';
import type { FitProblem, PlannedDevice, PlannedModel } from '../schema/profile-plan.js';
import type { Profile } from '../schema/profile.js';

/** What the pool keeps free, and what a process takes beyond its plan; bytes. */
export interface FitLimits {
  readonly cpuHeadroomBytes: number;
  readonly gpuHeadroomBytes: number;
  readonly cpuOverheadBytes: number;
  readonly gpuOverheadBytes: number;
}

export interface FitQuestion {
  readonly models: readonly PlannedModel[];
  readonly devices: readonly DeviceInfo[];
  readonly budgets: Profile['budgets'];
  readonly headrooms: Profile['headrooms'];
  readonly limits: FitLimits;
}

export interface Fit {
  readonly devices: readonly PlannedDevice[];
  readonly problems: readonly FitProblem[];
}

/** Bytes of one model on one device; by the device itself with what its process takes beyond the plan. */
interface Share {
  readonly model: PlannedModel;
  readonly bytes: number;
}

export function fitOf(question: FitQuestion): Fit {
  const rows = question.devices.map((device) => ofDevice(question, device));
  return { devices: rows.map(({ row }) => row), problems: rows.flatMap(({ problems }) => problems) };
}

interface Row {
  readonly row: PlannedDevice;
  readonly problems: readonly FitProblem[];
}

/** By the account and by the device itself; the tighter of the two is told. */
function ofDevice(question: FitQuestion, device: DeviceInfo): Row {
  const { budgets, headrooms, limits } = question;
  const ceiling = Math.min(budgets[device.id] ?? Infinity, device.limitBytes ?? Infinity, device.totalBytes);
  const account = rowOf(question, device, ceiling, 0);
  const isCpu = device.kind === 'cpu';
  const overheadBytes = isCpu ? limits.cpuOverheadBytes : limits.gpuOverheadBytes;
  const headroomBytes = headrooms[device.id] ?? (isCpu ? limits.cpuHeadroomBytes : limits.gpuHeadroomBytes);
  const itself = rowOf(question, device, Math.max(0, device.totalBytes - headroomBytes), overheadBytes);
  const slack = ({ row }: Row): number => row.roomBytes - row.worstBytes;
  return slack(account) <= slack(itself) ? account : itself;
}

function rowOf({ models }: FitQuestion, device: DeviceInfo, roomBytes: number, overheadBytes: number): Row {
  const shares = models.flatMap((model): Share[] => {
    const bytes = model.bytes?.[device.id] ?? 0;
    return bytes === 0 ? [] : [{ model, bytes: bytes + overheadBytes }];
  });
  const staying = shares.filter(({ model }) => model.stays);
  const others = shares.filter(({ model }) => !model.stays).sort((a, b) => b.bytes - a.bytes);
  const [largest] = others;
  const stayingBytes = sumOf(staying);
  const row: PlannedDevice = {
    device: device.id,
    totalBytes: device.totalBytes,
    roomBytes,
    overheadBytes,
    stayingBytes,
    worstBytes: stayingBytes + (largest?.bytes ?? 0),
    ...(largest === undefined ? {} : { worstModel: largest.model.name }),
  };
  return { row, problems: problemsOn(device.id, roomBytes, staying, others) };
}

function sumOf(shares: readonly Share[]): number {
  return shares.reduce((sum, { bytes }) => sum + bytes, 0);
}

function problemsOn(
  device: string,
  roomBytes: number,
  staying: readonly Share[],
  others: readonly Share[],
): FitProblem[] {
  const stayingBytes = sumOf(staying);
  const tooLarge = [...staying, ...others].filter(({ bytes }) => bytes > roomBytes);
  const problems = tooLarge.map((share): FitProblem => {
    const message = `model ${written(share)} does not fit: ${room(device, roomBytes)}`;
    return { device, models: [share.model.name], message, remedy: remedyFor(device) };
  });
  if (problems.length > 0) return problems;
  if (stayingBytes > roomBytes) {
    const pins = staying.filter(({ model }) => model.pinned);
    const names = staying.map(({ model }) => model.name);
    const sum = `${summed(staying)}: ${room(device, roomBytes)}`;
    const isPins = sumOf(pins) > roomBytes;
    const message = isPins
      ? `the pins exclude each other, ${summed(pins)}: ${room(device, roomBytes)}`
      : `the models that stay do not go together, ${sum}`;
    const remedy = isPins
      ? 'Unpin one of them, or give the device a larger budget.'
      : `Make one of them on-demand. ${remedyFor(device)}`;
    return [{ device, models: isPins ? pins.map(({ model }) => model.name) : names, message, remedy }];
  }
  return others
    .filter(({ bytes }) => stayingBytes + bytes > roomBytes)
    .map((share) => {
      const models = [share.model.name, ...staying.map(({ model }) => model.name)];
      const message = `model '${share.model.name}' never fits beside those that stay, ${summed([share, ...staying])}: ${room(device, roomBytes)}`;
      return { device, models, message, remedy: `Make one of those that stay on-demand. ${remedyFor(device)}` };
    });
}

function remedyFor(device: string): string {
  return `Lower context or slots, choose a smaller quantisation, or give ${device} a larger budget.`;
}

function written({ model, bytes }: Share): string {
  return `'${model.name}' (${mib(bytes)})`;
}

function summed(shares: readonly Share[]): string {
  return `${shares.map(({ model, bytes }) => `${model.name} ${mib(bytes)}`).join(' + ')} = ${mib(sumOf(shares))}`;
}

function room(device: string, roomBytes: number): string {
  return `${device} has room for ${mib(roomBytes)}`;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
