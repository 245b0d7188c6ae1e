/**
 * The fake engine as a tenant of a machine: its loads take their bytes little by little where the model has its place, its
 * reports say what the system would show, and it complains when it gets more sequences than it has slots.
 */
import { toLlamaestroError } from '../../src/base/errors.js';
import type { Engine, EngineDriver, LoadOptions, MemoryPlan, MemoryReport } from '../../src/engine/engine.js';
import { bytesOf } from '../../src/pool/ledger.js';
import type { Place } from './estate.js';
import type { MachineMemory } from './machine-memory.js';

export interface SimDriverParts {
  readonly memory: MachineMemory;
  /** The process that the engine is in. */
  readonly owner: string;
  readonly places: Readonly<Record<string, Place>>;
  readonly onEngine: (engine: Engine) => void;
  /** False once the process is gone. */
  readonly isAlive: () => boolean;
  readonly onViolation: (message: string) => void;
}

const NOWHERE: Place = { gpuShare: 0, beyondCpuBytes: 0, beyondGpuBytes: 0 };

export function simDriver(driver: EngineDriver, parts: SimDriverParts): EngineDriver {
  const placeOf = ({ file }: LoadOptions): Place => parts.places[file] ?? NOWHERE;
  let loads = 0;
  return {
    ...driver,
    devices: () => parts.memory.devices(),
    planMemory: async (options, signal) => placed(await driver.planMemory(options, signal), placeOf(options)),
    load: async (options, onProgress, signal) => {
      if (options.purpose === 'vocab') return driver.load(options, onProgress, signal);
      // What is beyond buffers is the process's own: a second model of it takes no more.
      const place = loads++ === 0 ? placeOf(options) : { ...NOWHERE, gpuShare: placeOf(options).gpuShare };
      const planned = placed(await driver.planMemory(options), place);
      const usedBefore = usedBytes(parts.memory, planned);
      const refused = new AbortController();
      const either = signal === undefined ? refused.signal : AbortSignal.any([signal, refused.signal]);
      const progress = (fraction: number): void => {
        try {
          if (parts.isAlive()) take(parts, options.file, { plan: planned, place }, fraction);
          onProgress?.(fraction);
        } catch (thrown) {
          refused.abort(thrown);
        }
      };
      const engine = await driver.load(options, progress, either).catch((thrown: unknown) => {
        throw toLlamaestroError(refused.signal.aborted ? refused.signal.reason : thrown);
      });
      // The last bytes may be those that are missing.
      refused.signal.throwIfAborted();
      parts.onEngine(engine);
      return asTenant(engine, planned, observed(planned, place, usedBefore, usedBytes(parts.memory, planned)), parts);
    },
  };
}

/** The plan of the fake engine, which knows the CPU alone, with the GPU's share where that is. */
function placed(plan: MemoryPlan, { gpuShare }: Place): MemoryPlan {
  if (gpuShare === 0) return plan;
  const part = (bytes: number, share: number): number => Math.floor(bytes * share);
  const devices = plan.devices.flatMap(({ weightsBytes, kvBytes, computeBytes }) =>
    [
      { device: 'cuda0', share: gpuShare },
      { device: 'cpu', share: 1 - gpuShare },
    ].map(({ device, share }) => ({
      device,
      weightsBytes: part(weightsBytes, share),
      kvBytes: part(kvBytes, share),
      computeBytes: part(computeBytes, share),
    })),
  );
  return { ...plan, devices };
}

function take(
  { memory, owner }: SimDriverParts,
  file: string,
  { plan, place }: { readonly plan: MemoryPlan; readonly place: Place },
  fraction: number,
): void {
  for (const [device, bytes] of Object.entries(bytesOf(plan))) {
    const beyond = device === 'cpu' ? place.beyondCpuBytes : place.beyondGpuBytes;
    const plannedBytes = Math.floor(bytes * fraction);
    memory.hold(owner, file, device, { plannedBytes, beyondBytes: fraction === 1 ? beyond : 0 });
  }
}

function usedBytes(memory: MachineMemory, plan: MemoryPlan): ReadonlyMap<string, number> {
  return new Map(Object.keys(bytesOf(plan)).map((device) => [device, memory.ourUseOf(device)]));
}

/**
 * What the system shows: private memory for the CPU, for a GPU what its used bytes grew by, whichever of our processes took
 * them. What other programs take in that moment is left out: it would be learned as the model's own.
 */
function observed(
  plan: MemoryPlan,
  { beyondCpuBytes }: Place,
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): MemoryReport['observed'] {
  return Object.entries(bytesOf(plan)).map(([device, plannedBytes]) => {
    const grew = Math.max(0, (after.get(device) ?? 0) - (before.get(device) ?? 0));
    const observedBytes = device === 'cpu' ? plannedBytes + beyondCpuBytes : grew;
    return { device, plannedBytes, allocatedBytes: plannedBytes, observedBytes };
  });
}

function asTenant(
  engine: Engine,
  planned: MemoryPlan,
  seen: MemoryReport['observed'],
  { onViolation }: SimDriverParts,
): Engine {
  const changed: Partial<Engine> = {
    planned,
    memory: () => ({ ...planned, observed: seen }),
    submit: (request, listener) => {
      const sequence = engine.submit(request, listener);
      const { running, waiting } = engine.stats();
      const { slots } = engine.info;
      if (running + waiting > slots) onViolation(`${running + waiting} sequences in ${slots} slots`);
      return sequence;
    },
  };
  return new Proxy(engine, {
    get(target, property): unknown {
      const value = Reflect.get(property in changed ? changed : target, property) as unknown;
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}
